"""Scores from levels and measurements: arithmetic only, so that a score can be recomputed and explained.

The pace, pause and filler bounds are IntroEval's own, chosen for fluent spoken English by school students; a class
whose students speak otherwise changes the weight of the measured part by choosing `judged` as a criterion's basis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from evaluations.rating.speech import SpeechFacts

LOWEST, HIGHEST = 1.0, 10.0

LEVELS: Final[Mapping[str, float]] = MappingProxyType(
    {"missing": 1.0, "weak": 3.0, "fair": 5.5, "good": 8.0, "excellent": 10.0}
)
"""The levels that a model may answer per criterion → points on the 1–10 scale."""

JUDGED_SHARE = 0.6
JUDGED_SHARE_DEMO = 0.2
"""The model's part of a criterion that is both judged and measured; a demo model's judgement is mostly noise."""


def between(value: float, *, worst: float, best: float) -> float:
    """`value` mapped linearly from `worst` (1) to `best` (10), and clamped beyond."""
    share = (value - worst) / (best - worst)
    return LOWEST + (HIGHEST - LOWEST) * min(max(share, 0.0), 1.0)


def delivery(facts: SpeechFacts) -> float:
    """The mean of pace, best between 110 and 170 words a minute, and of how certain the recogniser was of the words."""
    pace = min(
        between(facts.words_per_minute, worst=40, best=110), between(facts.words_per_minute, worst=260, best=170)
    )
    return (pace + between(facts.articulation, worst=0.5, best=0.9)) / 2


def fluency(facts: SpeechFacts) -> float:
    """The mean of fillers (none is best, 8 in 100 words worst) and long pauses (none is best, 4 a minute worst)."""
    fillers = between(facts.fillers_per_100_words, worst=8, best=0)
    return (fillers + between(facts.long_pauses_per_minute, worst=4, best=0)) / 2


def completeness(answers: Mapping[str, object]) -> float:
    """The share of the form's fields that have an answer, on the 1–10 scale."""
    return between(sum(answer is not None for answer in answers.values()), worst=0, best=len(answers))


@dataclass(frozen=True, slots=True)
class Part:
    """One criterion with a judged level, a measurement, or both."""

    key: str
    weight: float
    judged: str | None = None  # a key of LEVELS
    measured: float | None = None  # 1–10

    def score(self, judged_share: float) -> float:
        """1–10, one decimal.

        Raises:
            ValueError: neither judged nor measured.
        """
        if self.judged is None and self.measured is None:
            raise ValueError(f"criterion {self.key} is neither judged nor measured")
        if self.judged is None:
            return round(self.measured or LOWEST, 1)
        if self.measured is None:
            return LEVELS[self.judged]
        return round(judged_share * LEVELS[self.judged] + (1 - judged_share) * self.measured, 1)


def overall(scores: Sequence[tuple[float, float]]) -> float:
    """The mean of (score, weight) pairs by weight, one decimal; the plain mean when no weight is above zero."""
    total = sum(weight for _, weight in scores)
    if total <= 0:
        return round(sum(score for score, _ in scores) / len(scores), 1)
    return round(sum(score * weight for score, weight in scores) / total, 1)
