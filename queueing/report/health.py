"""What the database and this machine say about the lab's health, for `policy.alerts`."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Exists, F, OuterRef
from django.db.models.functions import Now

from queueing import pipelines
from queueing.models import Attempt, Breaker, Phase, Task, Worker
from queueing.policy.alerts import LabFacts, NodeFacts, RunningFacts, StageFacts, Threshold, Thresholds
from queueing.states import PhaseStep, State

LAST_ATTEMPTS: Final = 20
RECENT_SECONDS: Final = 3600.0
LOOK_BACK: Final = 100  # attempts: those that were interrupted or handed back say nothing, and are passed over
FAILED: Final = ("permanent", "transient", "unexpected", "out_of_memory", "crashed")


def thresholds() -> Thresholds:
    return Thresholds(
        queue_size=Threshold(*settings.ALERT_QUEUE_SIZE),
        wait_seconds=Threshold(*settings.ALERT_WAIT_SECONDS),
        late_seconds=Threshold(*settings.ALERT_LATE_SECONDS),
        error_percent=Threshold(*settings.ALERT_ERROR_PERCENT),
        gpu_memory_percent=Threshold(*settings.ALERT_GPU_MEMORY_PERCENT),
        gpu_celsius=Threshold(*settings.ALERT_GPU_CELSIUS),
        disk_free_percent=Threshold(*settings.ALERT_DISK_FREE_PERCENT),
        clock_seconds=Threshold(*settings.ALERT_CLOCK_SECONDS),
        down_seconds=Threshold(*settings.ALERT_DOWN_SECONDS),
        growth_mb=Threshold(*settings.ALERT_GROWTH_MB),
        backup_days=Threshold(*settings.ALERT_BACKUP_DAYS),
        certificate_days=Threshold(*settings.ALERT_CERTIFICATE_DAYS),
    )


def may_be_amiss() -> bool:
    """In one statement, whether the lab is at work, or anything of `LabFacts` or an alert wants a closer look."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT EXISTS (SELECT FROM queueing_task WHERE state IN ('queued', 'running'))
                OR EXISTS (SELECT FROM queueing_alert WHERE resolved_at IS NULL)
                OR EXISTS (SELECT FROM queueing_phase WHERE step = 'blocked')
                OR EXISTS (SELECT FROM queueing_breaker WHERE openings > 0 OR silent_since IS NOT NULL)
                OR EXISTS (SELECT FROM (SELECT * FROM queueing_attempt ORDER BY id DESC LIMIT %s) AS newest
                            WHERE outcome = ANY(%s))
                OR NOT EXISTS (SELECT FROM queueing_worker WHERE stopped_at IS NULL
                                AND last_heartbeat_at >= statement_timestamp() - make_interval(secs => %s))
            """,
            [LOOK_BACK, list(FAILED), settings.LEASE_SECONDS],
        )
        (found,) = cursor.fetchone()
    return bool(found)


def read_lab() -> LabFacts:
    """A few short queries, none of which grows with what there ever was."""
    stages, running = _live()
    outcomes = _outcomes()
    return LabFacts(
        stages=stages,
        running=running,
        attempts=len(outcomes),
        failed_attempts=sum(outcome in FAILED for outcome in outcomes),
        workers_alive=Worker.objects.alive().count(),
        blocked=dict(Phase.objects.filter(step=PhaseStep.BLOCKED).values_list("node", "reason")),
        shut={
            row.server: (row.error if row.opened_at else row.silence, _seconds_down(row), row.given_up)
            for row in Breaker.objects.down().now()
        },
    )


def _seconds_down(row: Breaker) -> float:
    return max((row.now - since).total_seconds() for since in (row.opened_at, row.silent_since) if since)


def _live() -> tuple[dict[str, StageFacts], list[RunningFacts]]:
    """What waits, by the stage's name for people, and what runs."""
    waits: dict[str, list[float]] = defaultdict(list)
    running: list[tuple[int, str, float]] = []
    due = Exists(Task.objects.due().filter(pk=OuterRef("pk")))
    ages = {"waited": Now() - F("staged_at"), "ran": Now() - F("claimed_at"), "due": due}
    for task in Task.objects.live().annotate(**ages).values("pk", "stage", "state", *ages):
        if task["due"]:
            waits[task["stage"]].append(task["waited"].total_seconds())
        elif task["state"] == State.RUNNING and task["ran"] is not None:
            running.append((task["pk"], task["stage"], task["ran"].total_seconds()))
    stages = {
        str(pipelines.spec_of(stage).verbose_name): StageFacts(len(found), max(found)) for stage, found in waits.items()
    }
    longest = {stage: _longest(stage) for stage in {stage for _, stage, _ in running}}
    return stages, [RunningFacts(pk, stage, seconds, longest[stage]) for pk, stage, seconds in running]


def read_node(
    node: str, *, gpu_used: float | None = None, gpu_celsius: float | None = None, models: tuple[str, ...] = ()
) -> NodeFacts:
    free: float | None = None
    try:
        usage = shutil.disk_usage(_nearest(settings.DATA_DIR))
        free = usage.free / usage.total if usage.total else None
    except OSError:
        pass  # an absent disk pauses the work, with its own reason
    began = time.time()
    at = database_time().timestamp()
    ahead = (began + time.time()) / 2 - at
    return NodeFacts(node, gpu_used, gpu_celsius, free, str(settings.DATA_DIR), ahead, models)


def _outcomes() -> list[str]:
    """Of the last attempts within RECENT_SECONDS that succeeded or failed. By key: that grows with time."""
    newest = Attempt.objects.order_by("-pk").annotate(age=Now() - F("began_at")).values_list("outcome", "age")
    recent = [outcome for outcome, age in newest[:LOOK_BACK] if age.total_seconds() < RECENT_SECONDS]
    return [outcome for outcome in recent if outcome in ("succeeded", *FAILED)][:LAST_ATTEMPTS]


def _longest(stage: str) -> float | None:
    lately = Attempt.objects.filter(stage=stage, outcome="succeeded").order_by("-pk")
    return max(filter(None, lately.values_list("compute_seconds", flat=True)[:LAST_ATTEMPTS]), default=None)


def database_time() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (at,) = cursor.fetchone()
    assert isinstance(at, datetime)
    return at


def _nearest(path: Path) -> Path:
    """It, or the folder in which it will be."""
    return path if path.exists() or path == path.parent else _nearest(path.parent)
