"""Finders whose names state the permission. What a user may not see does not exist for them: 404, never 403.

Whoever comes to see something of somebody else's by them has looked at it, says the audit trail.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, TypeVar, cast

from django.contrib.auth.models import User
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404

from evaluations.actions import trail
from evaluations.models import Classroom, CoachQuestion, Evaluation, Rerating, Rubric, Submission, Upload
from evaluations.models.classroom import ClassroomQuerySet
from evaluations.rating import default_rubric
from queueing.models import Task

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

    Someone = AbstractBaseUser | AnonymousUser

M = TypeVar("M", bound=Model)


def signed_in(request: HttpRequest) -> User:
    """The request's user, typed as `User`: the view is behind `login_required` or has answered 401 before."""
    return cast("User", request.user)


def _seen(request: HttpRequest, found: M) -> M:
    """`found`, noted as looked at where the request shows it and changes nothing."""
    if request.method in ("GET", "HEAD"):
        trail.looked(found, signed_in(request))
    return found


def get_visible_submission(request: HttpRequest, pk: uuid.UUID) -> Submission:
    """The submission, if it is the user's own or of a class that the user teaches.

    Raises:
        Http404: otherwise.
    """
    rows = Submission.objects.visible_to(request.user).select_related("classroom", "student")
    return _seen(request, get_object_or_404(rows, pk=pk))


def get_own_upload(request: HttpRequest, pk: uuid.UUID) -> Upload:
    """The user's upload.

    Raises:
        Http404: there is none.
    """
    rows = Upload.objects.filter(student=signed_in(request))
    return get_object_or_404(rows.select_related("classroom", "student"), pk=pk)


def get_attended_classroom(request: HttpRequest, pk: str) -> Classroom:
    """The class with the key `pk`, if the user attends it; without a key, the only class that the user attends.

    Raises:
        Http404: there is none, or without a key several.
    """
    rows = Classroom.objects.attended_by(request.user)
    if not pk:
        classrooms = list(rows[:2])
        if len(classrooms) == 1:
            return classrooms[0]
        raise Http404("which class?")
    if not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        raise Http404("no such class")
    return get_object_or_404(rows, pk=int(pk))


def classrooms_taught(user: User) -> ClassroomQuerySet:
    """The classes a user is responsible for; all of them for a superuser."""
    return Classroom.objects.all() if user.is_superuser else Classroom.objects.taught_by(user)


def classes_of(student: User) -> set[int]:
    """The keys of the classes that a student attends or has handed in for: joined, all submissions would be read."""
    attended = Classroom.objects.attended_by(student).values_list("pk", flat=True)
    return {*attended, *Submission.objects.of_student(student).order_by().values_list("classroom", flat=True)}


def get_taught_classroom(request: HttpRequest, pk: int) -> Classroom:
    """The class, if the user teaches it.

    Raises:
        Http404: otherwise.
    """
    return _seen(request, _taught_classroom(request, pk))


def _taught_classroom(request: HttpRequest, pk: int) -> Classroom:
    return get_object_or_404(classrooms_taught(signed_in(request)), pk=pk)


def get_taught_submission(request: HttpRequest, classroom: int, pk: uuid.UUID) -> Submission:
    """A submission of a class that the user teaches.

    Raises:
        Http404: otherwise.
    """
    rows = Submission.objects.filter(classroom=_taught_classroom(request, classroom))
    return _seen(request, get_object_or_404(rows.select_related("classroom", "student"), pk=pk))


def get_taught_student(request: HttpRequest, classroom: int, pk: int) -> tuple[Classroom, User]:
    """A student of a class that the user teaches, or one who handed in for it before they left, and the class.

    Raises:
        Http404: otherwise.
    """
    found = _taught_classroom(request, classroom)
    own = User.objects.filter(Q(classes_attended=found) | Q(submissions__classroom=found)).distinct()
    return found, _seen(request, get_object_or_404(own, pk=pk))


def get_own_submission(request: HttpRequest, pk: uuid.UUID) -> Submission:
    """The submission, if it is the user's own.

    Raises:
        Http404: otherwise.
    """
    return get_object_or_404(Submission.objects.of_student(request.user).select_related("classroom"), pk=pk)


def get_visible_question(request: HttpRequest, pk: uuid.UUID) -> CoachQuestion:
    """The question, if it is about a submission that the user may see: students are told that teachers can read it.

    Raises:
        Http404: otherwise.
    """
    found = get_object_or_404(CoachQuestion.objects.select_related("task__batch", "submission"), pk=pk)
    get_object_or_404(Submission.objects.visible_to(request.user), pk=found.submission_id)
    return _seen(request, found)


def get_own_question(request: HttpRequest, pk: uuid.UUID) -> CoachQuestion:
    """The question, if the user has asked it.

    Raises:
        Http404: otherwise.
    """
    rows = CoachQuestion.objects.filter(student=signed_in(request))
    return get_object_or_404(rows.select_related("task__batch", "submission"), pk=pk)


def changeable_rubrics(user: User) -> QuerySet[Rubric]:
    """The versions of rubrics that a user may change: those that nothing was rated by, nor is to be rated again by.

    A teacher neither changes what a class of somebody else is rated by, nor IntroEval's own.
    """
    rows = Rubric.objects.filter(ratings=None, reratings=None)
    if user.is_superuser:
        return rows
    others = Classroom.objects.exclude(pk__in=classrooms_taught(user))
    rows = rows.exclude(pk__in=others.values("rubric"))
    for own in (default_rubric.ENGLISH, default_rubric.GERMAN):
        rows = rows.exclude(name=own.name, version=own.version)
    return rows


def get_taught_rerating(request: HttpRequest, pk: int) -> Rerating:
    """The order to rate again, if it is of a class that the user teaches.

    Raises:
        Http404: otherwise.
    """
    rows = Rerating.objects.filter(classroom__in=classrooms_taught(signed_in(request)))
    return _seen(request, get_object_or_404(rows.select_related("classroom__rubric", "rubric", "by"), pk=pk))


def operable_tasks(request: HttpRequest) -> QuerySet[Task]:
    """The tasks that staff sees and, with `change_task`, acts on: as in the admin, those of own classes."""
    user = signed_in(request)
    if user.is_superuser:
        return Task.objects.all()
    return Task.objects.filter(submission__classroom__in=classrooms_taught(user))


def may_review(user: User, classroom: Classroom) -> bool:
    """Whether a user sees ratings before they are released: teachers of the class and superusers."""
    return classrooms_taught(user).filter(pk=classroom.pk).exists()


def visible_evaluations(user: User, classroom: Classroom) -> QuerySet[Evaluation]:
    """The evaluations of a class that count, as far as they are released; all of those for a user who may review.

    Doesn't check whether the user may see the submissions.
    """
    rows = Evaluation.objects.filter(current_of__classroom=classroom)
    return rows if may_review(user, classroom) else rows.filter(released_at__isnull=False)


def may_see(user: User, evaluation: Evaluation, classroom: Classroom) -> bool:
    """Whether `evaluation` is one of `visible_evaluations`."""
    return visible_evaluations(user, classroom).filter(pk=evaluation.pk).exists()
