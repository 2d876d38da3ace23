"""Who may start an upload, and whether there is room for it."""

from __future__ import annotations

from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import F, QuerySet, Sum
from django.db.models.functions import Coalesce, Now

from evaluations.models import Classroom, Submission, Upload
from evaluations.refusals import RefusedError
from evaluations.uploads import files

MAX_ACTIVE_PER_STUDENT: Final = 5


def unfinished() -> QuerySet[Upload]:
    """Uploads on their way: not handed in, not expired."""
    return Upload.objects.filter(submission=None, expires_at__gt=Now())


def check_size(length: int | None) -> None:
    if length == 0:
        raise RefusedError(400, "empty_file")
    if length is not None and length > settings.UPLOAD_MAX_BYTES:
        raise RefusedError(413, "too_large")


def check_quota(student: User, classroom: Classroom) -> None:
    """The student's own limits. Call it with the student's row locked: two at once can't both be the last one."""
    mine = unfinished().filter(student=student)
    if mine.count() >= MAX_ACTIVE_PER_STUDENT:
        raise RefusedError(429, "too_many_uploads")
    handed_in = Submission.objects.filter(student=student, classroom=classroom).count()
    if handed_in + mine.filter(classroom=classroom).count() >= classroom.max_submissions:
        raise RefusedError(429, "too_many_submissions")


def check_room(more: int) -> None:
    """Whether `more` bytes fit beside the reserve and what was promised to the uploads on their way."""
    expected = F("length") - F("offset")
    promised = unfinished().exclude(length=None).aggregate(bytes=Coalesce(Sum(expected), 0))["bytes"]
    if files.free_bytes() - promised - more < settings.DISK_RESERVE_BYTES:
        raise RefusedError(507, "disk_full")
