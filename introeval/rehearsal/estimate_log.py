"""Every estimate of a wait that the class was shown, compared with how long the wait was in the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import fmean

from queueing.forecast.published import Estimate
from queueing.models import Event, Forecast, Task, Worker

# Kinds of events that never make a wait longer. Every other one (a failure, a hand-in, a pause, a rescue …) may.
NEVER_LONGER = (
    "join",
    "claim",
    "advance",
    "finish",
    "plan",
    *(f"phase_{step}" for step in ("idle", "loading", "active", "draining", "unloading", "verifying")),
)
COMMIT_DELAY = timedelta(seconds=0.1)  # a commit is visible a little later than its event is stamped


@dataclass(frozen=True, slots=True)
class SeenEstimate:
    at: datetime
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class EstimateAccuracy:
    told: int  # tasks with an estimate
    looks: int  # estimates shown
    first_within: float  # share of the tasks whose first range held
    within: float  # share of the estimates whose range held
    width: float  # of a range, as a share of its middle, on average
    rises: int  # an upper end that went up
    corrections: int  # … without such an event, when the estimate before would not have held
    rises_without_reason: int  # … and it would have held

    def as_json(self) -> dict[str, float]:
        return {name: round(figure, 3) for name, figure in asdict(self).items()}


@dataclass
class EstimateLog:
    """The estimates that the page of a student shows who watches the queue all the time."""

    of_task: dict[int, list[SeenEstimate]] = field(default_factory=lambda: defaultdict(list))
    _seen: datetime | None = None

    def record(self) -> None:
        row = Forecast.objects.current()
        if row.made_at == self._seen or not row.ranges:
            return
        self._seen = row.made_at
        for task in row.published:
            if found := row.of(task):
                self.of_task[task].append(SeenEstimate(row.made_at, found))

    def accuracy(self) -> EstimateAccuracy:
        ended = Task.objects.values_list("pk", "finished_at")
        ends = {task: at for task, at in ended if at}
        reasons = [*Event.objects.exclude(kind__in=NEVER_LONGER).values_list("at", flat=True)]
        reasons += Worker.objects.values_list("started_at", flat=True)
        return measure(self.of_task, ends, sorted(reasons))


def measure(
    of_task: Mapping[int, Sequence[SeenEstimate]], ends: Mapping[int, datetime], reasons: Sequence[datetime]
) -> EstimateAccuracy:
    told = {task: [look for look in looks if look.at <= ends[task]] for task, looks in of_task.items() if task in ends}
    told = {task: looks for task, looks in told.items() if looks}
    every = [_holds(look, ends[task]) for task, looks in told.items() for look in looks]
    rises = [(*pair, task) for task, looks in told.items() for pair in pairwise(looks) if _is_higher(*pair)]
    calm = [(before, task) for before, after, task in rises if not _any_between(reasons, before.at, after.at)]
    corrections = sum(_is_over(before, ends[task]) for before, task in calm)
    return EstimateAccuracy(
        told=len(told),
        looks=len(every),
        first_within=_share(_holds(looks[0], ends[task]) for task, looks in told.items()),
        within=_share(every),
        width=_share(_width(looks[0].estimate) for looks in told.values()),
        rises=len(rises),
        corrections=corrections,
        rises_without_reason=len(calm) - corrections,
    )


def _holds(look: SeenEstimate, end: datetime) -> bool:
    truth = (end - look.at).total_seconds()
    return look.estimate.low_seconds <= truth <= look.estimate.high_seconds


def _any_between(reasons: Sequence[datetime], since: datetime, until: datetime) -> bool:
    return any(since - COMMIT_DELAY <= at <= until + COMMIT_DELAY for at in reasons)


def _is_over(look: SeenEstimate, end: datetime) -> bool:
    return (end - look.at).total_seconds() > look.estimate.high_seconds


def _is_higher(before: SeenEstimate, after: SeenEstimate) -> bool:
    return after.estimate.high_seconds > before.estimate.high_seconds


def _width(estimate: Estimate) -> float:
    return 2 * (estimate.high_seconds - estimate.low_seconds) / (estimate.high_seconds + estimate.low_seconds)


def _share(values: Iterable[float]) -> float:
    found = list(values)
    return fmean(found) if found else 0.0
