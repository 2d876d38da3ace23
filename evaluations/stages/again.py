"""The last two stages once more, for an order to rate again: the form replaces the one before, a rating stands beside.

An order is a `Rerating`; whoever gave it decides later whether the new ratings count (`evaluations.actions.reratings`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from uuid import UUID

from django.db import IntegrityError, transaction

from evaluations.models import RERATING, Evaluation, Form, Rerating, Submission, Transcript
from evaluations.stages.extract import Extract, ExtractResult, ExtractWork
from evaluations.stages.rate import Rate, RateResult, RateWork, work_on
from queueing.engines.base import Engines, Progress
from queueing.exceptions import Permanent
from queueing.models import Task


@dataclass(frozen=True, slots=True)
class RateAgainWork:
    rerating_id: int
    work: RateWork


@dataclass(frozen=True, slots=True)
class RateAgainResult:
    rerating_id: int
    result: RateResult


class RateAgain:
    """Rates by the order's rubric, whatever the class's is by now."""

    def prepare(self, task: Task) -> RateAgainWork:
        order = awaited_order(task.submission_id)
        _refuse_unless_there(Transcript, task.submission_id)
        _refuse_unless_there(Form, task.submission_id)
        return RateAgainWork(order.pk, work_on(task, order.rubric))

    def compute(self, work: RateAgainWork, engines: Engines, progress: Progress, stop: Event) -> RateAgainResult:
        return RateAgainResult(work.rerating_id, Rate().compute(work.work, engines, progress, stop))

    def save(self, task: Task, result: RateAgainResult) -> None:
        # Once an order, however often it was worked on; what nobody wants any more is dropped.
        if Rerating.objects.awaited_for(task.submission_id).filter(pk=result.rerating_id).exists():
            Evaluation.objects.create(
                submission_id=task.submission_id, rerating_id=result.rerating_id, **result.result.columns()
            )


class ExtractAgain(Extract):
    """Fills in the form anew; the rating that was ordered comes after it."""

    def prepare(self, task: Task) -> ExtractWork:
        awaited_order(task.submission_id)
        _refuse_unless_there(Transcript, task.submission_id)
        return super().prepare(task)

    def save(self, task: Task, result: ExtractResult) -> None:
        super().save(task, result)
        if order := Rerating.objects.awaited_for(task.submission_id).first():
            # Somebody may have tried a failed rating again meanwhile: then it is under way.
            with suppress(IntegrityError), transaction.atomic():
                Task.objects.enqueue(submission_id=task.submission_id, pipeline=RERATING, owner_key=order.owner_key)


def awaited_order(submission_id: UUID) -> Rerating:
    """The newest order that still awaits a rating of the submission.

    Raises:
        Permanent: `deleted`; or `order_withdrawn`: there is none, or none any more.
    """
    if not Submission.objects.filter(pk=submission_id).exists():
        raise Permanent("the submission was deleted", code="deleted")
    found = Rerating.objects.awaited_for(submission_id).select_related("rubric").first()
    if found is None:
        raise Permanent("no order awaits a rating of it", code="order_withdrawn")
    return found


def _refuse_unless_there(needed: type[Transcript | Form], submission_id: UUID) -> None:
    if not needed.objects.filter(submission=submission_id).exists():
        raise Permanent(f"there is no {needed._meta.verbose_name}", code="nothing_to_rate")
