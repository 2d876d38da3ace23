"""Pure: how fast a figure grows, so that a leak is seen and a single leap is not taken for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Final

SURENESS: Final = 2.576  # standard deviations: of slopes of what does not grow, one in 200 is thought to grow


@dataclass(frozen=True, slots=True)
class Slope:
    """Per unit of x. `least` is what it is at least, as far as the points can say."""

    middle: float
    least: float


def theil_sen(points: Sequence[tuple[float, float]]) -> Slope | None:
    """The median of the slopes between all pairs of points (Theil 1950), with Sen's bound (1968) below it.

    A third of the points may be anything. None for fewer than three, or where all have the same x.
    """
    pairs = combinations(sorted(points), 2)
    slopes = sorted((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in pairs if x2 > x1)
    n = len(points)
    if n < 3 or not slopes:
        return None
    spread = SURENESS * math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return Slope(median(slopes), slopes[max(0, math.floor((len(slopes) - spread) / 2))])
