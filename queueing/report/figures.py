"""The queue in figures: the same for commands, pages and the API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Avg, Count, F, Min, Prefetch, Q
from django.db.models.functions import Now

from queueing import pipelines
from queueing.models import Alert, Attempt, Breaker, Forecast, Overflow, Pause, Phase, Task, Worker
from queueing.policy.alerts import Severity
from queueing.report import lately, samples
from queueing.states import ENDED, State

HOUR_SECONDS: Final = 3600.0
WAITS_COUNTED: Final = 100  # the last ones
MOST_DONE: Final = 1000  # an hour, that are counted


def status() -> dict[str, Any]:
    """The state of the queue as plain values; lengths of time in seconds.

    The number of queries does not depend on the number of rows.
    """
    places = Task.objects.positions()
    live = _live(places, Forecast.objects.current())
    groups = _groups()
    ends = [task["estimate"] for task in live if task["estimate"]]
    waits = {row["stage"]: _seconds(row["oldest"]) for row in groups if row["state"] == State.QUEUED}
    return {
        "alerts": alerts(),
        "phases": [_phase(row) for row in _phases()],
        "pauses": pauses(),
        "servers": servers(),
        "counts": _counts(groups),
        "passed": _passed(groups),
        "statuses": _statuses(groups, live),
        "oldest_seconds": max(waits.values(), default=0.0),
        "oldest_seconds_of_stage": waits,
        "workers": [_worker(row) for row in _workers()],
        "failures": _failures(),
        "nodes": samples.nodes_now(),
        "recent": lately.read(),
        "finish": max(ends, key=lambda one: float(one["high_seconds"]), default=None),
        "positions": {str(task): place for task, place in places.items()},
        "tasks": live,
    }


def alerts() -> list[dict[str, Any]]:
    """The active alerts, the worst first."""
    rows = sorted(Alert.objects.active(), key=lambda row: (row.severity != Severity.CRITICAL, row.since))
    return [_alert(row) for row in rows]


def lines() -> list[dict[str, Any]]:
    """Of each pipeline: how many wait and run, how many may wait, how long the last ones waited, what was done."""
    live = Task.objects.live().values_list("pipeline", "state").annotate(tasks=Count("pk")).order_by()
    counts = {(pipeline, state): tasks for pipeline, state, tasks in live}
    refused = dict(Overflow.objects.values_list("pipeline", "refused"))
    return [
        {
            "pipeline": name,
            "active": counts.get((name, State.RUNNING), 0),
            "waiting": counts.get((name, State.QUEUED), 0),
            "capacity": pipelines.get(name).max_waiting,
            "mean_wait_seconds": _mean_wait(name),
            "done_last_hour": _done_lately(name),
            "refused": refused.get(name, 0),
        }
        for name in pipelines.names()
    ]


def _done_lately(pipeline: str) -> int:
    """Within an hour, MOST_DONE at most: read from the newest on, however many there ever were."""
    ends = Attempt.objects.filter(stage=pipelines.get(pipeline).stages[-1].name, outcome="succeeded").order_by("-pk")
    ages = ends.annotate(age=Now() - F("ended_at")).values_list("age", flat=True)[:MOST_DONE]
    return sum(age.total_seconds() < HOUR_SECONDS for age in ages)


def _mean_wait(pipeline: str) -> float | None:
    """From the hand-in to the first claim, of the last that succeeded at once; None: there is none."""
    first = Attempt.objects.filter(stage=pipelines.get(pipeline).stages[0].name, outcome="succeeded")
    waits = (
        first.filter(epoch=1)
        .order_by("-pk")
        .annotate(wait=F("began_at") - F("task__created_at"))
        .values("wait")[:WAITS_COUNTED]
    )
    mean = waits.aggregate(mean=Avg("wait"))["mean"]
    return _seconds(mean) if mean is not None else None


def pauses() -> list[dict[str, Any]]:
    """The active pauses: what, where, why, by whom, until when."""
    return [_pause(row) for row in Pause.objects.active().order_by("since")]


def servers() -> list[dict[str, Any]]:
    """The model servers that failed and have not answered since."""
    return [_server(row) for row in Breaker.objects.filter(failures__gt=0).now()]


def _alert(row: Alert) -> dict[str, Any]:
    return {
        "id": row.pk,
        "kind": row.kind,
        "subject": row.subject or None,
        "severity": row.severity,
        "text": row.text,
        "cure": row.cure,
        "value": row.value,
        "since": row.since.isoformat(),
        "last_seen": row.last_seen.isoformat(),
        "acknowledged_by": row.acknowledged_by or None,
    }


def _server(row: Breaker) -> dict[str, Any]:
    left = (row.open_until - row.now).total_seconds() if row.open_until else 0.0
    return {
        "server": row.server,
        "open": row.openings > 0,
        "failures": row.failures,
        "opened_at": _moment(row.opened_at),
        "again_in_seconds": round(max(left, 0.0), 1),
        "asked": row.breaker_state.asked and left > 0,
        "error": row.error,
        "restarts": row.restarts,
        "given_up": row.given_up,
    }


def _pause(row: Pause) -> dict[str, Any]:
    return {
        "what": row.what,
        "node": row.node or None,
        "drain": row.drain,
        "reason": row.reason,
        "by": row.by,
        "since": row.since.isoformat(),
        "until": _moment(row.until),
    }


def _phases() -> Iterable[Any]:
    held = Q(pk__in=Phase.objects.wished().values("pk"))
    return Phase.objects.annotate(age=Now() - F("since"), held=held).order_by("node")


def _phase(row: Any) -> dict[str, Any]:
    return {
        "node": row.node,
        "phase": row.name or None,
        "step": row.step,
        "target": row.target or None,
        "reason": row.reason,
        "since": row.since.isoformat(),
        "since_seconds": _seconds(row.age),
        "plan": row.plan,
        "wanted": row.wanted if row.held else None,
        "wanted_until": _moment(row.wanted_until if row.held else None),
    }


def _live(places: dict[int, int], forecast: Forecast) -> list[dict[str, Any]]:
    """Every task that has not ended, in the order of service."""
    line = Task.objects.live().in_turn().select_related("batch")
    return [
        {
            "id": task.pk,
            "pipeline": task.pipeline,
            "stage": task.stage,
            "state": task.state,
            "status": task.status.value,
            "position": places.get(task.pk),
            "estimate": asdict(found) if (found := forecast.of(task.pk)) else None,
            "worker": str(task.worker_id) if task.worker_id else None,
            "progress_done": task.progress_done,
            "progress_total": task.progress_total,
        }
        for task in line
    ]


def _groups() -> list[Any]:
    """How many tasks there are of each stage and state; of those that live, also how long the first is in its stage."""
    found = Task.objects.values("stage", "state").annotate(tasks=Count("state")).order_by("stage", "state")
    waits = Task.objects.live().values("stage", "state").annotate(oldest=Now() - Min("staged_at"))
    oldest = {(row["stage"], row["state"]): row["oldest"] for row in waits.order_by()}
    return [{**row, "oldest": oldest.get((row["stage"], row["state"]), timedelta())} for row in found]


def _counts(groups: Iterable[Any]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for row in groups:
        counts.setdefault(row["stage"], {})[row["state"]] = row["tasks"]
    return counts


def _passed(groups: Iterable[Any]) -> dict[str, int]:
    """How many tasks are through with each stage: those that are in a later one, and those that are done."""
    rows = list(groups)
    passed: dict[str, int] = {}
    for name in pipelines.names():
        stages = [spec.name for spec in pipelines.get(name).stages]
        for place, stage in enumerate(stages):
            later = stages[place + 1 :]
            passed[stage] = sum(
                row["tasks"]
                for row in rows
                if row["stage"] in later or (row["stage"] == stage and row["state"] == State.DONE)
            )
    return passed


def _statuses(groups: Iterable[Any], live: Iterable[dict[str, Any]]) -> dict[str, int]:
    """How many tasks there are of each status, in the order of their way through the queue."""
    counts = Counter(str(task["status"]) for task in live)
    for row in groups:
        if row["state"] in ENDED:
            ended = pipelines.spec_of(row["stage"]).status(row["state"], tried=False, batch_phase=None)
            counts[ended.value] += row["tasks"]
    return {word: counts[word] for word in pipelines.status_words() if counts[word]}


def _failures() -> dict[str, int]:
    """Failed tasks by their error's code, the most frequent first."""
    found = Task.objects.filter(state=State.FAILED).values("error_code").annotate(tasks=Count("error_code"))
    return {row["error_code"]: row["tasks"] for row in found.order_by("-tasks", "error_code")}


def _workers() -> Iterable[Worker]:
    running = Prefetch("tasks", queryset=Task.objects.filter(state=State.RUNNING).order_by("pk").only("pk", "worker"))
    return Worker.objects.with_silence().prefetch_related(running)


def _worker(row: Worker) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "node": row.node,
        "pid": row.pid,
        "last_heartbeat_at": row.last_heartbeat_at.isoformat(),
        "silent_seconds": _seconds(row.silence),
        "alive": row.is_alive,
        "tasks": [task.pk for task in row.tasks.all()],
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _seconds(span: timedelta) -> float:
    return round(span.total_seconds(), 1)
