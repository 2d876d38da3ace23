"""Erasing a student: the account, and everything that was kept of them, here and on the disk.

What others wrote in free text stays theirs. Backups that were made before have it until they are deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q, QuerySet, Sum, Value
from django.db.models.functions import Coalesce, Concat, Trim

from evaluations import actions
from evaluations.access.members.roster import is_plain_student, plain_students
from evaluations.access.permissions import classes_of, classrooms_taught
from evaluations.access.session_store import end_sessions
from evaluations.errors.refusals import RefusedError
from evaluations.media import store
from evaluations.models import Classroom, Deletion, JoinRequest, LoginCard, Receipt, Submission, Upload, shown_name
from evaluations.uploads import files, intake
from queueing.exceptions import Infrastructure, Permanent

log = structlog.get_logger(__name__)

ERASED: Final = "erased"
"""`Receipt.why`."""
BUSY_SECONDS: Final = 5.0  # that an upload may be written to while it is to be discarded


class NotErasedError(Exception):
    """The account is none that may be erased."""


def may_erase(user: User, student: User) -> bool:
    """Whether nothing would go that is another teacher's: all that the student attends and handed in is the user's."""
    if user.is_superuser:
        return True
    return classes_of(student) <= set(classrooms_taught(user).values_list("pk", flat=True))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A student to be erased, and how much would go."""

    student: User
    videos: int
    may: bool
    """`may_erase`, for whoever asks."""


def candidates(user: User, students: QuerySet[User]) -> list[Candidate]:
    """Of `students` those whose accounts are students', by name."""
    found = students.filter(pk__in=plain_students().values("pk")).order_by("last_name", "first_name", "username")
    return [Candidate(each, Submission.objects.filter(student=each).count(), may_erase(user, each)) for each in found]


def erase(*, student: User, by: User | None) -> Receipt:
    """Erase a student for good; returns the receipt, which has the account's number and no name.

    Work that runs for them loses its claim. Files that can't be removed now are removed by the upkeep (`Deletion`).
    Whoever calls has checked the permission. Can be called again after a crash.

    Raises:
        NotErasedError: the account is no student's, or there is none.
        RefusedError: something is being handed in at this moment (423); call it again.
    """
    if not is_plain_student(student):
        raise NotErasedError
    _shut_out(student)
    size = 0
    while True:
        size += _bytes_of(student)
        discard_uploads(student)
        for submission in Submission.objects.filter(student=student):
            actions.delete(submission=submission, by=by)
        with transaction.atomic():
            # Whoever begins an upload locks the row, too, and whoever goes on with one has the upload.
            if not User.objects.select_for_update().filter(pk=student.pk).exists():
                raise NotErasedError  # somebody else was first
            if Submission.objects.filter(student=student).exists() or Upload.objects.filter(student=student).exists():
                continue
            _forget(student)
            receipt = Receipt.objects.create(
                what=Receipt.Removed.STUDENT, whose=student.pk, why=ERASED, size=size, by=by
            )
            User.objects.filter(pk=student.pk).delete()
        log.info("student_erased", user=receipt.whose, by=by and by.pk, receipt=receipt.pk)
        return receipt


def files_left() -> int:
    """Of how many deleted submissions files are still on the disk; the upkeep removes them."""
    return Deletion.objects.filter(files_gone_at=None).count()


def delete_everything(*, student: User, classroom: Classroom, by: User) -> int:
    """What the student handed in for one class, and what is on its way; the account stays. Returns how many videos.

    Raises:
        RefusedError: something is being handed in at this moment (423); call it again.
    """
    discard_uploads(student, classroom)
    rows = Submission.objects.filter(student=student, classroom=classroom)
    return sum(actions.delete(submission=each, by=by) for each in rows)


def discard_uploads(student: User, *of: Classroom) -> None:
    """Discard what the student has not handed in yet, of these classes or of all.

    Raises:
        RefusedError: one of them is still written to after a few seconds (423).
    """
    uploads = Upload.objects.filter(student=student)
    for upload in uploads.filter(classroom__in=of) if of else uploads:
        _discard(upload)


def _discard(upload: Upload) -> None:
    key = upload.pk
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            with files.alone(key):
                intake.discard(upload)
                # Its bytes may have been stored, and the process have died before the row of the submission was there.
                if not Submission.objects.filter(pk=key).exists():
                    with suppress(Infrastructure, Permanent):
                        store.remove(key)
                return
        except RefusedError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _shut_out(student: User) -> None:
    """Nothing new begins: they can't sign in, and are signed out everywhere."""
    User.objects.filter(pk=student.pk).update(is_active=False)
    LoginCard.objects.filter(student=student).delete()
    end_sessions(user_id=student.pk)


def _bytes_of(student: User) -> int:
    whole = Submission.objects.filter(student=student).aggregate(bytes=Coalesce(Sum("size"), 0))["bytes"]
    begun = Upload.objects.filter(student=student, submission=None).aggregate(bytes=Coalesce(Sum("offset"), 0))["bytes"]
    return int(whole + begun)


def _forget(student: User) -> None:
    """What names them without being theirs: the database deletes with an account only what belongs to it."""
    names = _own_names(student)
    for kind in (AccessAttempt, AccessFailureLog, AccessLog):
        kind.objects.filter(_any("username", names)).delete()
    asked_here = Q(classroom__in=classes_of(student)) | ~Q(state=JoinRequest.JoinState.WAITING)
    JoinRequest.objects.filter(_any("name", names), asked_here, student=None).delete()
    of_account = Q(content_type=ContentType.objects.get_for_model(User), object_id=str(student.pk))
    LogEntry.objects.filter(of_account | _any("object_repr", names)).delete()


def _own_names(student: User) -> set[str]:
    """What they are called and nobody else is: what says "Max" may be about the other Max."""
    names = {student.username, student.email, student.get_full_name(), shown_name(student)} - {""}
    others = User.objects.exclude(pk=student.pk).annotate(whole=Trim(Concat("first_name", Value(" "), "last_name")))
    shared = {
        name
        for name in names - {student.username}
        if others.filter(Q(username__iexact=name) | Q(email__iexact=name) | Q(whole__iexact=name)).exists()
    }
    return names - shared


def _any(column: str, names: Iterable[str]) -> Q:
    found = Q()
    for name in names:
        found |= Q(**{f"{column}__iexact": name})
    return found
