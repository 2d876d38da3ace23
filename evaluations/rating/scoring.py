"""Scores from answered items: arithmetic only, so that a score can be recomputed and explained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evaluations.rating.rubric import HIGHEST, LOWEST

UNCERTAIN_CREDIT = 0.5  # of an item that neither the model nor a second look could decide


def score(earned: Iterable[tuple[int, float | None]]) -> float | None:
    """A criterion's score, 1–10 with one decimal, of (points, credit 0..1) of its items.

    An item whose credit is None doesn't apply and counts neither way; without any that applies there is no score.
    """
    counted = [(points, credit) for points, credit in earned if credit is not None]
    total = sum(points for points, _ in counted)
    if not total:
        return None
    share = sum(points * credit for points, credit in counted) / total
    return round(LOWEST + (HIGHEST - LOWEST) * share, 1)


def overall(scores: Sequence[tuple[float, float]]) -> float:
    """The mean of (score, weight) pairs by weight, one decimal; the plain mean when no weight is above zero."""
    total = sum(weight for _, weight in scores)
    if total <= 0:
        return round(sum(score for score, _ in scores) / len(scores), 1)
    return round(sum(score * weight for score, weight in scores) / total, 1)
