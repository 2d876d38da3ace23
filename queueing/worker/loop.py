"""What a registered worker does, round by round: poll, hand over, claim, record."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from threading import Event

import structlog

from queueing import gpu, pipelines
from queueing.engines.base import Engine, Engines
from queueing.gpu.watch import GpuWatch
from queueing.models import Pause, Task, Worker, nodes, schema
from queueing.models.clock import SLACK_SECONDS
from queueing.policy.alerts import NodeFacts
from queueing.policy.phases import Snapshot
from queueing.report import health
from queueing.states import PhaseName, PhaseStep
from queueing.worker import upkeep
from queueing.worker.background.line_facts import NodeCapacity
from queueing.worker.claims import Claims
from queueing.worker.coordinator import Coordinator
from queueing.worker.jobs import Job, Jobs
from queueing.worker.model_servers import ModelServers
from queueing.worker.node_models import NodeModels
from queueing.worker.options import Options
from queueing.worker.phase_controller import PhaseController, Readiness
from queueing.worker.self_care import SelfCare

log = structlog.get_logger()

DISK_PAUSE_SECONDS = 15.0
STATUS_SECONDS = 30.0  # between two lines of the log that say what this worker does
FORGET_SECONDS = 600.0  # between two looks for nodes that have left a day ago
IDLE_RESTS = 3  # between two polls while nothing is in line, and new work is heard of
DISK_ERRORS = ("disk_full", "disk_failed")


class Stopping:
    """A request to stop, which can be made from any thread, and once more to hurry; `wake` ends a rest."""

    def __init__(self) -> None:
        self.requested, self.hurry, self.wake = Event(), Event(), Event()

    def request(self) -> None:
        (self.hurry if self.requested.is_set() else self.requested).set()
        self.wake.set()

    def is_set(self) -> bool:
        return self.requested.is_set()

    def wait(self, seconds: float) -> bool:
        return self.requested.wait(seconds)


class WorkLoop:
    """Of one registered worker, whose node nobody else drives. Used by its main thread only."""

    def __init__(
        self,
        row: Worker,
        engines: Engines,
        options: Options,
        *,
        device: gpu.Gpu,
        chance: random.Random,
        stopping: Stopping,
    ) -> None:
        self.row, self.node, self.options, self.chance, self.stopping = row, row.node, options, chance, stopping
        self.jobs = Jobs(engines, options.retries, wake=stopping.wake.set, chance=chance)
        self.servers = ModelServers(
            row.node,
            row.pk,
            engines,
            actions=options.restarts,
            config=options.breaker,
            lease_seconds=options.lease_seconds,
            probe_seconds=options.probe_seconds,
            wake=stopping.wake.set,
        )
        self.models = NodeModels(row.node, engines, self.servers, options, device=device, hurry=stopping.hurry)
        phases: dict[PhaseName, list[Engine]] = {
            PhaseName.STT: [engines.speech],
            PhaseName.EVAL: list(engines.language.values()),
        }
        self.coordinator = Coordinator(row.node, phases, self.models, gpu=device)
        self.claims = Claims(row, self.jobs, self.coordinator, self.models, options)
        self.controller = PhaseController(self.coordinator, self.models, self.jobs, self.claims, options.limits)
        self.care = SelfCare(engines, self.coordinator, options)
        self.watch = GpuWatch(row.node, self.coordinator.memory, every_seconds=options.poll_seconds)
        self.live = 0  # tasks that had not ended at the last poll
        self.is_outdated = False  # a newer version has migrated the database
        self.is_outgrown = False  # its memory has grown too large
        self._next_poll = self._next_upkeep = self._next_forgetting = self._next_status = 0.0
        self._in_doubt = False
        self._clocks: tuple[float, float] | None = None  # the database's and our own, at the last poll

    def run_once(self) -> bool:
        """One round. True: something moved, run the next one now."""
        # Read before they are recorded: a database outage meanwhile must not lose it.
        self._in_doubt |= self.jobs.any_in_doubt()
        self.care.note_ended(self.jobs.newly_ended())
        # The next task computes while the last one's outcome is recorded: models do not wait for the disk.
        went_on = self.jobs.mark_computed() and self._go_on()
        ended = self.jobs.finish_ended()
        for job in filter(_lets_others_begin, ended):
            self.claims.note_ended(job.task.pipeline)
        self._pause_on_disk_error(ended)
        self.servers.record_ends(ended)
        self.servers.collect()
        self._begin_anew_if_grown()
        if self._in_doubt and not self.jobs:
            self.coordinator.reload_lost()
            self._in_doubt = False
        self.jobs.show_progress()
        if ended and (self._go_on() or went_on):
            return True
        readiness = self._poll()
        claimed = readiness is not Readiness.NOT_READY and self._claim_all()
        self._next_poll = time.monotonic() + self.options.poll_seconds if readiness is not Readiness.NOT_READY else 0.0
        return bool(ended) or readiness is Readiness.CHANGED or claimed or (self._in_doubt and not self.jobs)

    def rest(self, *, hears: bool = False) -> None:
        """Until the next poll, or until something wakes it.

        Args:
            hears: whether new work will. Then an idle worker polls more seldom; the GPU is looked at as often as ever.
        """
        for rest in range(IDLE_RESTS if hears and self._is_idle() else 1):
            if rest:
                self.watch.sample(time.monotonic())
            if self.stopping.wake.wait(self.options.poll_seconds * self.chance.uniform(0.8, 1.0)):
                break
        self.stopping.wake.clear()

    def _is_idle(self) -> bool:
        """Whether no task is anybody's, here or elsewhere, and nothing is loaded: nothing will be due by itself."""
        return not (self.live or self.jobs or self.servers.probing) and self.coordinator.row.step == PhaseStep.IDLE

    def poll_first(self) -> None:
        """Record what has ended and poll the queue before anything else is claimed."""
        self._next_poll = 0.0

    def has_nothing_to_do(self) -> bool:
        return not self.jobs and not Task.objects.live().exists()

    def stop_if_outdated(self) -> bool:
        """Stop when a newer version has migrated the database. Returns whether it has."""
        if schema.is_ahead() and not self.is_outdated:
            self.is_outdated = True
            self.stopping.request()
        return self.is_outdated

    def capacity(self) -> NodeCapacity:
        """How this worker works, for the forecast. Safe from any thread: it only reads."""
        phase = self.coordinator
        return self.models.capacity(phase.plan, phase.holder, phase.dwelt_seconds)

    def node_facts(self) -> NodeFacts:
        """What this worker sees of its node, for alerts and samples. Safe from any thread: it only reads."""
        gpu_used, celsius = self.coordinator.memory.last_seen
        models = tuple(engine.model for engine in self.coordinator.working)
        facts = health.read_node(self.node, gpu_used=gpu_used, gpu_celsius=celsius, models=models)
        return replace(facts, memory=self.care.memory())

    def _begin_anew_if_grown(self) -> None:
        """Only while nothing is half done: no task runs and no server is asked anything."""
        if self.jobs or self.servers.probing or not self.care.has_grown():
            return
        if grown := self.care.grown_models():
            log.warning("models grew, loaded anew", models={one.name: gpu.mib(one.bytes) for one in grown})
            self.coordinator.begin_anew()
            self.care.forget_models()
        self.care.look_again()
        if self.care.worker_has_grown():
            self.is_outgrown = True
            self.stopping.request()

    def _go_on(self) -> bool:
        """Claim by the last decision, without another poll. Whether anything was taken."""
        return time.monotonic() < self._next_poll and self._claim_all(may_fill=False)

    def _poll(self) -> Readiness:
        """Rescue, tidy up, and apply the policy."""
        held = self.jobs.held()
        self.watch.sample(time.monotonic())
        began = time.monotonic()
        snapshot = self._snapshot()
        self._mend_after_step(snapshot.at, began)
        self.live = snapshot.live
        self._in_doubt |= self.servers.refresh(snapshot.troubled)
        self.jobs.stop({claim for claim in held if claim[0] not in snapshot.owned})  # cancelled, or taken from it
        rescued = 0
        if snapshot.expired:
            spared = {pk for pk, _ in held}
            rescued = upkeep.rescue_expired(self.options.retries.max_crashes, self.options.lease_seconds, spared)
        self._keep_up()
        self._log_status(snapshot)
        readiness = self.controller.apply_policy(snapshot)
        if readiness is Readiness.CHANGED:
            # Somebody may have paused this phase while it was loaded.
            snapshot = self._snapshot()
        self.claims.note_due(None if rescued else snapshot.due)
        return Readiness.NOT_READY if self.coordinator.current in snapshot.paused else readiness

    def _log_status(self, snapshot: Snapshot) -> None:
        """What this worker does, once in STATUS_SECONDS: ids of tasks, no names. Costs no query."""
        if time.monotonic() < self._next_status:
            return
        self._next_status = time.monotonic() + STATUS_SECONDS
        row = self.coordinator.row
        log.info(
            "status",
            node=self.node,
            phase=row.name or None,
            step=row.step,
            running=sorted(pk for pk, _ in self.jobs.held()),
            due=snapshot.unbatched.due + snapshot.batch.due + snapshot.evaluation.due + snapshot.shared.due,
            live=snapshot.live,
            memory={one.name: gpu.mib(one.bytes) for one in self.care.memory()},
            paused=sorted(snapshot.paused),
        )

    def _mend_after_step(self, at: float, now: float) -> None:
        """Mend what a step of the database's clock back, since the last poll, has left in the future.

        Args:
            at: the database's clock.
            now: this process's own, which only goes forward.
        """
        before, self._clocks = self._clocks, (at, now)
        if before and at - before[0] < now - before[1] - SLACK_SECONDS:
            upkeep.mend_times(self.options.lease_seconds, self.options.breaker)

    def _snapshot(self) -> Snapshot:
        snapshot = Task.objects.snapshot(self.node, self.row, self.servers.of_stages)
        # A probe of a server is no task, but keeps its model loaded all the same.
        running = snapshot.evaluation.running + self.servers.probing
        return replace(snapshot, evaluation=replace(snapshot.evaluation, running=running))

    def _claim_all(self, *, may_fill: bool = True) -> bool:
        """Whether anything was taken."""
        waits = self._in_doubt or self.care.has_grown()
        return not waits and bool(self.claims.take_all(may_fill=may_fill, unless=self.stopping.requested))

    def _pause_on_disk_error(self, ended: list[Job]) -> None:
        """A full or failed disk would fail every task: pause the phase for a while; it resumes by itself."""
        for job in ended:
            if job.error and job.error.code in DISK_ERRORS:
                Pause.objects.start_or_extend(
                    Pause.What(job.spec.phase), node=self.node, reason=str(job.error), seconds=DISK_PAUSE_SECONDS
                )
                self._next_poll = 0.0

    def _keep_up(self) -> None:
        if time.monotonic() < self._next_upkeep:
            return
        self._next_upkeep = time.monotonic() + self.options.lease_seconds / 2 * self.chance.uniform(0.8, 1.2)
        upkeep.release_orphaned_batches(self.options.lease_seconds)
        upkeep.forget_dead_workers(self.options.lease_seconds)
        if time.monotonic() >= self._next_forgetting:
            self._next_forgetting = time.monotonic() + FORGET_SECONDS
            nodes.forget_left(spare=self.node)
            upkeep.prune_history(self.options.history_days)
            upkeep.prune_samples()
        self.stop_if_outdated()


def _lets_others_begin(job: Job) -> bool:
    """Whether what waited for this one may be due now: its own next stage, or its owner's next task."""
    pipeline = pipelines.get(job.task.pipeline)
    return pipeline.after(job.spec.name) is not None or pipeline.one_per_owner
