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


MIB: Final = 1024**2
ROOM_BYTES: Final = 1024 * MIB  # for the longest recording that a model may get
FEWEST_TASKS: Final = 6  # of one process's life, that say whether it grows with each


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """What one of our processes held after the last task, and by how much each of the last ones added to it."""

    name: str
    bytes: int
    tasks: int  # since it began
    per_task: float | None = None  # bytes; None: too few to say


def per_task(sizes: Sequence[tuple[int, int]]) -> float | None:
    """By how many bytes a process grows with each task; 0 if it does not. None: too few to say.

    Args:
        sizes: (tasks so far, bytes) after each of the last ones.
    """
    if len(sizes) < FEWEST_TASKS:
        return None
    slope = theil_sen(sizes)
    return slope.middle if slope and slope.least > 0 else 0.0


def most_bytes(first: int, setting: int) -> int:
    """How large a process may become before it is begun anew.

    By default twice what it held after its `first` task, and ROOM_BYTES. Never less than a quarter above that, whatever
    the setting is: it would be begun anew after each task.
    """
    return max(setting or 2 * first + ROOM_BYTES, first + first // 4)
