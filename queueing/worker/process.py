"""The process of one node: it takes the node's lock, registers, works until stopped, and hands back what is left.

The main thread does the queue's database work, each job computes on a thread of its own without a database. On
connections of their own the heartbeat renews leases, the forecaster estimates the waits, the listener hears of new work
and the watchdog raises alerts; without one, model servers are asked whether they are there. Models run in children and
servers, never here.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Event, Timer
from typing import TypeVar

import structlog
from django.db import ProgrammingError, connection
from django.db.models.functions import Now

from queueing import gpu
from queueing.engines.base import Engines
from queueing.exceptions import Infrastructure, Outgrown
from queueing.gpu.device import ANSWER_SECONDS, mib
from queueing.models import Worker, schema
from queueing.worker import upkeep
from queueing.worker.background.app_upkeep import AppUpkeep
from queueing.worker.background.forecaster import Forecaster
from queueing.worker.background.heartbeat import Heartbeat
from queueing.worker.background.listener import WorkListener
from queueing.worker.background.pings import Pings
from queueing.worker.background.watchdog import Watchdog
from queueing.worker.loop import Stopping, WorkLoop
from queueing.worker.options import Options
from queueing.worker.self_care import own_bytes

log = structlog.get_logger()

T = TypeVar("T")

DATABASE_PAUSE_SECONDS = 1.0


class PhaseWorker:
    """Drives one node until stopped.

    `stop()` once: claim nothing more, finish what runs within the grace period or hand it back. Twice: hand back now.
    """

    def __init__(
        self,
        node: str,
        engines: Engines,
        options: Options,
        *,
        device: gpu.Gpu | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self.node, self.engines, self.options, self.device = node, engines, options, device or gpu.NoGpu()
        self.chance = chance or random.Random()  # noqa: S311 - jitter, not a secret
        self.id = uuid.uuid4()
        self.stopping = Stopping()
        self.lost = Event()
        # A worker without a heartbeat exits before its leases end, even if it hangs in a call to the database. Its
        # models end with it.
        self._last_resort = Timer(options.lease_seconds / 3, os._exit, [1])
        self._last_resort.daemon = True

    def run(self, *, until_idle: bool = False) -> None:
        """Work until stopped; with `until_idle`, also until no task is live.

        Raises:
            gpu.NodeBusy: another worker holds the node.
            schema.WrongSchema: the database is not, or no longer, of this version of the code.
            Infrastructure: it could not register within a lease, or not renew its leases, and stopped itself.
            Outgrown: its memory had grown too large, and it stopped itself between two tasks.
        """
        loop = None
        try:
            with gpu.node_lock(self.options.lock_dir, self.node):
                loop = self._registered()
                if loop:
                    self._work(loop, until_idle)
        finally:
            self._last_resort.cancel()
        if self.lost.is_set():
            raise Infrastructure("the database could not be reached for so long that leases ran out")
        if loop and loop.is_outdated:
            raise schema.WrongSchema("the database was migrated by a newer version; this worker has stopped for it")
        if loop and loop.is_outgrown:
            raise Outgrown(f"this worker had grown to {mib(own_bytes())}; it has stopped to be started again")

    def stop(self) -> None:
        log.info("stopping", node=self.node, at_once=self.stopping.is_set())
        self.stopping.request()

    def _registered(self) -> WorkLoop | None:
        """Register, trying on for as long as a lease; None when asked to stop meanwhile.

        Whoever starts this worker again also starts a database that is gone; no worker waits for one without end. Nor
        in a call that hangs: it holds nothing yet, so it can leave at once.

        Raises:
            Infrastructure: the database can't be reached.
        """
        seconds = self.options.lease_seconds
        # A driver that hangs is waited for meanwhile, too, and is no reason to leave.
        deadline, hung = time.monotonic() + seconds, Timer(seconds + 2 * ANSWER_SECONDS, _leave_hung)
        hung.daemon = True
        hung.start()
        try:
            while not self.stopping.is_set():
                if loop := self._guarded(self.register):
                    return loop
                if time.monotonic() + DATABASE_PAUSE_SECONDS > deadline:
                    raise Infrastructure("the database could not be reached for as long as a lease lasts")
        finally:
            hung.cancel()
        return None

    def register(self) -> WorkLoop:
        """Register this worker and take over the node as it was left. Can be retried after any error."""
        schema.ensure_current()
        upkeep.mend_times(self.options.lease_seconds, self.options.breaker)  # the clock may have stepped meanwhile
        row, _ = Worker.objects.get_or_create(pk=self.id, defaults={"node": self.node, "pid": os.getpid()})
        loop = WorkLoop(row, self.engines, self.options, device=self.device, chance=self.chance, stopping=self.stopping)
        loop.coordinator.reconcile()
        log.info("worker ready", node=self.node, worker=str(self.id))
        return loop

    def _work(self, loop: WorkLoop, until_idle: bool) -> None:
        wakeups = WorkListener(self.stopping.wake.set)
        pings = Pings(loop.servers.engines, on_change=lambda: watchdog.hurry())
        watchdog = Watchdog(
            lambda: replace(loop.node_facts(), silent=pings.silent(), unheard=pings.unheard()),
            every_seconds=self.options.alert_seconds,
        )
        tidying = AppUpkeep(upkeep.run_others, every_seconds=self.options.lease_seconds / 2)
        with self._heartbeat(loop), self._forecaster(loop), wakeups, watchdog, pings, tidying:
            while not self.stopping.is_set():
                if self._guarded(loop.run_once, loop):
                    continue
                if until_idle and self._guarded(loop.has_nothing_to_do, loop):
                    break
                self._guarded(partial(loop.rest, hears=wakeups.hears), loop)
            self._wind_down(loop)
        self._guarded(lambda: self._leave(loop), loop)  # after its last heartbeat, which would clear `stopped_at` again

    def _guarded(self, step: Callable[[], T], loop: WorkLoop | None = None) -> T | None:
        """Run a step so that a database outage loses nothing: the next round tries again."""
        try:
            return step()
        except schema.UNAVAILABLE as error:
            log.warning("database unavailable", error=str(error).strip())
            connection.close()
            if loop:
                loop.poll_first()
            self.stopping.wait(DATABASE_PAUSE_SECONDS)
        except ProgrammingError:
            # A table or a column is not as this version expects it.
            if not loop or not loop.stop_if_outdated():
                raise
        return None

    def _heartbeat(self, loop: WorkLoop) -> Heartbeat:
        return Heartbeat(
            loop.row,
            every_seconds=self.options.heartbeat_seconds,
            lease_seconds=self.options.lease_seconds,
            held=loop.jobs.held,
            on_tasks_lost=loop.jobs.stop,
            on_lost=self._fence_itself,
        )

    def _forecaster(self, loop: WorkLoop) -> Forecaster:
        return Forecaster(
            every_seconds=self.options.forecast_seconds, capacity=loop.capacity, has_work=lambda: loop.live > 0
        )

    def _leave(self, loop: WorkLoop) -> bool:
        loop.coordinator.leave()
        return bool(Worker.objects.filter(pk=self.id).update(stopped_at=Now()))

    def _fence_itself(self) -> None:
        self.lost.set()
        self.stop()
        self.stop()
        self._last_resort.start()

    def _wind_down(self, loop: WorkLoop) -> None:
        """Let running jobs finish within the grace period, then interrupt and hand back the rest."""
        self._guarded(loop.servers.leave, loop)
        self._finish_until(loop, time.monotonic() + self.options.stop_grace_seconds, unless=self.stopping.hurry)
        loop.jobs.stop(loop.jobs.held())
        self._finish_until(loop, time.monotonic() + self.options.stop_grace_seconds, unless=self.lost)
        if not self.lost.is_set():
            self._guarded(loop.jobs.hand_back_all, loop)

    def _finish_until(self, loop: WorkLoop, deadline: float, *, unless: Event) -> None:
        while loop.jobs and time.monotonic() < deadline and not unless.is_set():
            self._guarded(loop.jobs.finish_ended, loop)
            self.stopping.wake.wait(0.1)
            self.stopping.wake.clear()


def _leave_hung() -> None:
    log.error("the database answers nothing while this worker registers; leaving")
    os._exit(1)
