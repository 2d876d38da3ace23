"""Classes: those a student attends, and those a teacher teaches, with their submissions."""

from __future__ import annotations

from typing import Annotated, Final

from django.contrib.auth.models import User
from django.core.paginator import Page, Paginator
from django.http import Http404, HttpRequest
from django.urls import reverse
from ninja import Query, Router

from evaluations.access.permissions import classrooms_taught, get_taught_classroom, signed_in
from evaluations.actions import decisions
from evaluations.api import schemas
from evaluations.api.describing import documented
from evaluations.api.submissions import videos
from evaluations.models import Classroom, Evaluation, Submission, shown_name
from evaluations.models.classroom import CLASSES_SHOWN
from evaluations.pages import rows
from evaluations.uploads import limits

router = Router(tags=["classes"])
PAGE_SIZE: Final = 100
PageNumber = Annotated[int, Query(ge=1, le=10_000, description=f"Of {PAGE_SIZE} videos.")]
PageOfClasses = Annotated[int, Query(ge=1, le=10_000, description=f"Of {CLASSES_SHOWN} classes; empty after the last.")]


@router.get("/my-classes", response=documented(list[schemas.AttendedClass]))
def my_classes(request: HttpRequest) -> list[schemas.AttendedClass]:
    """The classes that you attend: what is asked, and which limits hold."""
    user = signed_in(request)
    return [_attended(one, limits.allowed(user, one)) for one in Classroom.objects.attended_by(user)]


def _attended(classroom: Classroom, allowed: limits.Allowed) -> schemas.AttendedClass:
    return schemas.AttendedClass(
        id=classroom.pk,
        name=classroom.name,
        prompt=classroom.prompt,
        max_duration_seconds=classroom.max_duration_seconds,
        max_submissions=allowed.submissions,
        submissions_left=allowed.left,
        deadline=allowed.deadline,
    )


@router.get("/my-uploads", response=documented(list[schemas.UnfinishedUpload]))
def my_uploads(request: HttpRequest) -> list[schemas.UnfinishedUpload]:
    """Your uploads that are on their way, oldest first."""
    return [
        schemas.UnfinishedUpload(
            url=reverse("upload", args=[one.pk]),
            classroom_id=one.classroom_id,
            name=one.original_name,
            offset_bytes=one.offset,
            length_bytes=one.length,
            expires_at=one.expires_at,
        )
        for one in limits.unfinished_of(signed_in(request))
    ]


@router.get("/classes", response=documented(list[schemas.TaughtClass], 422))
def classes(request: HttpRequest, page: PageOfClasses = 1) -> list[Classroom]:
    """The classes that you teach, with their figures, by name."""
    taught = classrooms_taught(signed_in(request)).with_figures().order_by("name")
    return list(taught[(page - 1) * CLASSES_SHOWN : page * CLASSES_SHOWN])


@router.get("/classes/{int:pk}", response=documented(schemas.ClassPage, 404, 422))
def classroom(request: HttpRequest, pk: int, page: PageNumber = 1) -> schemas.ClassPage:
    """A class that you teach: who handed in what, newest first, and who has handed in nothing yet."""
    found = get_taught_classroom(request, pk)
    shown = _page(found, page)
    return schemas.ClassPage(
        id=found.pk,
        name=found.name,
        page=shown.number,
        page_count=shown.paginator.num_pages,
        submissions=_handed_in(shown),
        missing=[_person(one) for one in found.missing()],
    )


def _page(found: Classroom, number: int) -> Page[Submission]:
    pages = Paginator(Submission.objects.filter(classroom=found), PAGE_SIZE)
    if number > pages.num_pages:
        raise Http404("no such page")
    return pages.page(number)


def _handed_in(shown: Page[Submission]) -> list[schemas.HandedIn]:
    keys = [one.pk for one in shown.object_list]
    ratings = decisions.counting(Evaluation.objects.filter(current_of__in=keys))
    overall = {one.submission_id: one.overall for one in ratings}
    found = rows.of(Submission.objects.filter(pk__in=keys), rows.read_queue())
    return [
        schemas.HandedIn(
            student=_person(row.submission.student), video=described, overall=overall.get(row.submission.pk)
        )
        for row, described in zip(found, videos(found), strict=True)
    ]


def _person(user: User) -> schemas.Person:
    return schemas.Person(id=user.pk, name=shown_name(user))
