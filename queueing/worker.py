"""The loop: look, hand over, claim, run, finish. One worker per node; models run in children and servers, never here.

Four kinds of thread: the main one does the queue's database work, each job computes on one without a database, the
heart renews leases and the forecaster says how long everybody waits, on their own connections.
"""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Timer

import structlog
from django.db import InterfaceError, OperationalError, ProgrammingError, connection
from django.db.models.functions import Now

from queueing import gpu, jobs, pipelines, planner, policy, schema, upkeep
from queueing.claims import Claims
from queueing.coordinator import Coordinator
from queueing.engines.base import Engine, Engines
from queueing.exceptions import Infrastructure
from queueing.forecast.forecaster import Forecaster
from queueing.gpu.watch import GpuWatch
from queueing.heart import Heart
from queueing.models import Pause, Task, Worker
from queueing.options import Options
from queueing.pilot import Pilot
from queueing.servers import Servers
from queueing.states import PhaseName

log = structlog.get_logger()

DATABASE_PAUSE_SECONDS = 1.0
DISK_PAUSE_SECONDS = 15.0
DISK_TROUBLE = ("disk_full", "disk_failed")


class PhaseWorker:
    """Drives one node until told to stop.

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
        self.wake, self.stopping, self.hurry, self.lost = Event(), Event(), Event(), Event()
        self.jobs = jobs.Jobs(engines, options.patience, wake=self.wake.set, chance=self.chance)
        self.id = uuid.uuid4()
        self.servers = Servers(
            node,
            self.id,
            engines,
            actions=options.restarts,
            terms=options.terms,
            lease_seconds=options.lease_seconds,
            ask_seconds=options.ask_seconds,
            wake=self.wake.set,
        )
        # By the end of its leases a worker that can't be heard is gone, even if it hangs in a call to the database. Its
        # models go with it.
        self._last_resort = Timer(options.lease_seconds / 3, os._exit, [1])
        self._last_resort.daemon = True
        self.row: Worker
        self.coordinator: Coordinator
        self.watch: GpuWatch
        self.claims: Claims
        self.pilot: Pilot
        self._next_look = self._next_upkeep = 0.0
        self._live = 0  # tasks that had not ended when it last looked
        self._in_doubt = self._outdated = False

    def run(self, *, until_idle: bool = False) -> None:
        """Work until stopped; with `until_idle`, also until no task is live.

        Raises:
            gpu.NodeBusy: another worker holds the node.
            schema.WrongSchema: the database is not, or no longer, of this version of the code.
            Infrastructure: it could not renew its leases and stopped itself.
        """
        try:
            with gpu.node_lock(self.options.lock_dir, self.node):
                while not self._guarded(self._register):
                    if self.stopping.is_set():
                        return
                with self._heart(), self._forecaster():
                    self._work(until_idle)
                    self._wind_down()
                self._guarded(self._leave)  # after its last beat, which would take the goodbye back
        finally:
            self._last_resort.cancel()
        if self.lost.is_set():
            raise Infrastructure("the database could not be reached for so long that leases ran out")
        if self._outdated:
            raise schema.WrongSchema("the database was migrated by a newer version; this worker has stopped for it")

    def _work(self, until_idle: bool) -> None:
        while not self.stopping.is_set():
            if self._guarded(self.run_once):
                continue
            if until_idle and self._guarded(self._nothing_to_wait_for):
                break
            self._rest()

    def stop(self) -> None:
        again = self.stopping.is_set()
        log.info("stopping", node=self.node, at_once=again)
        (self.hurry if again else self.stopping).set()
        self.wake.set()

    def run_once(self) -> bool:
        """One round. True: something moved, ask again now."""
        # Asked before they are recorded: a database that goes away meanwhile must not make it forgotten.
        self._in_doubt |= self.jobs.any_in_doubt()
        # The next task computes while the last one's outcome is written down: models do not wait for the disk.
        went_on = self.jobs.see_results() and self._go_on()
        ended = self.jobs.finish_ended()
        if any(pipelines.get(job.task.pipeline).after(job.spec.name) for job in ended):
            self.claims.dry.clear()  # what one stage is done with, another one waits for
        self._heed_disk(ended)
        self.servers.note(ended)
        self.servers.collect()
        if self._in_doubt and not self.jobs:
            self.coordinator.mend()
            self._in_doubt = False
        self.jobs.show_progress()
        if ended and (self._go_on() or went_on):
            return True
        handed_over, may_claim = self._look()
        claimed = may_claim and self._claim_all()
        self._next_look = time.monotonic() + self.options.poll_seconds if may_claim else 0.0
        return bool(ended) or handed_over or claimed or (self._in_doubt and not self.jobs)

    def _go_on(self) -> bool:
        """Claim as it was decided a moment ago, without another look. Whether anything was taken."""
        return time.monotonic() < self._next_look and self._claim_all(may_fill=False)

    def _look(self) -> tuple[bool, bool]:
        """Rescue, tidy up, and follow the policy. Returns (a hand-over happened, claiming is allowed)."""
        held = self.jobs.held()
        self.claims.dry.clear()
        self.watch.look(time.monotonic())
        snapshot = self._snapshot()
        self._live = snapshot.live
        self._in_doubt |= self.servers.look(snapshot.troubled)
        self.jobs.stop({claim for claim in held if claim[0] not in snapshot.owned})  # cancelled, or taken from it
        if snapshot.expired:
            upkeep.rescue_expired(self.options.patience.max_crashes, self.options.lease_seconds, {pk for pk, _ in held})
        self._keep_up()
        handed_over, may_claim = self.pilot.follow(snapshot)
        if handed_over:
            # Loading takes its time, in which somebody may have paused what is loaded now.
            snapshot = self._snapshot()
        return handed_over, may_claim and self.coordinator.current not in snapshot.paused

    def _snapshot(self) -> policy.Snapshot:
        snapshot = Task.objects.snapshot(self.node, self.row, self.servers.of_stages)
        # A question to a server is no task, but keeps its model loaded all the same.
        running = snapshot.evaluation.running + self.servers.asking
        return replace(snapshot, evaluation=replace(snapshot.evaluation, running=running))

    def _claim_all(self, *, may_fill: bool = True) -> bool:
        """Whether anything was taken."""
        return not self._in_doubt and bool(self.claims.take_all(may_fill=may_fill, unless=self.stopping))

    def _heed_disk(self, ended: list[jobs.Job]) -> None:
        """A disk that is full, or not there, is everybody's trouble: the phase rests, and tries again by itself."""
        for job in ended:
            if job.error and job.error.code in DISK_TROUBLE:
                Pause.objects.rest(
                    Pause.What(job.spec.phase), node=self.node, reason=str(job.error), seconds=DISK_PAUSE_SECONDS
                )
                self._next_look = 0.0

    def _keep_up(self) -> None:
        if time.monotonic() < self._next_upkeep:
            return
        self._next_upkeep = time.monotonic() + self.options.lease_seconds / 2 * self.chance.uniform(0.8, 1.2)
        upkeep.release_orphaned_batches(self.options.lease_seconds)
        upkeep.forget_dead_workers(self.options.lease_seconds)
        self._heed_migrations()
        upkeep.ask_others()

    def _heed_migrations(self) -> bool:
        """Stop when a newer version has migrated the database. Returns whether it has."""
        if schema.is_ahead() and not self._outdated:
            self._outdated = True
            self.stop()
        return self._outdated

    def _nothing_to_wait_for(self) -> bool:
        return not self.jobs and not Task.objects.live().exists()

    def _rest(self) -> None:
        self.wake.wait(self.options.poll_seconds * self.chance.uniform(0.8, 1.0))
        self.wake.clear()

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """A step that survives a database that went away: nothing is forgotten, the next round tries again."""
        try:
            return step()
        except (OperationalError, InterfaceError) as error:
            log.warning("database unavailable", error=str(error).strip())
            connection.close()
            self._next_look = 0.0  # what has ended is written down before anything else is claimed
            self.stopping.wait(DATABASE_PAUSE_SECONDS)
            return False
        except ProgrammingError:
            # A table or a column is not what this version knows.
            if not self._heed_migrations():
                raise
            return False

    def _register(self) -> bool:
        """Be known, and take over the node as it was left. Can be tried again from any point of it."""
        schema.ensure_current()
        self.row, _ = Worker.objects.get_or_create(pk=self.id, defaults={"node": self.node, "pid": os.getpid()})
        phases: dict[PhaseName, list[Engine]] = {
            PhaseName.STT: [self.engines.speech],
            PhaseName.EVAL: [self.engines.extract, self.engines.rate],
        }
        self.coordinator = Coordinator(
            self.node,
            phases,
            gpu=self.device,
            hurried=self.hurry.is_set,
            on_stuck=self.servers.restart_stuck,
            leave_out=self.servers.leave_out,
            on_refusal=self.servers.refused,
            planned=self._plan,
            first=lambda: self.pilot.whose_turn(),
        )
        self.claims = Claims(self.row, self.jobs, self.coordinator, self.servers, self.options)
        self.pilot = Pilot(self.coordinator, self.jobs, self.servers, self.claims, self.options.limits)
        self.watch = GpuWatch(self.node, self.coordinator.memory, every_seconds=self.options.poll_seconds)
        self.coordinator.reconcile()
        log.info("worker ready", node=self.node, worker=str(self.id))
        return True

    def _plan(self) -> planner.Plan:
        return planner.plan_for(self.engines, gpu.card(self.device.look()), self.options.together)

    def _heart(self) -> Heart:
        return Heart(
            self.row,
            every_seconds=self.options.heartbeat_seconds,
            lease_seconds=self.options.lease_seconds,
            held=self.jobs.held,
            on_tasks_lost=self.jobs.stop,
            on_lost=self._fence_itself,
        )

    def _forecaster(self) -> Forecaster:
        return Forecaster(
            every_seconds=self.options.forecast_seconds, crew=lambda: self.claims.crew(), work=lambda: self._live > 0
        )

    def _leave(self) -> bool:
        self.coordinator.leave()
        return bool(Worker.objects.filter(pk=self.row.pk).update(stopped_at=Now()))

    def _fence_itself(self) -> None:
        self.lost.set()
        self.stop()
        self.stop()
        self._last_resort.start()

    def _wind_down(self) -> None:
        """Let running jobs finish within the grace period, then interrupt and hand back the rest."""
        self._guarded(self.servers.leave)
        self._finish_until(time.monotonic() + self.options.stop_grace_seconds, unless=self.hurry)
        self.jobs.stop(self.jobs.held())
        self._finish_until(time.monotonic() + self.options.stop_grace_seconds, unless=self.lost)
        if not self.lost.is_set():
            self._guarded(self.jobs.abandon)

    def _finish_until(self, deadline: float, *, unless: Event) -> None:
        while self.jobs and time.monotonic() < deadline and not unless.is_set():
            self._guarded(lambda: bool(self.jobs.finish_ended()))
            self.wake.wait(0.1)
            self.wake.clear()
