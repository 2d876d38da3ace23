"""Who may start an upload, and whether there is room for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import F, QuerySet, Sum
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Now

from evaluations.errors.refusals import RefusedError
from evaluations.models import Classroom, Deletion, Submission, Upload
from evaluations.uploads import files

MAX_UNFINISHED_PER_STUDENT: Final = 5
ACTIVE_SECONDS: Final = 10  # an upload that got nothing for so long is not under way: its computer may be off
HOUR: Final = timedelta(hours=1)


def unfinished() -> QuerySet[Upload]:
    """Uploads on their way: not handed in, not expired."""
    return Upload.objects.filter(submission=None, expires_at__gt=Now())


def check_size(length: int | None) -> None:
    if length == 0:
        raise RefusedError(400, "empty_file")
    if length is not None and length > settings.UPLOAD_MAX_BYTES:
        raise RefusedError(413, "too_large")


def check_quota(student: User, classroom: Classroom, length: int | None = None) -> None:
    """The student's own limits. Call it with the student's row locked: two at once can't both be the last one."""
    handed_in = Submission.objects.filter(student=student, classroom=classroom).count()
    if handed_in >= classroom.max_submissions:
        raise RefusedError(429, "too_many_submissions")
    lately = _of_the_last_hour(student)
    if lately >= settings.UPLOADS_PER_HOUR:
        raise RefusedError(429, "too_many_an_hour")
    coming = unfinished().filter(student=student)
    here = coming.filter(classroom=classroom).count()
    # What was left unfinished counts, too, but can be discarded: who is in their own way is told so.
    if handed_in + here >= classroom.max_submissions or coming.count() >= min(
        MAX_UNFINISHED_PER_STUDENT, settings.UPLOADS_PER_HOUR - lately
    ):
        raise RefusedError(429, "too_many_uploads")
    check_kept(student, length or settings.UPLOAD_CHUNK_BYTES)


def check_kept(student: User, more: int) -> None:
    """Whether `more` bytes fit into the student's room, beside what is kept and what was promised to their uploads."""
    kept = Submission.objects.filter(student=student).aggregate(bytes=Coalesce(Sum("size"), 0))["bytes"]
    mine = unfinished().filter(student=student)
    coming = mine.aggregate(bytes=Coalesce(Sum(Coalesce("length", "offset")), 0))["bytes"]
    if kept + coming + more > settings.UPLOAD_QUOTA_BYTES:
        raise RefusedError(429, "too_much")


def check_turn(student: User) -> None:
    """One after the other: no second upload begins while parts of the first one arrive."""
    if unfinished().filter(student=student, offset__gt=0, expires_at__gt=_moved_within(ACTIVE_SECONDS)).exists():
        raise RefusedError(429, "upload_active", {"Retry-After": str(ACTIVE_SECONDS)})


def _of_the_last_hour(student: User) -> int:
    """How many the student handed in; to delete one makes no room for another."""
    kept = Submission.objects.filter(student=student, created_at__gt=Now() - HOUR).count()
    return kept + Deletion.objects.filter(student=student, handed_in_at__gt=Now() - HOUR).count()


def _moved_within(seconds: float) -> CombinedExpression:
    """Every part that arrives puts an upload's end off: those that end later than this got one within `seconds`."""
    return Now() + timedelta(hours=settings.UPLOAD_EXPIRES_HOURS) - timedelta(seconds=seconds)


def check_room(more: int) -> None:
    """Whether `more` bytes fit beside the reserve and what was promised to the uploads on their way."""
    expected = F("length") - F("offset")
    promised = unfinished().exclude(length=None).aggregate(bytes=Coalesce(Sum(expected), 0))["bytes"]
    if files.free_bytes() - promised - more < settings.DISK_RESERVE_BYTES:
        raise RefusedError(507, "disk_full")
