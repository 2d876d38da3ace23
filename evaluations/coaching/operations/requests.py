"""To ask for a summary or a mind map, and what of them is under way.

The queue's tasks are the only state: one that has ended, failed or crashed leaves nothing behind that could block the
next, and a constraint of the database allows one live task per submission and pipeline.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.db.models.signals import post_save
from django.dispatch import Signal

from evaluations.models import MIND_MAP, SUMMARY, Evaluation, MindMap, Submission, Summary, Transcript
from queueing.models import Task
from queueing.states import LIVE

log = structlog.get_logger(__name__)

PIPELINES: Final = (SUMMARY, MIND_MAP)
TRIES: Final = 2  # the one that was in the way may end before it is looked for

operation_skipped = Signal()  # submission_id: UUID; after commit


@dataclass(frozen=True, slots=True)
class ProcessingStatus:
    """What is under way for one submission, waiting or running: since when, in seconds since the epoch; else None."""

    submission_id: uuid.UUID
    summary: float | None = None
    mind_map: float | None = None

    @property
    def is_any(self) -> bool:
        return self.summary is not None or self.mind_map is not None

    def with_one(self, pipeline: str, since: datetime) -> ProcessingStatus:
        if pipeline == SUMMARY:
            return replace(self, summary=since.timestamp())
        return replace(self, mind_map=since.timestamp())

    def as_dict(self) -> dict[str, Any]:
        """As the API and the socket tell it."""
        return {
            "success": True,
            "session_id": str(self.submission_id),
            "summary_processing": self.summary is not None,
            "mind_map_processing": self.mind_map is not None,
            "any_processing": self.is_any,
            "summary_start_time": self.summary,
            "mind_map_start_time": self.mind_map,
        }


def request(*, submission: Submission, pipeline: str) -> bool:
    """Have a summary or a mind map made. False: one is under way already, and this request is skipped, not queued.

    Its tasks take turns of their own: no student's next video comes later for them.

    Raises:
        Submission.DoesNotExist: it was deleted meanwhile.
    """
    for _ in range(TRIES):
        with suppress(IntegrityError), transaction.atomic():
            Task.objects.enqueue(
                submission_id=submission.pk, pipeline=pipeline, owner_key=f"operations {submission.student_id}"
            )
            return True
        if _live().filter(submission=submission.pk, pipeline=pipeline).exists():
            log.info("operation_skipped", submission=str(submission.pk), pipeline=pipeline)
            send = partial(operation_skipped.send_robust, sender=Task, submission_id=submission.pk)
            transaction.on_commit(send)
            return False
    raise Submission.DoesNotExist


def can_be_made(submission: Submission) -> bool:
    """Whether there is something to sum up."""
    return Transcript.objects.filter(submission=submission.pk).exists()


def status_of(submission: Submission) -> ProcessingStatus:
    status = ProcessingStatus(submission.pk)
    for pipeline, since in _live().filter(submission=submission.pk).values_list("pipeline", "staged_at"):
        status = status.with_one(pipeline, since)
    return status


def statuses_of_students(
    students: Collection[int], *, whole: Collection[int] = ()
) -> dict[int, dict[uuid.UUID, ProcessingStatus]]:
    """By student and submission, what is under way; of the students `whole` also what has ended."""
    rows = Task.objects.filter(pipeline__in=PIPELINES)
    shown = Q(submission__student__in=students, state__in=LIVE) | Q(submission__student__in=whole)
    found: dict[int, dict[uuid.UUID, ProcessingStatus]] = defaultdict(dict)
    for key, student, pipeline, state, at in rows.filter(shown).values_list(
        "submission", "submission__student", "pipeline", "state", "staged_at"
    ):
        status = found[student].setdefault(key, ProcessingStatus(key))
        if state in LIVE:
            found[student][key] = status.with_one(pipeline, at)
    return found


def _live() -> QuerySet[Task]:
    return Task.objects.live().filter(pipeline__in=PIPELINES)


def connect() -> None:
    """From here on a class can have both made by itself, in the transaction that stores a rating."""
    post_save.connect(_after_rating, sender=Evaluation, dispatch_uid="operations")


def _after_rating(instance: Evaluation, created: bool, **kwargs: object) -> None:
    """Once: a rating that was ordered again, and what a person had made meanwhile, ask for nothing."""
    if not created or instance.rerating_id is not None:
        return
    submission = Submission.objects.filter(pk=instance.submission_id, classroom__sums_up=True).first()
    if submission is None:
        return
    for pipeline, model in ((SUMMARY, Summary), (MIND_MAP, MindMap)):
        if not model.objects.filter(submission=submission).exists():
            request(submission=submission, pipeline=pipeline)
