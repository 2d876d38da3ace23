"""To decide on a rating, to undo that, and what counts of a rating after all decisions.

Two people may look at one submission: whoever decides says which decision was the last one they had seen, and is told
when somebody else has decided since.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Self

from django.contrib.auth.models import User
from django.db import transaction

from evaluations.models import Evaluation, ReviewDecision, Submission
from evaluations.rating.reviewing import Reviewed, reviewed

Kind = ReviewDecision.Kind
UNDOABLE = (Kind.ITEM, Kind.OVERALL, Kind.COMMENT, Kind.REVIEWED)


class ConflictError(Exception):
    """Somebody else has decided since; `decisions` are theirs, oldest first. Nothing was changed."""

    def __init__(self, decisions: list[ReviewDecision]) -> None:
        super().__init__("somebody else has decided since")
        self.decisions = decisions


class InvalidDecisionError(Exception):
    """It can't be decided like that; the message says why, for programmers. Pages don't offer it."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the decisions on one rating stand."""

    items: dict[str, bool] = field(default_factory=dict)  # by key, those that a person decided
    overall: float | None = None
    comment: str = ""
    is_reviewed: bool = False

    @classmethod
    def after(cls, decisions: Iterable[ReviewDecision]) -> Self:
        """After `decisions`, of one rating and in the order they were made."""
        items: dict[str, bool] = {}
        values: dict[str, Any] = {}
        for each in decisions:
            if each.kind == Kind.ITEM and each.value is None:
                items.pop(each.key, None)
            elif each.kind == Kind.ITEM:
                items[each.key] = bool(each.value)
            else:
                values[each.kind] = each.value
        return cls(items, values.get(Kind.OVERALL), values.get(Kind.COMMENT) or "", bool(values.get(Kind.REVIEWED)))

    def value(self, kind: str, key: str = "") -> Any:
        """What counts now for a kind and key, as `ReviewDecision.value` has it."""
        if kind == Kind.ITEM:
            return self.items.get(key)
        return {Kind.OVERALL: self.overall, Kind.COMMENT: self.comment, Kind.REVIEWED: self.is_reviewed}[Kind(kind)]

    def of(self, evaluation: Evaluation) -> Reviewed:
        """The rating as it counts."""
        return reviewed(evaluation.scores, evaluation.overall, self.items, self.overall)


def standing(evaluation: Evaluation) -> Standing:
    return standings([evaluation.pk])[evaluation.pk]


def standings(evaluation_ids: Iterable[int]) -> dict[int, Standing]:
    """By rating, in one query; those without a decision, too."""
    made: dict[int, list[ReviewDecision]] = {key: [] for key in evaluation_ids}
    for each in ReviewDecision.objects.filter(evaluation__in=made):
        made[each.evaluation_id].append(each)
    return {key: Standing.after(decisions) for key, decisions in made.items()}


def counting(ratings: Iterable[Evaluation]) -> list[Evaluation]:
    """Copies of `ratings` whose `overall` and `scores` are as they count, for reading only; in one query."""
    rows = list(ratings)
    standing_of = standings(row.pk for row in rows)
    return [as_it_counts(row, standing_of[row.pk]) for row in rows]


def as_it_counts(rating: Evaluation, stand: Standing) -> Evaluation:
    """A copy for reading only: `scores` are `Reviewed.rows`."""
    counted, found = stand.of(rating), copy(rating)
    found.overall, found.scores = counted.overall, counted.rows
    return found


def decide(
    *,
    submission_id: uuid.UUID,
    evaluation_id: int,
    by: User,
    seen: int,
    kind: ReviewDecision.Kind,
    key: str = "",
    value: Any,
    reason: str = "",
) -> ReviewDecision | None:
    """Record a decision on the rating that counts. None when that is what counted already.

    Args:
        seen: the id of the submission's newest decision that the person had seen; 0: none.

    Raises:
        ConflictError: somebody else has decided since, or another rating counts by now.
        InvalidDecisionError: no such item, not a score, or an overall score without a reason.
    """
    with locked(submission_id, evaluation_id, by=by, seen=seen) as rating:
        _check(rating, kind, key, value, reason)
        before = standing(rating).value(kind, key)
        if before == value:
            return None
        return _record(rating, by, kind, key, value, before, reason)


def undo(*, submission_id: uuid.UUID, evaluation_id: int, by: User, seen: int) -> ReviewDecision | None:
    """Take back the person's own newest decision that still counts. None where there is none.

    Raises:
        ConflictError: as for `decide`.
    """
    with locked(submission_id, evaluation_id, by=by, seen=seen) as rating:
        stand = standing(rating)
        own = rating.decisions.filter(by=by, kind__in=UNDOABLE, undoes=None, undone_by=None)
        for each in own.order_by("-pk"):
            if stand.value(each.kind, each.key) == each.value:
                return _record(rating, by, Kind(each.kind), each.key, each.before, each.value, undoes=each)
        return None


@contextmanager
def locked(submission_id: uuid.UUID, evaluation_id: int, *, by: User, seen: int) -> Iterator[Evaluation]:
    """The rating that counts, while nobody else can decide on its submission.

    Raises:
        ConflictError: another one counts by now, or somebody else has decided since `seen`.
    """
    with transaction.atomic():
        submission = Submission.objects.select_for_update(no_key=True).get(pk=submission_id)
        since = submission.decisions.filter(pk__gt=seen).exclude(by=by).exclude(kind=Kind.MARK)
        if submission.evaluation_id != evaluation_id or since.exists():
            raise ConflictError(list(since.select_related("by")))
        yield Evaluation.objects.get(pk=evaluation_id)


def _record(
    rating: Evaluation,
    by: User,
    kind: ReviewDecision.Kind,
    key: str,
    value: Any,
    before: Any,
    reason: str = "",
    undoes: ReviewDecision | None = None,
) -> ReviewDecision:
    return ReviewDecision.objects.create(
        submission_id=rating.submission_id,
        evaluation=rating,
        kind=kind,
        key=key,
        value=value,
        before=before,
        reason=reason,
        undoes=undoes,
        by=by,
    )


def _check(rating: Evaluation, kind: str, key: str, value: Any, reason: str) -> None:
    if kind not in UNDOABLE:
        raise InvalidDecisionError(f"{kind} has a verb of its own")
    keys = {item["key"] for row in rating.scores for item in row["items"]}
    is_score = isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 10
    valid = {
        Kind.ITEM: key in keys and (value is None or isinstance(value, bool)),
        Kind.OVERALL: not key and (value is None or is_score),
        Kind.COMMENT: not key and isinstance(value, str),
        Kind.REVIEWED: not key and isinstance(value, bool),
    }[Kind(kind)]
    if not valid:
        raise InvalidDecisionError(f"not a value of {kind}: {key}={value!r}")
    if kind == Kind.OVERALL and value is not None and not reason.strip():
        raise InvalidDecisionError("an overall score needs a reason")
