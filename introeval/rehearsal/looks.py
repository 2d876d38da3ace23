"""What the class was told of its waits, look by look, and held against how long they were in the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean

from queueing.forecast.published import Estimate
from queueing.models import Event, Forecast, Task, Worker

# What goes its way. Everything else (a failure, a hand-in, a pause, a rescue …) may make a wait longer.
ORDINARY = (
    "join",
    "claim",
    "advance",
    "finish",
    "plan",
    *(f"phase_{step}" for step in ("idle", "loading", "active", "draining", "unloading", "verifying")),
)
AT_ONCE = timedelta(seconds=0.1)  # what is committed is not seen in the moment that its event tells


@dataclass(frozen=True, slots=True)
class Look:
    at: datetime
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Verdict:
    told: int  # tasks of which something was said
    looks: int  # how often it was said anew
    first_within: float  # share of the tasks whose first range held
    within: float  # share of the looks whose range held
    width: float  # of a range, as a share of its middle, on average
    rises: int  # an upper end that went up
    corrections: int  # … while everything went its way, but so slowly that what had been said did not hold
    rises_without_reason: int  # … and what had been said would have held

    def as_json(self) -> dict[str, float]:
        return {name: round(figure, 3) for name, figure in asdict(self).items()}


@dataclass
class Looks:
    """As a student's page does, who watches the line all the time."""

    of_task: dict[int, list[Look]] = field(default_factory=lambda: defaultdict(list))
    _seen: datetime | None = None

    def look(self) -> None:
        row = Forecast.objects.current()
        if row.made_at == self._seen or not row.ranges:
            return
        self._seen = row.made_at
        for task in row.published:
            if found := row.of(task):
                self.of_task[task].append(Look(row.made_at, found))

    def judge(self) -> Verdict:
        ended = Task.objects.values_list("pk", "finished_at")
        ends = {task: at for task, at in ended if at}
        reasons = [*Event.objects.exclude(kind__in=ORDINARY).values_list("at", flat=True)]
        reasons += Worker.objects.values_list("started_at", flat=True)
        return verdict(self.of_task, ends, sorted(reasons))


def verdict(
    of_task: Mapping[int, Sequence[Look]], ends: Mapping[int, datetime], reasons: Sequence[datetime]
) -> Verdict:
    told = {task: [look for look in looks if look.at <= ends[task]] for task, looks in of_task.items() if task in ends}
    told = {task: looks for task, looks in told.items() if looks}
    every = [_holds(look, ends[task]) for task, looks in told.items() for look in looks]
    rises = [(*pair, task) for task, looks in told.items() for pair in pairwise(looks) if _rose(*pair)]
    calm = [(before, task) for before, after, task in rises if not _any(reasons, before.at, after.at)]
    corrections = sum(_is_over(before, ends[task]) for before, task in calm)
    return Verdict(
        told=len(told),
        looks=len(every),
        first_within=_share(_holds(looks[0], ends[task]) for task, looks in told.items()),
        within=_share(every),
        width=_share(_width(looks[0].estimate) for looks in told.values()),
        rises=len(rises),
        corrections=corrections,
        rises_without_reason=len(calm) - corrections,
    )


def _holds(look: Look, end: datetime) -> bool:
    truth = (end - look.at).total_seconds()
    return look.estimate.low_seconds <= truth <= look.estimate.high_seconds


def _any(reasons: Sequence[datetime], since: datetime, until: datetime) -> bool:
    return any(since - AT_ONCE <= at <= until + AT_ONCE for at in reasons)


def _is_over(look: Look, end: datetime) -> bool:
    return (end - look.at).total_seconds() > look.estimate.high_seconds


def _rose(before: Look, after: Look) -> bool:
    return after.estimate.high_seconds > before.estimate.high_seconds


def _width(estimate: Estimate) -> float:
    return 2 * (estimate.high_seconds - estimate.low_seconds) / (estimate.high_seconds + estimate.low_seconds)


def _share(values: Iterable[float]) -> float:
    found = list(values)
    return fmean(found) if found else 0.0
