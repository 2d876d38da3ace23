"""Duties that keep the queue consistent, one function each. Part of every worker's loop: they can't stall alone."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from queueing.exceptions import Crashed, Interrupted, Permanent
from queueing.failpoints import failpoint
from queueing.models import Attempt, Batch, Breaker, Event, Forecast, LabSample, Pause, Phase, Task, Worker, in_seconds
from queueing.policy.breaker import BreakerConfig
from queueing.signals import upkeep_due
from queueing.states import LIVE, PhaseName

log = structlog.get_logger()

PRUNED_AT_ONCE: Final = 1000


def rescue_expired(max_crashes: int, lease_seconds: float, spare: Collection[int] = ()) -> int:
    """Put tasks whose lease ran out back into the queue; a task whose worker died on it once too often is poison.

    A worker that is alive, or stopped in order, did not die, nor did one that was silent because the database was down:
    a machine that slept, or a database outage longer than a lease, burns no attempt. `spare` are tasks that the caller
    itself still computes: its own heartbeat handles them.
    """
    # Half a lease is long enough: a heartbeat sent after the claim, but without it, outlives the task's lease.
    silent = Worker.objects.filter(stopped_at=None).exclude(pk__in=Worker.objects.alive(lease_seconds / 2).values("pk"))
    dead = set(silent.filter(last_heartbeat_at__gt=database_started_at()).values_list("pk", flat=True))
    rescued = 0
    with transaction.atomic():
        # A locked one must not hold up the others; the next round reads it again.
        lapsed = Task.objects.expired().exclude(pk__in=spare).order_by("lease_until", "pk")
        expired = list(lapsed.select_for_update(skip_locked=True))
    failpoint("rescue.read")
    for task in expired:
        died = task.worker_id in dead
        if died and task.crashes + 1 >= max_crashes:
            moved = task.give_up(Permanent(f"its worker died {task.crashes + 1} times", code="poison"))
        else:
            moved = task.rescue(Crashed("its worker stopped answering") if died else Interrupted("its lease ran out"))
        if moved:
            log.warning("task rescued", task=task.pk, stage=task.stage, died=died)
        rescued += moved
    return rescued


def database_started_at() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_postmaster_start_time()")
        (started,) = cursor.fetchone()
    assert isinstance(started, datetime)
    return started


def release_orphaned_batches(lease_seconds: float) -> int:
    """Close the open batches of nodes without a living worker, so that another node takes what waits in them."""
    alive = Worker.objects.alive(lease_seconds).values("node")
    orphaned = list(Batch.objects.filter(phase=PhaseName.STT).exclude(node__in=alive))
    for batch in orphaned:
        batch.close_transcription()
    return len(orphaned)


def mend_times(lease_seconds: float, config: BreakerConfig | None = None) -> int:
    """After a step of the database's clock back, mend what lies further ahead than its writer could mean.

    Returns how many rows were. See models/clock.py.
    """
    mended = sum(
        (
            Task.objects.mend_times(lease_seconds),
            Worker.objects.mend_times(),
            Pause.objects.all().mend_times(),
            Phase.objects.all().mend_times(),
            Breaker.objects.all().mend_times(lease_seconds, config or BreakerConfig()),
            Forecast.objects.mend_times(),
        )
    )
    if mended:
        log.warning("the database's clock has stepped back", mended=mended)
    return mended


def forget_dead_workers(lease_seconds: float) -> int:
    """Mark workers stopped that have been silent for ten leases; pages then no longer count them as lost."""
    silent = Worker.objects.filter(stopped_at=None, last_heartbeat_at__lt=in_seconds(-10 * lease_seconds))
    return silent.update(stopped_at=Now())


def prune_history(days: float) -> int:
    """Delete events and attempts that are older than so many days, PRUNED_AT_ONCE of each at most; returns how many.

    Only of tasks that have ended. Tasks and results stay, with the errors and times that they carry themselves.
    """
    before = Now() - timedelta(days=days)
    pruned = 0
    for model, moment in ((Event, "at"), (Attempt, "began_at")):
        # Keys grow with time: the oldest ones are found without an index on time.
        oldest = model._default_manager.annotate(old=Q(**{f"{moment}__lt": before})).order_by("pk")
        rows = oldest.values_list("pk", "old", "task__state")[:PRUNED_AT_ONCE]
        found = [pk for pk, is_old, state in rows if is_old and state not in LIVE]
        pruned += model._default_manager.filter(pk__in=found).delete()[0]
    return pruned


def prune_samples() -> int:
    """Thin out the samples of long ago (`LabSampleManager.prune`); returns how many went."""
    return LabSample.objects.prune()


def run_others() -> dict[str, str]:
    """Run the upkeep of other apps, receivers of `upkeep_due`. Returns each one's error, empty if there was none."""
    errors = {}
    for receiver, failure in upkeep_due.send_robust(sender=Task):
        duty = getattr(receiver, "__name__", repr(receiver))
        errors[duty] = str(failure) if isinstance(failure, Exception) else ""
        if errors[duty]:
            log.error("upkeep failed", duty=duty, error=errors[duty])
    return errors
