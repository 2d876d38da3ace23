"""What the database and this machine say about the lab's health, for `policy.alerts`."""

from __future__ import annotations

import shutil
import time
from datetime import datetime
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Min
from django.db.models.functions import Now

from queueing import pipelines
from queueing.models import Attempt, Breaker, Phase, Task, Worker, in_seconds
from queueing.policy.alerts import LabFacts, NodeFacts, RunningFacts, StageFacts, Threshold, Thresholds
from queueing.states import PhaseStep, State

LAST_ATTEMPTS: Final = 20
RECENT_SECONDS: Final = 3600.0
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
    )


def read_lab() -> LabFacts:
    """Five short queries, none of which grows with what there ever was."""
    lines = Task.objects.due().values("stage").annotate(waiting=Count("pk"), oldest=Now() - Min("staged_at"))
    recent = Attempt.objects.filter(began_at__gte=in_seconds(-RECENT_SECONDS), ended_at__isnull=False)
    tried = recent.filter(outcome__in=("succeeded", *FAILED)).order_by("-pk")
    outcomes = list(tried.values_list("outcome", flat=True)[:LAST_ATTEMPTS])
    return LabFacts(
        stages={
            str(pipelines.spec_of(row["stage"]).verbose_name): StageFacts(row["waiting"], row["oldest"].total_seconds())
            for row in lines.order_by("stage")
        },
        running=_running(),
        attempts=len(outcomes),
        failed_attempts=sum(outcome in FAILED for outcome in outcomes),
        workers_alive=Worker.objects.alive().count(),
        blocked=dict(Phase.objects.filter(step=PhaseStep.BLOCKED).values_list("node", "reason")),
        shut={
            row.server: (row.error, (row.now - row.opened_at).total_seconds(), row.given_up)
            for row in Breaker.objects.open().now()
            if row.opened_at
        },
    )


def read_node(node: str, *, gpu_used: float | None = None, gpu_celsius: float | None = None) -> NodeFacts:
    free: float | None = None
    try:
        usage = shutil.disk_usage(_nearest(settings.DATA_DIR))
        free = usage.free / usage.total if usage.total else None
    except OSError:
        pass  # an absent disk pauses the work, with its own reason
    began = time.time()
    at = database_time().timestamp()
    return NodeFacts(node, gpu_used, gpu_celsius, free, str(settings.DATA_DIR), (began + time.time()) / 2 - at)


def _running() -> list[RunningFacts]:
    rows = Task.objects.filter(state=State.RUNNING, claimed_at__isnull=False).annotate(age=Now() - F("claimed_at"))
    running = list(rows.values_list("pk", "stage", "age"))
    longest = {stage: _longest(stage) for stage in {stage for _, stage, _ in running}}
    return [RunningFacts(pk, stage, age.total_seconds(), longest[stage]) for pk, stage, age in running]


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
