"""The queue in figures: the same for commands, pages and the API."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Count, Min
from django.db.models.functions import Now

from queueing.models import Phase, Task, Worker
from queueing.states import State


def status() -> dict[str, Any]:
    """Phases, counts per stage and state, the oldest wait in seconds, workers and positions, as plain values."""
    oldest = Task.objects.filter(state=State.QUEUED).aggregate(age=Now() - Min("staged_at"))["age"]
    return {
        "phases": [_phase(row) for row in Phase.objects.order_by("node")],
        "counts": _counts(),
        "oldest_seconds": round(oldest.total_seconds(), 1) if oldest else 0.0,
        "workers": [_worker(row) for row in Worker.objects.filter(stopped_at=None)],
        "positions": {str(task): place for task, place in Task.objects.positions().items()},
    }


def _phase(row: Phase) -> dict[str, Any]:
    return {
        "node": row.node,
        "phase": row.name or None,
        "step": row.step,
        "target": row.target or None,
        "reason": row.reason,
        "since": row.since.isoformat(),
    }


def _counts() -> dict[str, dict[str, int]]:
    found = Task.objects.values("stage", "state").annotate(tasks=Count("pk")).order_by("stage", "state")
    counts: dict[str, dict[str, int]] = {}
    for row in found:
        counts.setdefault(row["stage"], {})[row["state"]] = row["tasks"]
    return counts


def _worker(row: Worker) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "node": row.node,
        "pid": row.pid,
        "last_heartbeat_at": row.last_heartbeat_at.isoformat(),
        "alive": Worker.alive(settings.LEASE_SECONDS).filter(pk=row.pk).exists(),
        "tasks": list(row.tasks.values_list("pk", flat=True)),
    }
