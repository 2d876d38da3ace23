"""Ratings made again: to order them, to adopt what came of it or go back, to withdraw what did not come yet.

Nothing is rated over: an order's ratings stand beside those that count, until a person adopts them; and those that
counted before are there to go back to.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext, gettext_lazy

from evaluations.actions.decisions import Standing, standings
from evaluations.actions.sampling import evenly
from evaluations.actions.trail import Verb, record
from evaluations.models import (
    REEXTRACTION,
    RERATING,
    Classroom,
    Evaluation,
    Form,
    Rerating,
    ReviewDecision,
    Rubric,
    Submission,
    Transcript,
)
from evaluations.stages.rate import is_released_at_once
from queueing import actions as queue
from queueing.models import Task

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

log = structlog.get_logger(__name__)

NO_TRANSCRIPT: Final = gettext_lazy("there is no transcript yet")
NO_FORM: Final = gettext_lazy("there is no form yet")
UNDER_WAY: Final = gettext_lazy("it is being rated again already")
GONE: Final = gettext_lazy("it is not in the class any more")
NOT_RATED: Final = gettext_lazy("it is not rated again yet")
DECIDED: Final = gettext_lazy("a person has decided on the rating that counts")
COUNTS: Final = gettext_lazy("its new rating counts already")
COUNTS_NOT: Final = gettext_lazy("its new rating does not count")
NONE_BEFORE: Final = gettext_lazy("there was no rating before")


@dataclass(frozen=True, slots=True)
class OrderReport:
    """`order` is None where nothing could be ordered; `skipped`: submission → why, in words."""

    order: Rerating | None
    skipped: Mapping[uuid.UUID, StrOrPromise] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AdoptionReport:
    """For whom another rating counts by this, and for whom not: submission → why, in words."""

    adopted: tuple[uuid.UUID, ...] = ()
    skipped: Mapping[uuid.UUID, StrOrPromise] = field(default_factory=dict)

    @property
    def decided(self) -> tuple[uuid.UUID, ...]:
        """Those that `force` would include."""
        return tuple(key for key, why in self.skipped.items() if why is DECIDED)


def in_words(skipped: Mapping[uuid.UUID, StrOrPromise]) -> str:
    """`3 left out: there is no form yet (1), it is being rated again already (2).`"""
    counts = Counter(map(str, skipped.values())).most_common()
    whys = ", ".join(f"{why} ({count})" for why, count in counts)
    return gettext("%(count)s left out: %(whys)s.") % {"count": len(skipped), "whys": whys}


@dataclass(frozen=True, slots=True)
class SealCount:
    """How many of a class's ratings that count have one seal; "" is that of ratings from before there were seals."""

    seal: str
    ratings: int
    newest_id: int
    newest_at: datetime


@transaction.atomic
def order(
    *,
    classroom: Classroom,
    rubric: Rubric,
    submissions: Collection[uuid.UUID],
    by: User | None,
    reason: str = "",
    extract: bool = False,
) -> OrderReport:
    """Have submissions of a class rated again by `rubric`, from the transcripts that there are, at low priority.

    Those without a transcript or a form are skipped, and those of an order that is still being carried out.

    Args:
        by: None for a command.
        extract: the forms, too, are filled in anew before, and replaced.

    Raises:
        BadRubricError: nothing can be rated by the rubric.
    """
    rubric.spec().validate()
    # Locked: of two orders at once the second finds the first one's tasks.
    found = list(
        Submission.objects.filter(classroom=classroom, pk__in=submissions)
        .select_for_update(no_key=True)
        .order_by("created_at", "pk")
    )
    skipped: dict[uuid.UUID, StrOrPromise] = dict.fromkeys(set(submissions) - {one.pk for one in found}, GONE)
    skipped |= _not_ratable([one.pk for one in found], needs_form=not extract)
    wanted = [one for one in found if one.pk not in skipped]
    if not wanted:
        return OrderReport(None, skipped)
    made = Rerating.objects.create(classroom=classroom, rubric=rubric, reason=reason, by=by)
    made.submissions.set(wanted)
    for one in wanted:
        Task.objects.enqueue(
            submission_id=one.pk, pipeline=REEXTRACTION if extract else RERATING, owner_key=made.owner_key
        )
    record(Verb.MOVED, *wanted, by=by, what="rate again", order=made.pk)
    log.info("rerating_ordered", rerating=made.pk, classroom=classroom.pk, count=len(wanted), skipped=len(skipped))
    return OrderReport(made, skipped)


def _not_ratable(ids: Sequence[uuid.UUID], *, needs_form: bool) -> dict[uuid.UUID, StrOrPromise]:
    heard = set(Transcript.objects.filter(submission__in=ids).values_list("submission", flat=True))
    filled_in = set(Form.objects.filter(submission__in=ids).values_list("submission", flat=True))
    busy = set(_again_under_way().filter(submission__in=ids).values_list("submission", flat=True))
    whys: dict[uuid.UUID, StrOrPromise] = {}
    for key in ids:
        if key not in heard:
            whys[key] = NO_TRANSCRIPT
        elif needs_form and key not in filled_in:
            whys[key] = NO_FORM
        elif key in busy:
            whys[key] = UNDER_WAY
    return whys


def _again_under_way() -> QuerySet[Task]:
    return Task.objects.live().filter(pipeline__in=(RERATING, REEXTRACTION))


def tasks_of(rerating: Rerating) -> dict[uuid.UUID, Task]:
    """The newest task of each submission that the order was given for."""
    given = rerating.submissions.values("pk")  # by their keys the rows are found, by the owner alone they are not
    tasks = Task.objects.filter(submission__in=given, owner_key=rerating.owner_key)
    return {task.submission_id: task for task in tasks.select_related("batch").order_by("pk")}


@transaction.atomic
def adopt(
    *, rerating: Rerating, by: User | None, submissions: Collection[uuid.UUID] | None = None, force: bool = False
) -> AdoptionReport:
    """Let the order's ratings count, of all its submissions or of some. Adopting again has no effect.

    The rating before stays, with everything that people decided on it; those decisions don't pass on. So where a
    person has decided on it, the new rating is adopted only with `force`. A released rating stays released in its
    successor only where the class releases at once and nothing in it waits for a person: else a teacher looks at it
    first.
    """
    # Locked, as whoever decides on the rating locks it.
    rows = rerating.submissions.select_for_update(no_key=True, of=("self",)).order_by("pk")
    found = list(rows.filter(pk__in=submissions) if submissions is not None else rows)
    made = {rating.submission_id: rating for rating in rerating.ratings.filter(submission__in=found)}
    before = Evaluation.objects.in_bulk([one.evaluation_id for one in found if one.evaluation_id])
    stands = standings(before)
    asked = set(submissions or ()) - {one.pk for one in found}
    skipped: dict[uuid.UUID, StrOrPromise] = dict.fromkeys(asked, GONE)
    adopted = []
    for one in found:
        new, old = made.get(one.pk), before.get(one.evaluation_id or 0)
        if new is None:
            skipped[one.pk] = NOT_RATED
        elif old == new:
            skipped[one.pk] = COUNTS
        elif old and not force and is_decided(stands[old.pk]):
            skipped[one.pk] = DECIDED
        else:
            _adopt(one, new, old, rerating, by)
            adopted.append(one.pk)
    if adopted:
        Rerating.objects.filter(pk=rerating.pk).update(adopted_at=Coalesce(F("adopted_at"), Now()))
        log.info("rerating_adopted", rerating=rerating.pk, count=len(adopted), skipped=len(skipped))
    return AdoptionReport(tuple(adopted), skipped)


def _adopt(submission: Submission, new: Evaluation, old: Evaluation | None, order: Rerating, by: User | None) -> None:
    is_released = is_released_at_once(order.classroom, new) and (old is None or old.released_at is not None)
    Evaluation.objects.filter(pk=new.pk).update(released_at=Now() if is_released else None)
    Submission.objects.filter(pk=submission.pk).update(evaluation=new)
    ReviewDecision.objects.create(
        submission=submission,
        evaluation=new,
        kind=ReviewDecision.Kind.ADOPTED,
        value=old.pk if old else None,
        reason=order.reason,
        by=by,
    )


@transaction.atomic
def restore(*, rerating: Rerating, by: User | None, force: bool = False) -> AdoptionReport:
    """Let the ratings count again that counted before the order's were adopted, with all that was decided on them.

    Where a person has decided on the order's rating since, only with `force`. Students see of the earlier ratings what
    they saw before, but nothing of one whose successor was hidden from them.
    """
    found = list(rerating.submissions.select_for_update(no_key=True, of=("self",)).order_by("pk"))
    made = {rating.submission_id: rating for rating in rerating.ratings.filter(submission__in=found)}
    adoptions = adoptions_by(rerating)
    stands = standings(rating.pk for rating in made.values())
    skipped: dict[uuid.UUID, StrOrPromise] = {}
    restored = []
    for one in found:
        new, adoption = made.get(one.pk), adoptions.get(one.pk)
        if new is None or one.evaluation_id != new.pk or adoption is None:
            skipped[one.pk] = COUNTS_NOT
        elif not isinstance(adoption.value, int):
            skipped[one.pk] = NONE_BEFORE
        elif not force and is_decided(stands[new.pk]):
            skipped[one.pk] = DECIDED
        else:
            _restore(new, adoption.value, adoption, by)
            restored.append(one.pk)
    if restored:
        log.info("rerating_undone", rerating=rerating.pk, count=len(restored), skipped=len(skipped))
    return AdoptionReport(tuple(restored), skipped)


def _restore(new: Evaluation, earlier: int, adoption: ReviewDecision, by: User | None) -> None:
    if new.decisions.filter(kind=ReviewDecision.Kind.RELEASED, value=False).exists() and new.released_at is None:
        Evaluation.objects.filter(pk=earlier).update(released_at=None)
    Submission.objects.filter(pk=new.submission_id).update(evaluation=earlier)
    ReviewDecision.objects.create(
        submission_id=new.submission_id,
        evaluation_id=earlier,
        kind=ReviewDecision.Kind.ADOPTED,
        value=new.pk,
        undoes=adoption,
        by=by,
    )


def adoptions_by(rerating: Rerating) -> dict[uuid.UUID, ReviewDecision]:
    """By submission, the decision by which the order's rating came to count last."""
    # One that takes another back is about a rating of an earlier order, which it lets count again.
    made = ReviewDecision.objects.filter(
        evaluation__rerating=rerating, kind=ReviewDecision.Kind.ADOPTED, undoes__isnull=True
    )
    return {each.submission_id: each for each in made.order_by("pk")}


def is_decided(stand: Standing) -> bool:
    """Whether a person's decision on a rating counts: one that was undone doesn't."""
    return bool(stand.items or stand.overall is not None or stand.comment or stand.is_reviewed)


@transaction.atomic
def withdraw(*, rerating: Rerating, by: User | None) -> int:
    """Take back what the order has not rated yet; how many submissions that were. An order of nothing is deleted.

    What it has rated stays, and can be adopted.
    """
    record(Verb.MOVED, rerating, by=by, what="rate again withdrawn")
    # First, so that a worker that is just writing a rating ends before the others are counted.
    queue.cancel(tasks=list(tasks_of(rerating).values()), by=str(by.pk) if by else "command", reason="withdrawn")
    unrated = rerating.submissions.exclude(pk__in=rerating.ratings.values("submission"))
    count = unrated.count()
    rerating.submissions.remove(*unrated)
    if not rerating.submissions.exists():
        rerating.delete()
    return count


def seals_of(classroom: Classroom) -> list[SealCount]:
    """Which seals the class's ratings that count have, the seal of the newest rating first."""
    counting = Evaluation.objects.filter(current_of__classroom=classroom).order_by()
    rows = counting.values("seal").annotate(count=Count("pk"), newest=Max("pk"), at=Max("created_at"))
    return [SealCount(row["seal"], row["count"], row["newest"], row["at"]) for row in rows.order_by("-newest")]


def unlike_the_newest(classroom: Classroom) -> QuerySet[Submission]:
    """The rated submissions of a class whose seal isn't that of the newest rating; none where all are alike."""
    seals = seals_of(classroom)
    if len(seals) < 2:
        return Submission.objects.none()
    return classroom.submissions.filter(evaluation__isnull=False).exclude(evaluation__seal=seals[0].seal)


def order_alike(*, classroom: Classroom, by: User) -> OrderReport:
    """Have those whose seal isn't that of the newest rating rated again, by that one's rubric.

    Raises:
        BadRubricError: nothing can be rated by it.
    """
    ids = list(unlike_the_newest(classroom).values_list("pk", flat=True))
    if not ids:
        return OrderReport(None)
    newest = Evaluation.objects.select_related("rubric").get(pk=seals_of(classroom)[0].newest_id)
    return order(classroom=classroom, rubric=newest.rubric or classroom.rubric, submissions=ids, by=by)


def to_try_on(classroom: Classroom, count: int) -> list[uuid.UUID]:
    """Submissions of a class that a rubric can be tried on, spread evenly over the scores that count."""
    this = OuterRef("pk")
    rows = classroom.submissions.filter(
        Exists(Transcript.objects.filter(submission=this)),
        Exists(Form.objects.filter(submission=this)),
        ~Exists(_again_under_way().filter(submission=this)),
        evaluation__overall__isnull=False,
    )
    return evenly(list(rows.order_by("evaluation__overall", "pk").values_list("pk", flat=True)), count)
