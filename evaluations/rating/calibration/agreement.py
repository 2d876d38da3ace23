"""How far two markings agree, and how far a model's ratings are from those that a teacher would have given. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Final

from evaluations.rating import scoring

ENOUGH: Final = 10  # marked submissions, from which on ratings are called calibrated
TOP_BAND: Final = 8.0
CEILING, FLOOR = 0.95, 0.05  # of a class: an item that more pass, or fewer, tells nobody apart
CROWD: Final = 0.4  # of a class in the top band


def accuracy(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """The share of equal labels of two markings of the same things, from 0 to 1."""
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Cohen's kappa: the agreement beyond what chance would give (Cohen 1960, doi:10.1177/001316446002000104).

    1 is full agreement, 0 that of chance; NaN where both give everything the same label, which proves nothing.
    """
    observed, total = accuracy(first, second), len(first)
    counts, others = Counter(first), Counter(second)
    expected = sum(counts[label] * others[label] for label in counts) / total**2
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


def quadratic_weighted_kappa(first: Sequence[float], second: Sequence[float]) -> float:
    """Cohen's kappa for ordered labels, by the squared distance (Cohen 1968, doi:10.1037/h0026256).

    1 - (mean squared distance of the pairs) / (mean squared distance of all combinations); NaN as for `kappa`.
    """
    observed = sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) / len(first)
    expected = sum((a - b) ** 2 for a in first for b in second) / (len(first) * len(second))
    return math.nan if expected == 0 else 1 - observed / expected


@dataclass(frozen=True, slots=True)
class MarkedRating:
    """A rating, and what a person marked without seeing it."""

    credits: Mapping[str, float]  # by item, the program's: 1.0 true, 0.0 false, between them unsure
    marks: Mapping[str, bool]  # by item, the person's
    overall: float  # the program's
    overall_marked: float  # as the marks make it


@dataclass(frozen=True, slots=True)
class ItemAgreement:
    key: str
    marked: int
    yes: int  # of the marks
    right: float  # share of the program's answers, 0..1; unsure is not right
    kappa: float  # NaN: one label throughout
    unsure: float  # share

    def as_dict(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "marked": self.marked,
            "yes": self.yes,
            "right": round(self.right, 3),
            "kappa": None if math.isnan(self.kappa) else round(self.kappa, 3),
            "unsure": round(self.unsure, 3),
        }


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of all marked ratings together."""

    ratings: int
    items: tuple[ItemAgreement, ...]
    right: float  # share of all items; NaN without a mark
    weighted_kappa: float  # of the overall scores; NaN where nothing varies
    bias: float  # mean of the program's overall score minus that of the marks; NaN without a mark

    @property
    def is_enough(self) -> bool:
        return self.ratings >= ENOUGH

    def as_dict(self) -> dict[str, Any]:
        figures = {"right": self.right, "weighted_kappa": self.weighted_kappa, "bias": self.bias}
        return {
            "marked": self.ratings,
            "calibrated": self.is_enough,
            **{name: None if math.isnan(value) else round(value, 3) for name, value in figures.items()},
            "items": [item.as_dict() for item in self.items],
        }


def agreement(rated: Sequence[MarkedRating]) -> Agreement:
    """Items in the order in which they first occur; a mark of an item that the rating doesn't have is left out."""
    pairs: dict[str, list[tuple[float, bool]]] = {}
    for each in rated:
        for key, said in each.marks.items():
            if key in each.credits:
                pairs.setdefault(key, []).append((each.credits[key], said))
    items = tuple(_of_item(key, found) for key, found in pairs.items())
    total = sum(item.marked for item in items)
    ours, theirs = [each.overall for each in rated], [each.overall_marked for each in rated]
    return Agreement(
        ratings=len(rated),
        items=items,
        right=sum(item.right * item.marked for item in items) / total if total else math.nan,
        weighted_kappa=quadratic_weighted_kappa(ours, theirs) if rated else math.nan,
        bias=mean(ours) - mean(theirs) if rated else math.nan,
    )


def _of_item(key: str, found: Sequence[tuple[float, bool]]) -> ItemAgreement:
    labels = [credit if credit == scoring.UNCERTAIN_CREDIT else bool(credit) for credit, _ in found]
    marks = [said for _, said in found]
    return ItemAgreement(
        key=key,
        marked=len(found),
        yes=sum(marks),
        right=accuracy(labels, marks),
        kappa=kappa(labels, marks),
        unsure=sum(label == scoring.UNCERTAIN_CREDIT for label in labels) / len(labels),
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """How a class's ratings are spread: what tells nobody apart."""

    ratings: int
    ceiling: tuple[str, ...]  # items that nearly everybody passes
    floor: tuple[str, ...]  # … that nearly nobody passes
    top_share: float  # of the overall scores, from TOP_BAND on; NaN without one

    @property
    def is_crowded(self) -> bool:
        return self.top_share > CROWD

    def as_dict(self) -> dict[str, Any]:
        share = None if math.isnan(self.top_share) else round(self.top_share, 3)
        return {
            "ratings": self.ratings,
            "everybody_passes": list(self.ceiling),
            "nobody_passes": list(self.floor),
            "top_share": share,
            "crowded": self.is_crowded,
        }


def spread(overalls: Sequence[float], credits: Sequence[Mapping[str, float]]) -> Spread:
    """
    Args:
        credits: of each rating, by item. Below ENOUGH ratings no item is called one that tells nobody apart.
    """
    shares: dict[str, list[float]] = {}
    for each in credits:
        for key, credit in each.items():
            shares.setdefault(key, []).append(credit)
    known = {key: mean(found) for key, found in shares.items() if len(found) >= ENOUGH}
    return Spread(
        ratings=len(overalls),
        ceiling=tuple(key for key, share in known.items() if share > CEILING),
        floor=tuple(key for key, share in known.items() if share < FLOOR),
        top_share=mean(float(score >= TOP_BAND) for score in overalls) if overalls else math.nan,
    )
