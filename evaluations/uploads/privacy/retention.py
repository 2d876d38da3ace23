"""How long a class keeps what was handed in for it, and removing what is older: by upkeep, each with a receipt.

Nothing that is still worked on, and nothing that a teacher is asked to look at again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import DurationField, Exists, ExpressionWrapper, F, OuterRef, QuerySet, Value
from django.db.models.functions import Now
from django.utils.timezone import get_default_timezone, localdate, make_aware

from evaluations import actions
from evaluations.media import store
from evaluations.models import Classroom, Receipt, ReviewDecision, Submission
from queueing.exceptions import Infrastructure, Permanent
from queueing.models import Task

log = structlog.get_logger(__name__)

AT_ONCE: Final = 50  # of videos, and of submissions; the next upkeep goes on
DAY: Final = timedelta(days=1)
APPEAL_DAYS: Final = 90  # that an appeal which nobody answers keeps things


@dataclass(frozen=True, slots=True)
class KeptUntil:
    """How long a submission is kept; None: until somebody deletes it, or it is not known yet."""

    video: date | None
    everything: date | None


def of(submission: Submission, released: datetime | None) -> KeptUntil:
    """For its pages. The video's day is known once the result is released."""
    days, school = submission.classroom.keeps_videos_days, get_default_timezone()  # by which it is removed
    everything = next_end(submission.classroom, localdate(submission.created_at, school))
    video = localdate(released + days * DAY, school) if released and days is not None else None
    return KeptUntil(video=min(video, everything) if video and everything else video, everything=everything)


def next_end(classroom: Classroom, day: date) -> date | None:
    """The last day on which what is handed in on `day` is kept."""
    until = classroom.keeps_results_until
    return _next_end(until, day) if until else None


def prune() -> int:
    """Remove what its class keeps no longer, AT_ONCE of each kind at most. Returns how many."""
    return prune_videos() + prune_submissions()


def prune_videos() -> int:
    """Remove the files of videos whose results were released long enough ago; transcripts and ratings stay."""
    due = _videos_due().order_by("created_at").values_list("pk", flat=True)
    return sum(_remove_video(pk) for pk in due[:AT_ONCE])


def _videos_due() -> QuerySet[Submission]:
    kept = ExpressionWrapper(Value(DAY, DurationField()) * F("classroom__keeps_videos_days"), DurationField())
    released = Submission.objects.filter(
        video_gone_at=None, classroom__keeps_videos_days__isnull=False, evaluation__released_at__lt=Now() - kept
    )
    return at_rest(released)


def prune_submissions() -> int:
    """Delete what was handed in before the newest end of its class's time, with all that came of it."""
    pruned = 0
    for classroom in Classroom.objects.exclude(keeps_results_until=None):
        assert classroom.keeps_results_until is not None
        if (end := _last_end(classroom.keeps_results_until, localdate())) is None:
            continue
        until = make_aware(datetime.combine(end + DAY, time.min))
        due = at_rest(Submission.objects.filter(classroom=classroom, created_at__lt=until))
        for submission in due.order_by("created_at")[: AT_ONCE - pruned]:
            pruned += _remove_submission(submission, f"kept until {end}")
    return pruned


def at_rest(rows: QuerySet[Submission]) -> QuerySet[Submission]:
    """Those on which nothing waits or runs in any pipeline, nor an appeal of the last APPEAL_DAYS for its answer."""
    made = ReviewDecision.objects.filter(submission=OuterRef("pk"))
    asked = made.filter(kind=ReviewDecision.Kind.APPEAL, at__gt=Now() - APPEAL_DAYS * DAY)
    return rows.filter(
        ~Exists(Task.objects.live().filter(submission=OuterRef("pk"))),
        ~Exists(asked) | Exists(made.filter(kind=ReviewDecision.Kind.ANSWER)),
    )


def _remove_video(pk: UUID) -> bool:
    """File and row together: a file that can't be removed now is not said to be gone, and tried again."""
    try:
        with transaction.atomic():
            # Asked again: its release may have been withdrawn, or its class keeps videos by now.
            found = _videos_due().filter(pk=pk).select_related("classroom")
            submission = found.select_for_update(no_key=True, of=("self",)).first()
            if submission is None:
                return False
            days = submission.classroom.keeps_videos_days
            _record(Receipt.Removed.VIDEO, submission, f"kept {days} days after the release")
            Submission.objects.filter(pk=submission.pk).update(video_gone_at=Now())
            store.remove(submission.pk)
    except (Infrastructure, Permanent) as error:
        log.warning("video_not_pruned", submission=str(pk), error=str(error))
        return False
    log.info("video_pruned", submission=str(pk))
    return True


def _remove_submission(submission: Submission, why: str) -> bool:
    with transaction.atomic():
        # Locked against work that begins at this moment: a task refers to the row.
        idle = at_rest(Submission.objects.filter(pk=submission.pk)).select_for_update().exists()
        if not idle or not actions.delete(submission=submission, by=None):
            return False
        _record(Receipt.Removed.SUBMISSION, submission, why)
    return True


def _record(what: Receipt.Removed, submission: Submission, why: str) -> None:
    Receipt.objects.create(
        what=what,
        whose=submission.student_id,
        submission=submission.pk,
        classroom_id=submission.classroom_id,
        why=why,
        size=submission.size,
    )


def _last_end(until: date, today: date) -> date | None:
    """The newest anniversary of `until` that is over; None before the first of them."""
    end = _in_year(until, today.year)
    end = end if end < today else _in_year(until, today.year - 1)
    return end if end >= until else None


def _next_end(until: date, day: date) -> date:
    """The first anniversary of `until`, itself included, that is not before `day`."""
    end = _in_year(until, max(day.year, until.year))
    return end if end >= day else _in_year(until, end.year + 1)


def _in_year(day: date, year: int) -> date:
    try:
        return day.replace(year=year)
    except ValueError:  # 29 February
        return day.replace(year=year, day=28)
