"""How sure a model is, against how often it is right: fitted for a model and a rubric from texts that people marked.

A small model says "true" too readily, and of some items more than of others, though it ranks speeches well by each. So
its probability p becomes sigmoid(slope · logit(p) + intercept of the item): one slope for all items and an intercept of
each, fitted by logistic regression (Platt scaling), held back by a small penalty where there are few marks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).with_name("calibrations.json")
CLIP = 1e-4  # of probabilities: beyond it a model's certainty says no more
PENALTY = 0.5  # on the square of each intercept's distance from their mean, in marks
MAX_MARGIN = 0.15  # on both sides of 0.5: what is closer is uncertain
UNCERTAIN_SHARE = 0.1  # of the marks that a margin is fitted to: as many lie within it at most
STEPS, RATE = 4000, 0.05  # of the gradient's descent


@dataclass(frozen=True, slots=True)
class Calibration:
    """`intercepts`: by item; an item without one, of a rubric that was changed since, has 0."""

    slope: float = 1.0
    intercepts: Mapping[str, float] = field(default_factory=dict)
    margin: float = MAX_MARGIN

    def probability(self, item: str, told: float) -> float:
        """The probability that the item is true, of the one that the model told, 0..1."""
        return _sigmoid(self.slope * _logit(told) + self.intercepts.get(item, 0.0))

    def as_dict(self) -> dict[str, Any]:
        return {"slope": self.slope, "intercepts": dict(self.intercepts), "margin": self.margin}


NONE: Final = Calibration()
"""Probabilities are taken as they are told."""


def of(model_digest: str, rubric_digest: str) -> Calibration:
    """The one fitted for this model's file and this rubric; NONE where there is none."""
    return _fitted().get((model_digest, rubric_digest), NONE)


@cache
def _fitted() -> dict[tuple[str, str], Calibration]:
    return {
        (each["model_sha256"], each["rubric_sha256"]): Calibration(each["slope"], each["intercepts"], each["margin"])
        for each in json.loads(FILE.read_text())
    }


def fit(marks: Sequence[tuple[str, float, bool]]) -> Calibration:
    """Of (item, probability that the model told, whether people say it is true).

    Raises:
        ValueError: there are no marks, or they all say the same.
    """
    if len({said for _, _, said in marks}) < 2:
        raise ValueError("marks of both kinds are needed")
    points = [(item, _logit(told), float(said)) for item, told, said in marks]
    slope, intercepts = 1.0, dict.fromkeys({item for item, _, _ in points}, 0.0)
    for _ in range(STEPS):
        mean = sum(intercepts.values()) / len(intercepts)
        by_slope, by_item = 0.0, {item: PENALTY * (value - mean) for item, value in intercepts.items()}
        for item, at, said in points:
            error = _sigmoid(slope * at + intercepts[item]) - said
            by_slope += error * at
            by_item[item] += error
        slope -= RATE * by_slope / len(points)
        intercepts = {
            item: value - RATE * by_item[item] * len(intercepts) / len(points) for item, value in intercepts.items()
        }
    fitted = Calibration(round(slope, 4), {item: round(value, 4) for item, value in sorted(intercepts.items())})
    return replace(fitted, margin=_margin([fitted.probability(item, told) for item, told, _ in marks]))


def _margin(probabilities: Sequence[float]) -> float:
    """A model that is seldom sure would leave most to a person, though it is right more often than not."""
    distances = sorted(abs(probability - 0.5) for probability in probabilities)
    return round(min(MAX_MARGIN, distances[int(UNCERTAIN_SHARE * len(distances))]), 3)


def _logit(probability: float) -> float:
    clipped = min(max(probability, CLIP), 1 - CLIP)
    return math.log(clipped / (1 - clipped))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
