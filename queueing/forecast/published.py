"""Pure: the estimates that are published. One goes up only for a reason.

A simulation every two seconds wobbles: a stage took longer than the last ones, so everybody's end moves. A student who
reads "about 4 min", then "about 5 min", trusts neither. So of two estimates of a task the lower one is published, and
when things go slowly the countdown pauses until they have caught up. (The lower end of the range may come up as far as
the upper one comes down.) It goes up, as far as the simulation says, when something has happened to this task:

- it was put back: a failure, a lost worker, a server that did not answer;
- somebody who was behind it, or not there, comes before it, or somebody before it was put back;
- the lab has changed: a node came or went, or has other slots;
- everything takes so long that even the best case is later than the worst one that was published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, sqrt
from typing import Final

from queueing.forecast.simulation import Moment

WIDTH: Final = 1.3  # standard deviations on either side: four of five fall between them if they are bell-shaped
SOONER: Final = 0.05  # of the time: what the simulation leaves out …
LATER: Final = 0.1  # … most of which, a poll here and a commit there, only takes longer


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long until the last stage is done."""

    low_seconds: float
    high_seconds: float


@dataclass(frozen=True, slots=True)
class PlaceInLine:
    """A task's place in the line, and what shows whether something happened to it."""

    task: int
    group: int  # its batch, counted from the first that is served; those of one group wait for each other
    setbacks: int  # claims that did not end in success


@dataclass(frozen=True, slots=True)
class Published:
    place: PlaceInLine
    estimate: Estimate | None  # None: work stands still
    whole_seconds: float = 0.0  # the longest that its way was ever estimated to take
    share: float = 0.0  # of that way, done; it never shrinks


def estimate(soonest: Moment, latest: Moment) -> Estimate:
    """From the earliest at which it is through if nobody else comes, to the latest if others still join its batch."""
    low = soonest.at * (1 - SOONER) - _width(soonest)
    high = max(moment.at * (1 + LATER) + _width(moment) for moment in (soonest, latest))
    return Estimate(max(low, 0.0), high)


def _width(moment: Moment) -> float:
    return WIDTH * sqrt(moment.variance + moment.doubt**2)


def publish(
    fresh: Mapping[int, Estimate], line: Sequence[PlaceInLine], previous: Mapping[int, Published], *, same_lab: bool
) -> dict[int, Published]:
    """The estimate of each task in `line`, which is in the order of its groups, given the `previous` ones."""
    furthest = _furthest(line, previous)
    result = {}
    for place in line:
        if (found := fresh.get(place.task)) is None:
            continue
        last = previous.get(place.task)
        if last and last.estimate and same_lab and furthest[place.group] <= last.place.group:
            found = _lower(found, last.estimate)
        result[place.task] = _on_its_way(place, found, last)
    return result


def standstill(previous: Mapping[int, Published]) -> dict[int, Published]:
    """Nothing is estimated, and nobody's way becomes longer."""
    return {task: replace(each, estimate=None) for task, each in previous.items()}


def _on_its_way(place: PlaceInLine, found: Estimate, last: Published | None) -> Published:
    before = last or Published(place, None)
    whole = max(before.whole_seconds, found.high_seconds)
    share = max(before.share, 1 - found.high_seconds / whole if whole else 0.0)
    return Published(place, found, whole, share)


def _furthest(line: Sequence[PlaceInLine], previous: Mapping[int, Published]) -> dict[int, float]:
    """By group: how far behind the one was that has come from furthest behind, of all that are in it or before it."""
    furthest, most = {}, -inf
    for place in line:
        last = previous.get(place.task)
        undisturbed = last and last.place.setbacks == place.setbacks
        most = max(most, last.place.group if last and undisturbed else inf)
        furthest[place.group] = most
    return furthest


def _lower(fresh: Estimate, last: Estimate) -> Estimate:
    if fresh.low_seconds > last.high_seconds:
        return fresh
    high = min(fresh.high_seconds, last.high_seconds)
    nearer = last.high_seconds - high  # as much as the lower end may rise: the middle of the range never does
    return Estimate(min(fresh.low_seconds, last.low_seconds + nearer), high)
