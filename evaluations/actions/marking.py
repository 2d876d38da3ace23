"""To mark submissions blind, and to fit how far the model's probabilities are believed to those marks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from evaluations.actions.decisions import InvalidDecisionError, Kind
from evaluations.actions.sampling import evenly
from evaluations.actions.trail import Verb, record
from evaluations.models import CalibrationFit, Classroom, Evaluation, ReviewDecision
from evaluations.rating import calibration
from evaluations.rating.calibration.agreement import Agreement, MarkedRating, Spread, agreement, spread
from evaluations.rating.reviewing import reviewed


class NothingToFitError(Exception):
    """There are too few marks, or they all say the same; the message says which."""


def counting_ratings(classroom: Classroom) -> QuerySet[Evaluation]:
    """Those of a class that count and have scores made of items, in the order of their scores."""
    rows = Evaluation.objects.filter(current_of__classroom=classroom, method=Evaluation.Method.ITEMS)
    return rows.exclude(overall=None).order_by("overall", "pk").defer("provenance")  # long, and only a fit reads it


def asked_items(evaluation: Evaluation) -> list[str]:
    """The keys of its items that the model was asked: only those are marked, the others are computed."""
    return [item["key"] for row in evaluation.scores for item in row["items"] if not item.get("computed")]


def to_mark(classroom: Classroom, by: User, count: int) -> list[tuple[Evaluation, bool]]:
    """`count` ratings for a person to mark, spread over the scores, and whether that person has marked them.

    Those marked already come first, so that the number left only goes down.
    """
    rated = list(counting_ratings(classroom))
    marked = _marks(rated, by)
    done, left = [one for one in rated if one.pk in marked], [one for one in rated if one.pk not in marked]
    return [(one, True) for one in done] + [(one, False) for one in evenly(left, max(count - len(done), 0))]


@transaction.atomic
def mark(*, submission_id: uuid.UUID, evaluation_id: int, items: Mapping[str, bool], by: User) -> int:
    """Record a person's marks of all items that the model was asked. Returns how many are new or other than before.

    Raises:
        InvalidDecisionError: an item is missing, unknown, or neither true nor false.
    """
    rating = Evaluation.objects.select_for_update(no_key=True, of=("self",)).get(
        pk=evaluation_id, submission=submission_id
    )
    wanted = asked_items(rating)
    if set(items) != set(wanted) or not all(isinstance(value, bool) for value in items.values()):
        raise InvalidDecisionError(f"marks of {', '.join(wanted)} are needed, each true or false")
    before = _marks([rating], by).get(rating.pk, {})
    made = [
        ReviewDecision(
            submission_id=submission_id,
            evaluation=rating,
            kind=Kind.MARK,
            key=key,
            value=items[key],
            before=before.get(key),
            by=by,
        )
        for key in wanted
        if before.get(key) != items[key]
    ]
    ReviewDecision.objects.bulk_create(made)
    if made:
        record(Verb.DECIDED, made[0].submission, by=by, what=Kind.MARK, count=len(made))
    return len(made)


def marked_ratings(classroom: Classroom) -> list[MarkedRating]:
    """Of the class's counting ratings, with their marks; where two people marked the same, the newer mark counts."""
    rated = {rating.pk: rating for rating in counting_ratings(classroom)}
    return [_marked(rated[pk], marks) for pk, marks in _marks(list(rated.values())).items()]


def agreement_of(classroom: Classroom) -> Agreement:
    return agreement(marked_ratings(classroom))


def spread_of(classroom: Classroom) -> Spread:
    """How the class's counting ratings are spread, with or without marks."""
    rated = list(counting_ratings(classroom))
    return spread([rating.overall for rating in rated if rating.overall is not None], [_credits(one) for one in rated])


def marked_count(classroom: Classroom) -> int:
    """How many of the class's counting ratings somebody has marked."""
    marks = ReviewDecision.objects.filter(kind=Kind.MARK, evaluation__in=counting_ratings(classroom).order_by())
    return marks.values("evaluation").distinct().count()


def fit(classroom: Classroom, by: User | None) -> list[CalibrationFit]:
    """Fit calibrations to the class's marks, which are used from now on.

    One of each model, rubric and version of the prompts.

    Raises:
        NothingToFitError: see there. Nothing was stored.
    """
    points: dict[tuple[str, int, int], list[tuple[str, float, bool]]] = {}
    fitted_to: dict[tuple[str, int, int], set[int]] = {}
    rated = list(counting_ratings(classroom).exclude(rubric=None).defer(None))
    by_pk = {rating.pk: rating for rating in rated}
    for pk, marks in _marks(rated).items():
        rating = by_pk[pk]
        digest, told = _told(rating)
        if digest and rating.rubric_id:
            key = digest, rating.rubric_id, int(rating.provenance.get("prompts") or 0)
            found = points.setdefault(key, [])
            found.extend((item, told[item], said) for item, said in marks.items() if item in told)
            fitted_to.setdefault(key, set()).add(pk)
    if not any(points.values()):
        raise NothingToFitError("no marked rating has probabilities of a model: nothing to fit")
    try:
        fits = {key: calibration.fit(found) for key, found in points.items() if found}
    except ValueError as error:
        raise NothingToFitError(str(error)) from error
    record(Verb.SET, classroom, by=by, what="calibration")
    return [
        CalibrationFit.objects.create(
            rubric_id=rubric_id,
            model_sha256=digest,
            prompts=prompts,
            submissions=len(fitted_to[digest, rubric_id, prompts]),
            by=by,
            **made.as_dict(),
        )
        for (digest, rubric_id, prompts), made in fits.items()
    ]


def _marks(rated: Sequence[Evaluation], by: User | None = None) -> dict[int, dict[str, bool]]:
    """By rating and item the newest mark, of one person or of all."""
    rows = ReviewDecision.objects.filter(evaluation__in=rated, kind=Kind.MARK)
    found: dict[int, dict[str, bool]] = {}
    for each in rows.filter(by=by) if by else rows:
        found.setdefault(each.evaluation_id, {})[each.key] = bool(each.value)
    return found


def _marked(rating: Evaluation, marks: Mapping[str, bool]) -> MarkedRating:
    by_marks = reviewed(rating.scores, rating.overall, marks, None).overall
    overall = rating.overall or 0.0  # counting ratings have one
    return MarkedRating(_credits(rating), marks, overall, overall if by_marks is None else by_marks)


def _credits(rating: Evaluation) -> dict[str, float]:
    """By item, of those that the model was asked and that apply."""
    asked = set(asked_items(rating))
    return {
        item["key"]: item["credit"]
        for row in rating.scores
        for item in row["items"]
        if item["key"] in asked and item["credit"] is not None
    }


def _told(rating: Evaluation) -> tuple[str, dict[str, float]]:
    """The model's digest, and by item the probability that it told when it was asked first; empty: it told none."""
    calls = rating.provenance.get("calls") or [{}]
    probabilities = calls[0].get("probabilities") or {}
    prefix = "answers."
    told = {path.removeprefix(prefix): value for path, value in probabilities.items() if path.startswith(prefix)}
    return calls[0].get("digest") or "", told
