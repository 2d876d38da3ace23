"""Duties that keep the queue true, one function each. Part of every worker's loop, so they can't stall on their own."""

from __future__ import annotations

import structlog
from django.db.models.functions import Now

from queueing.exceptions import Crashed, Permanent
from queueing.models import Batch, Task, Worker, in_seconds
from queueing.states import PhaseName

log = structlog.get_logger()


def rescue_expired(max_crashes: int) -> int:
    """Put tasks whose worker stopped renewing its lease back into the queue; a task that does this twice is poison."""
    rescued = 0
    for task in Task.objects.expired():
        if task.crashes + 1 >= max_crashes:
            moved = task.give_up(Permanent(f"its worker died {task.crashes + 1} times", code="poison"))
        else:
            moved = task.rescue(Crashed("its worker stopped answering"))
        if moved:
            log.warning("task rescued", task=task.pk, stage=task.stage, crashes=task.crashes + 1)
        rescued += moved
    return rescued


def release_orphaned_batches(lease_seconds: float) -> int:
    """Close the open batches of nodes without a living worker, so that another node takes who waited in them."""
    alive = Worker.alive(lease_seconds).values("node")
    orphaned = list(Batch.objects.filter(phase=PhaseName.STT).exclude(node__in=alive))
    for batch in orphaned:
        batch.close_transcription()
    return len(orphaned)


def forget_dead_workers(lease_seconds: float) -> int:
    """Mark workers stopped that have been silent for ten leases; pages then no longer count them as lost."""
    silent = Worker.objects.filter(stopped_at=None, last_heartbeat_at__lt=in_seconds(-10 * lease_seconds))
    return silent.update(stopped_at=Now())
