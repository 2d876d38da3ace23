"""Pure: which of the series that were measured grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from queueing.policy.growth import theil_sen

HOUR_SECONDS: Final = 3600.0
WARM_UP: Final = 0.25  # of the time: pools fill, caches warm up, files reach their size
BINS: Final = 60  # medians of the rest, between which slopes are taken: neighbours are too much alike

Points = Sequence[tuple[float, float]]
"""(seconds since the beginning, value)"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A series grows that is above all three of them."""

    unit: str
    per_hour: float  # what its slope is at least
    rise: float  # from `Trend.first` to `Trend.last`
    free: float = 0.0  # up to this value it is meant to grow: a log, until a new one is begun


@dataclass(frozen=True, slots=True)
class Trend:
    name: str
    unit: str
    samples: int
    first: float  # the medians of the first and the last tenth after the warm-up
    last: float
    per_hour: float
    least_per_hour: float
    bar: float
    grows: bool

    def as_json(self) -> dict[str, Any]:
        return {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}


def judge(series: Mapping[str, Points], bars: Mapping[str, Bar]) -> list[Trend]:
    """In the order of the bars; a series with too few points for a slope is left out."""
    return [trend for name, bar in bars.items() if (trend := _trend(name, series.get(name, ()), bar))]


def _trend(name: str, points: Points, bar: Bar) -> Trend | None:
    if not points:
        return None
    began, ended = points[0][0], points[-1][0]
    settled = [point for point in points if point[0] >= began + WARM_UP * (ended - began)]
    slope = theil_sen([*_medians(settled)])
    if slope is None:
        return None
    tenth = max(1, len(settled) // 10)
    first, last = (median(value for _, value in part) for part in (settled[:tenth], settled[-tenth:]))
    per_hour, least = slope.middle * HOUR_SECONDS, slope.least * HOUR_SECONDS
    grows = least > bar.per_hour and last - first > bar.rise and last > bar.free
    return Trend(name, bar.unit, len(points), first, last, per_hour, least, bar.per_hour, grows)


def _medians(points: Points) -> Iterator[tuple[float, float]]:
    """Of BINS parts with as many points each."""
    size = max(1, -(-len(points) // BINS))
    for at in range(0, len(points), size):
        part = points[at : at + size]
        yield median(x for x, _ in part), median(y for _, y in part)


def lines(trends: Sequence[Trend]) -> Iterator[str]:
    """A table for people, and a verdict."""
    width = max((len(trend.name) for trend in trends), default=0)
    yield f"{'':<{width}}  {'first':>9} {'last':>9} {'per hour':>10} {'at least':>10} {'bar':>7}"
    for one in trends:
        figures = f"{one.first:9.1f} {one.last:9.1f} {one.per_hour:+10.2f} {one.least_per_hour:+10.2f} {one.bar:7.1f}"
        yield f"{one.name:<{width}}  {figures} {one.unit:<5}{'GROWS' if one.grows else ''}".rstrip()
    grown = [trend.name for trend in trends if trend.grows]
    yield f"GROWS: {', '.join(grown)}" if grown else "nothing grows"
