"""What has ended lately: how many, how many of them well, after which wait, and whether the estimates held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from django.db.models import Count, Q
from django.db.models.functions import Now
from django.utils.timezone import localtime

from queueing.models import LabSample, Task
from queueing.models.history import HOUR_SECONDS
from queueing.report.lesson import TimeSpread
from queueing.states import State

WAITS_SECONDS: Final = float(HOUR_SECONDS)  # how far back waits and estimates are looked at


class Window(StrEnum):
    FIVE_MINUTES = "five_minutes"
    HOUR = "hour"
    TODAY = "today"
    """Since midnight in TIME_ZONE."""


_LENGTHS: Final = {Window.FIVE_MINUTES: timedelta(minutes=5), Window.HOUR: timedelta(hours=1)}


@dataclass(frozen=True, slots=True)
class EndedTasks:
    """Of one pipeline within a window."""

    done: int
    failed: int
    cancelled: int

    @property
    def error_share(self) -> float | None:
        """Of those that were not cancelled: that failed. None: there are none."""
        ended = self.done + self.failed
        return round(self.failed / ended, 4) if ended else None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"error_share": self.error_share}


def read() -> dict[str, Any]:
    """All of it as plain values; lengths of time in seconds, shares 0..1. Read by index: it does not grow with time."""
    ends = _ends()
    return {
        "ended": {window.value: ended(window) for window in Window},
        "waits": {pipeline: asdict(spread) for pipeline, spread in waits(ends).items()},
        "estimates_held": estimates_held(ends),
    }


def ended(window: Window) -> dict[str, dict[str, Any]]:
    """By pipeline, those in which something ended."""
    since = Now() - _LENGTHS[window] if window in _LENGTHS else _midnight()
    return {pipeline: found.as_dict() for pipeline, found in _counted(Q(finished_at__gte=since)).items()}


def ended_between(since: datetime, until: datetime) -> dict[str, EndedTasks]:
    return _counted(Q(finished_at__gte=since, finished_at__lt=until))


def waits(ends: Iterable[_End] | None = None) -> dict[str, TimeSpread]:
    """By pipeline: from handing in to the result, of those that ended well within WAITS_SECONDS."""
    seconds: dict[str, list[float]] = defaultdict(list)
    for end in _ends() if ends is None else ends:
        seconds[end.pipeline].append((end.at - end.created_at).total_seconds())
    return {pipeline: spread for pipeline, found in seconds.items() if (spread := TimeSpread.of(found))}


def estimates_held(ends: Iterable[_End]) -> float | None:
    """The share of the estimates, one a minute of each task in line, within which it ended. None: there are none."""
    by_task = {str(end.pk): end.at for end in ends}
    since = Now() - timedelta(seconds=2 * WAITS_SECONDS)  # what ended lately may have waited for long
    held = [
        earliest <= (by_task[task] - at).total_seconds() <= latest
        for at, estimates in LabSample.objects.filter(at__gte=since).values_list("at", "estimates")
        for task, (earliest, latest) in estimates.items()
        if task in by_task
    ]
    return round(sum(held) / len(held), 4) if held else None


@dataclass(frozen=True, slots=True)
class _End:
    pk: int
    pipeline: str
    created_at: datetime
    at: datetime


def _ends() -> list[_End]:
    """What ended well within WAITS_SECONDS."""
    lately = Task.objects.filter(state=State.DONE, finished_at__gte=Now() - timedelta(seconds=WAITS_SECONDS))
    rows = lately.values_list("pk", "pipeline", "created_at", "finished_at")
    return [_End(pk, pipeline, created_at, at) for pk, pipeline, created_at, at in rows if at]


def _counted(when: Q) -> dict[str, EndedTasks]:
    rows = Task.objects.filter(when).values_list("pipeline", "state").annotate(tasks=Count("pk")).order_by("pipeline")
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for pipeline, state, tasks in rows:
        found[pipeline][state] = tasks
    return {pipeline: _ended(states) for pipeline, states in found.items()}


def _ended(states: Mapping[str, int]) -> EndedTasks:
    return EndedTasks(*(states.get(state, 0) for state in (State.DONE, State.FAILED, State.CANCELLED)))


def _midnight() -> datetime:
    return localtime().replace(hour=0, minute=0, second=0, microsecond=0)
