"""Who may start an upload, and whether there is room for it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NoReturn

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Coalesce, Now
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _

from evaluations.errors import catalogue
from evaluations.errors.refusals import RefusedError
from evaluations.models import EVALUATION, Classroom, Deletion, StudentAllowance, Submission, Upload
from evaluations.uploads import files
from evaluations.uploads.privacy import consents
from queueing.models import Forecast, Pause, Task, nodes
from queueing.models.phase import SYSTEM
from queueing.states import State

# A student may try files that turn out to be none, but not without end: so many times UPLOADS_PER_HOUR with them.
REFUSED_FACTOR: Final = 4
MAX_UNFINISHED_PER_STUDENT: Final = 5
ACTIVE_SECONDS: Final = 10  # an upload that received nothing for so long is not active: its computer may be off
HOUR: Final = timedelta(hours=1)
ARRIVING_SECONDS: Final = 60  # an upload that received nothing for so long will not soon be waiting for its turn
# How long those who have not begun are asked to wait: at least, where nothing is estimated, while somebody or something
# holds the lab up, and at most.
LEAST_SECONDS, GUESS_SECONDS, PAUSED_SECONDS, FULL_SECONDS = 15.0, 120.0, 120.0, 600.0


def unfinished() -> QuerySet[Upload]:
    """Uploads that are neither handed in nor expired."""
    return Upload.objects.filter(submission=None, expires_at__gt=Now())


def unfinished_of(student: User) -> list[Upload]:
    """Those of a student, oldest first; `is_arriving` tells whether one received something just now."""
    arriving = Q(expires_at__gt=_moved_within(ACTIVE_SECONDS))
    return list(unfinished().filter(student=student).annotate(is_arriving=arriving).order_by("created_at"))


def check_consent(student: User, classroom: Classroom) -> None:
    """Check that the student has agreed to what the class asks for.

    Raises:
        RefusedError: 403.
    """
    if consents.is_missing(student, classroom):
        raise RefusedError(403, "no_consent")


def check_size(length: int | None) -> None:
    if length == 0:
        raise RefusedError(400, "empty_file")
    if length is not None and length > settings.UPLOAD_MAX_BYTES:
        raise RefusedError(413, "too_large", detail=most())


def most() -> str:
    """A sentence on how large a file may be."""
    return _("At most %(size)s are accepted.") % {"size": filesizeformat(settings.UPLOAD_MAX_BYTES)}


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one student may hand in for one class."""

    submissions: int
    deadline: datetime | None
    handed_in: int

    @property
    def left(self) -> int:
        return max(0, self.submissions - self.handed_in)


def allowed(student: User, classroom: Classroom) -> Allowed:
    """By the class's limits, and what a teacher allowed this student beyond them."""
    own = StudentAllowance.objects.filter(student=student, classroom=classroom).first()
    handed_in = Submission.objects.filter(student=student, classroom=classroom).count()
    if own is None:
        return Allowed(classroom.max_submissions, classroom.deadline, handed_in)
    deadline = own.deadline if own.deadline and classroom.deadline else classroom.deadline
    return Allowed(classroom.max_submissions + own.more_submissions, deadline, handed_in)


def check_quota(student: User, classroom: Classroom, length: int | None = None) -> None:
    """Check the student's limits. Call it with the student's row locked, so that two requests can't both be the last.

    Raises:
        RefusedError: 429.
    """
    most = allowed(student, classroom)
    if most.deadline is not None and most.deadline < now():
        words = _("It was %(time)s.") % {"time": date_format(localtime(most.deadline), _("j M, H:i"))}
        raise RefusedError(429, "deadline_passed", detail=words)
    if not most.left:
        raise RefusedError(429, "too_many_submissions")
    lately = _check_hour(student)
    coming = unfinished().filter(student=student)
    here = coming.filter(classroom=classroom).count()
    # Unfinished uploads count, too, but can be discarded: this error tells the student to.
    if here >= most.left or coming.count() >= min(MAX_UNFINISHED_PER_STUDENT, settings.UPLOADS_PER_HOUR - lately):
        raise RefusedError(429, "too_many_uploads")
    check_kept(student, length or settings.UPLOAD_CHUNK_BYTES)


def check_kept(student: User, more: int) -> None:
    """Check that `more` bytes fit into the student's quota, beside what is kept and reserved for their uploads.

    Raises:
        RefusedError: 429.
    """
    stored = Submission.objects.filter(student=student, video_gone_at=None)
    kept = stored.aggregate(bytes=Coalesce(Sum("size"), 0))["bytes"]
    mine = unfinished().filter(student=student)
    coming = mine.aggregate(bytes=Coalesce(Sum(Coalesce("length", "offset")), 0))["bytes"]
    if kept + coming + more > settings.UPLOAD_QUOTA_BYTES:
        raise RefusedError(429, "too_much")


def check_turn(student: User) -> None:
    """Check that no other upload of the student is active: they are taken one after the other.

    Raises:
        RefusedError: 429.
    """
    moved = (_moved_within(ACTIVE_SECONDS), _moved_within(0))  # what lies beyond is of before a step of the clock back
    if unfinished().filter(student=student, offset__gt=0, expires_at__range=moved).exists():
        raise RefusedError(429, "upload_active", {"Retry-After": str(ACTIVE_SECONDS)})


def _check_hour(student: User) -> int:
    """How many the student handed in within an hour, but files that turned out to be none.

    Deleted ones count: deleting one doesn't allow for another.

    Raises:
        RefusedError: 429, which tells when the next one is possible.
    """
    everything = _of_the_last_hour(student)
    counted = sorted(moment for moment, was_refused in everything if not was_refused)
    for moments, most in (
        (counted, settings.UPLOADS_PER_HOUR),
        (sorted(moment for moment, _was_refused in everything), REFUSED_FACTOR * settings.UPLOADS_PER_HOUR),
    ):
        if len(moments) >= most:
            _refuse_until(moments[-most] + HOUR)
    return len(counted)


def _refuse_until(moment: datetime) -> NoReturn:
    wait = max(1, math.ceil((moment - now()).total_seconds()))
    shown = moment + timedelta(minutes=1)  # to the minute, and never too early
    words = _("The next one is possible at %(time)s.") % {"time": date_format(localtime(shown), "H:i")}
    raise RefusedError(429, "too_many_an_hour", {"Retry-After": str(wait)}, detail=words)


def _of_the_last_hour(student: User) -> list[tuple[datetime, bool]]:
    """When the student handed in what, and whether that was refused: no video or recording that could be heard."""
    refused = Task.objects.filter(
        submission=OuterRef("pk"), pipeline=EVALUATION, state=State.FAILED, error_code__in=catalogue.REFUSED
    )
    # Nothing was handed in later than now: a clock that stepped back must not make an hour longer.
    hour = (Now() - HOUR, Now())
    kept = Submission.objects.filter(student=student, created_at__range=hour)
    deleted = Deletion.objects.filter(student=student, handed_in_at__range=hour)
    return [
        *kept.order_by().annotate(was_refused_now=Exists(refused)).values_list("created_at", "was_refused_now"),
        *deleted.order_by().values_list("handed_in_at", "was_refused"),
    ]


def _moved_within(seconds: float) -> CombinedExpression:
    """Every chunk extends an upload's expiry: uploads that expire later than this received one within `seconds`."""
    return Now() + timedelta(hours=settings.UPLOAD_EXPIRES_HOURS) - timedelta(seconds=seconds)


def check_capacity(length: int | None = None) -> None:
    """Check that the lab takes one more upload now. Only for one that has not begun: nothing else is ever refused.

    A few that begin in the same moment may all pass.

    Raises:
        RefusedError: 503 `at_capacity`, with `Retry-After`; whoever has the recording keeps it, and sends it then.
    """
    pause = Pause.objects.active().filter(what=Pause.What.UPLOADS).first()
    if pause is not None:
        left = (pause.until - now()).total_seconds() if pause.until else PAUSED_SECONDS
        raise _at_capacity(left, pause.reason)
    if (beyond := _load() + 1 - settings.CAPACITY) > 0:
        raise _at_capacity(_seconds_until_ended(beyond))
    if _gpus_are_taken():
        raise _at_capacity(PAUSED_SECONDS, _("Other programs use the lab’s computer."))
    try:
        check_room(length or settings.UPLOAD_CHUNK_BYTES)
    except RefusedError:
        raise _at_capacity(FULL_SECONDS, _("Its disk is full: tell your teacher.")) from None


def _at_capacity(seconds: float, why: str = "") -> RefusedError:
    wait = math.ceil(min(max(seconds, LEAST_SECONDS), FULL_SECONDS))
    return RefusedError(503, "at_capacity", {"Retry-After": str(wait)}, detail=why, facts={"retry_seconds": wait})


def _load() -> int:
    """How many wait, are worked on, or are arriving, and will wait in a moment."""
    arriving = unfinished().filter(offset__gt=0, expires_at__gt=_moved_within(ARRIVING_SECONDS))
    return Task.objects.live().filter(pipeline=EVALUATION).count() + arriving.count()


def _seconds_until_ended(count: int) -> float:
    """How long until so many of those in work and in line have ended; a guess where nothing is estimated."""
    forecast = Forecast.objects.current()
    ends = sorted(high for _low, high, *_ in forecast.ranges.values() if high is not None)
    return float(ends[count - 1]) if len(ends) >= count else GUESS_SECONDS


def _gpus_are_taken() -> bool:
    """Whether every node that works has paused itself, for others have filled its GPU (queueing/gpu/watch.py)."""
    working = nodes.working()
    taken = Pause.objects.active().filter(by=SYSTEM, what=Pause.What.EVERYTHING, node__in=working)
    return bool(working) and working <= set(taken.values_list("node", flat=True))


def check_room(more: int) -> None:
    """Check that `more` bytes fit on the disk, beside its reserve and what is reserved for unfinished uploads.

    Raises:
        RefusedError: 507.
    """
    expected = F("length") - F("offset")
    reserved = unfinished().exclude(length=None).aggregate(bytes=Coalesce(Sum(expected), 0))["bytes"]
    if files.free_bytes() - reserved - more < settings.DISK_RESERVE_BYTES:
        raise RefusedError(507, "disk_full")
