"""A lesson in figures: what was handed in and came of it, how long it took, and which of the lab's targets were met."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Subquery, Value
from django.db.models.functions import Coalesce

from queueing import pipelines
from queueing.models import Attempt, Event, LessonRecord, Task, Worker
from queueing.report.health import FAILED, database_time
from queueing.states import ENDED, LIVE, State

GAP: Final = timedelta(minutes=30)  # without anything handed in: what comes then is another lesson
LOOK_BACK: Final = 2000  # tasks, in search of a lesson's beginning
TARGET_STUDENTS: Final = 30


@dataclass(frozen=True, slots=True)
class TimeSpread:
    """Of some lengths of time, in seconds."""

    count: int
    mean: float
    p50: float
    p90: float
    longest: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> TimeSpread | None:
        """None: there are none."""
        found = sorted(seconds)
        if not found:
            return None
        middle, late = (found[math.ceil(len(found) * share) - 1] for share in (0.5, 0.9))
        return cls(len(found), *(round(value, 1) for value in (sum(found) / len(found), middle, late, found[-1])))


@dataclass(frozen=True, slots=True)
class LabTarget:
    """What the lab wants to reach. `reached` is None where nothing can be said."""

    name: str
    wanted: str
    value: float | None
    reached: bool | None

    @property
    def was(self) -> str:
        """The value as `wanted` has it: a share in percent."""
        if self.value is None:
            return "–"
        return f"{self.value:.1%}" if self.wanted.endswith("%") else f"{self.value:g}"


@dataclass(frozen=True, slots=True)
class Lesson:
    """Of one pipeline, from `since` to `until`; shares are 0..1 and None where there was nothing to count."""

    since: datetime
    until: datetime
    handed_in: int
    students: int
    states: Mapping[str, int]
    makespan_seconds: float | None  # from the first that was handed in to `until`
    per_hour: float | None  # results
    waits: TimeSpread | None  # from handing in to the result
    stages: Mapping[str, TimeSpread]  # computing, by the stage's name for people
    errors: Mapping[str, int]  # failed tasks by their code
    success: float | None  # of what has ended and was not cancelled
    first_try: float | None  # of the results: without any failed attempt
    recovery: float | None  # of tasks with a failed attempt that have ended: that ended well
    available: float | None  # of the time: a worker was alive
    hand_overs: int  # of the GPU
    lost: int | None = None  # stored videos that are missing or damaged; None: not looked at
    targets: Sequence[LabTarget] = field(default_factory=tuple)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"since": self.since.isoformat(), "until": self.until.isoformat()}

    @classmethod
    def of_dict(cls, figures: Mapping[str, Any]) -> Lesson:
        """Of `as_dict`, as it was stored."""
        spread = figures["waits"]
        return cls(
            **{
                **figures,
                "since": datetime.fromisoformat(figures["since"]),
                "until": datetime.fromisoformat(figures["until"]),
                "waits": spread and TimeSpread(**spread),
                "states": _by_state(figures["states"]),
                "stages": _by_stage({stage: TimeSpread(**found) for stage, found in figures["stages"].items()}),
                "errors": _by_number(figures["errors"]),
                "targets": tuple(LabTarget(**found) for found in figures["targets"]),
            }
        )


def last_began(pipeline: str) -> datetime | None:
    """When the newest lesson began: nothing was handed in for GAP before it. None: there is none yet."""
    newest = Task.objects.filter(pipeline=pipeline).order_by("-pk").values_list("created_at", flat=True)[:LOOK_BACK]
    began: datetime | None = None
    for at in sorted(newest, reverse=True):
        if began is not None and began - at > GAP:
            break
        began = at
    return began


def is_to_be_kept(pipeline: str) -> bool:
    """Whether nothing of the pipeline waits or runs any more, and something has ended since the last one was kept."""
    tasks = Task.objects.filter(pipeline=pipeline)
    kept = LessonRecord.objects.filter(pipeline=pipeline).order_by("-made_at").values("made_at")[:1]
    since = Coalesce(Subquery(kept), Value(datetime.min.replace(tzinfo=UTC)))
    return tasks.filter(finished_at__gt=since).exists() and not tasks.live().exists()


def keep(pipeline: str, *, lost: int | None = None) -> Lesson | None:
    """Store the report of the newest lesson: one row, whoever does it and however often the line runs empty in it.

    None: there is none.
    """
    since = last_began(pipeline)
    if since is None:
        return None
    found = read(pipeline, since, lost=lost)
    LessonRecord.objects.update_or_create(
        pipeline=pipeline,
        since=since,
        defaults={"until": found.until, "figures": found.as_dict(), "made_at": database_time()},
    )
    return found


def last_kept(pipeline: str) -> Lesson | None:
    """The newest lesson that was stored."""
    kept = LessonRecord.objects.filter(pipeline=pipeline).first()
    return Lesson.of_dict(kept.figures) if kept else None


def read(pipeline: str, since: datetime, *, lost: int | None = None, scale: float = 1.0) -> Lesson:
    """The lesson that began then, up to its end, or to now while something of it is under way.

    Args:
        lost: see `Lesson`.
        scale: seconds by the clock in one of the lesson; below 1 it was played quicker than a class would be.
    """
    columns = ("pk", "owner_key", "state", "error_code", "created_at", "finished_at")
    tasks = list(Task.objects.filter(pipeline=pipeline, created_at__gte=since).values_list(*columns, named=True))
    ended = [task for task in tasks if task.state in ENDED]
    done = [task for task in tasks if task.state == State.DONE]
    failed = [task for task in tasks if task.state == State.FAILED]
    last = max((task.finished_at for task in ended), default=None)
    until = last if last and len(ended) == len(tasks) else database_time()
    whole = (until - min(task.created_at for task in tasks)).total_seconds() / scale if ended else None
    stages, stumbled = _attempts(pipeline, since, scale)
    lesson = Lesson(
        since=since,
        until=until,
        handed_in=len(tasks),
        students=len({task.owner_key for task in tasks}),
        states=_by_state(Counter(task.state for task in tasks)),
        makespan_seconds=None if whole is None else round(whole, 1),
        per_hour=round(3600 * len(done) / whole, 1) if whole else None,
        waits=TimeSpread.of((task.finished_at - task.created_at).total_seconds() / scale for task in done),
        stages=_by_stage(stages),
        errors=_by_number(Counter(task.error_code for task in failed)),
        success=_share([task in done for task in [*done, *failed]]),
        first_try=_share([task.pk not in stumbled for task in done]),
        recovery=_share([task in done for task in [*done, *failed] if task.pk in stumbled]),
        available=_available(since, until),
        hand_overs=Event.objects.filter(kind="phase_unloading", at__gte=since, at__lte=until).count(),
        lost=lost,
    )
    return replace(lesson, targets=_targets(lesson))


def _attempts(pipeline: str, since: datetime, scale: float) -> tuple[dict[str, TimeSpread], set[int]]:
    """How long the stages computed, and the tasks of which an attempt failed."""
    ended = Attempt.objects.filter(task__pipeline=pipeline, task__created_at__gte=since, ended_at__isnull=False)
    seconds: dict[str, list[float]] = defaultdict(list)
    stumbled = set()
    for task, stage, outcome, took in ended.values_list("task_id", "stage", "outcome", "compute_seconds"):
        if outcome in FAILED:
            stumbled.add(task)
        elif outcome == "succeeded" and took is not None:
            seconds[stage].append(took / scale)
    names = {stage: str(pipelines.spec_of(stage).verbose_name) for stage in seconds}
    return {names[stage]: spread for stage, found in seconds.items() if (spread := TimeSpread.of(found))}, stumbled


def _by_state(counts: Mapping[str, int]) -> dict[str, int]:
    return {state.value: counts[state] for state in (*ENDED, *LIVE) if counts.get(state)}


def _by_stage(spreads: Mapping[str, TimeSpread]) -> dict[str, TimeSpread]:
    """In the order of their way through the pipeline; a database keeps none."""
    names = [str(spec.verbose_name) for spec in pipelines.specs()]
    return dict(sorted(spreads.items(), key=lambda item: names.index(item[0]) if item[0] in names else len(names)))


def _by_number(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _available(since: datetime, until: datetime) -> float | None:
    """The share of that time in which a worker was alive, as far as its heartbeats show."""
    if until <= since:
        return None
    rows = Worker.objects.filter(started_at__lt=until, last_heartbeat_at__gt=since).order_by("started_at")
    covered, reached = timedelta(), since
    for began, beat, stopped in rows.values_list("started_at", "last_heartbeat_at", "stopped_at"):
        # A living one is alive between two heartbeats, too.
        end = min(until, stopped or beat + timedelta(seconds=settings.LEASE_SECONDS))
        if end > reached:
            covered += end - max(reached, began)
            reached = end
    return round(covered / (until - since), 4)


def _share(hits: Sequence[bool]) -> float | None:
    return round(sum(hits) / len(hits), 4) if hits else None


def _targets(lesson: Lesson) -> tuple[LabTarget, ...]:
    """What the lab wants, for a class of TARGET_STUDENTS: a smaller lesson says nothing of the first one."""
    whole = lesson.makespan_seconds if lesson.handed_in >= TARGET_STUDENTS else None
    return (
        _at_most("minutes for 30 students", 15, None if whole is None else whole / 60),
        _at_most("mean wait for a result, minutes", 7.5, lesson.waits.mean / 60 if lesson.waits else None),
        _at_least("tasks that end well", 0.98, lesson.success),
        _at_least("results at the first try", 0.80, lesson.first_try),
        _at_least("failed tries that recover", 0.95, lesson.recovery),
        _at_least("time with a living worker", 0.995, lesson.available),
        _at_most("videos lost", 0, lesson.lost),
    )


def _at_most(name: str, most: float, value: float | None) -> LabTarget:
    shown = None if value is None else round(value, 2)
    return LabTarget(name, f"at most {most:g}", shown, None if value is None else value <= most)


def _at_least(name: str, least: float, share: float | None) -> LabTarget:
    return LabTarget(name, f"at least {least:.1%}", share, None if share is None else share >= least)
