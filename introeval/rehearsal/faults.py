"""The faults of a rehearsal, injected one after the other in random order, and the work that each hit."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass

from django.db import connection

from introeval.embedded.layout import ServiceLayout
from introeval.embedded.postgres import Postgres
from introeval.embedded.valkey import Valkey
from introeval.rehearsal.nodes import NodeProcess, NodeProcesses
from introeval.rehearsal.outages import Outages
from introeval.rehearsal.plan import RehearsalPlan
from queueing.models import Claim, Task
from queueing.states import State

OUTAGE = 10.0  # of the language models or the disk, in the lab's seconds
# Until a stopped worker is resumed though nobody took its tasks over; the recovery time then shows it.
TAKEOVER_SECONDS = 15.0


@dataclass(slots=True)
class InjectedFault:
    kind: str
    at: float  # when work could go on again as far as the fault was concerned, by the machine's clock
    hit: frozenset[Claim] = frozenset()  # what its worker worked on


@dataclass(slots=True)
class StoppedWorker:
    """A worker that SIGSTOP holds, and when SIGCONT will resume it."""

    node: NodeProcess
    hit: frozenset[Claim]
    resume_by: float
    resume_at: float | None = None  # set once its tasks were taken over


class CrashingPostgres(Postgres):
    """Stopped as by a crash: clients are cut off, no checkpoint is made, the log is replayed at the next start."""

    stop_signals = ((signal.SIGQUIT, 5.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0))

    def command(self) -> list[str]:
        # Sync what was written before the crash at one go, not file by file, which takes seconds on a busy disk.
        return [*super().command(), "-c", "recovery_init_sync_method=syncfs"]


class Injector:
    """Injects what is due whenever `step()` is called, on the thread of the caller."""

    def __init__(self, plan: RehearsalPlan, workers: NodeProcesses, outages: Outages) -> None:
        self.plan, self.workers, self.outages = plan, workers, outages
        self.random = random.Random(plan.seed)  # noqa: S311 - to be replayed, not a secret
        self.pending = list(plan.faults.elements())
        self.random.shuffle(self.pending)
        self.done: list[InjectedFault] = []
        self.database_outages: list[tuple[float, float]] = []  # when PostgreSQL was down
        self.postgres, self.valkey = CrashingPostgres(ServiceLayout(plan.folder)), Valkey(ServiceLayout(plan.folder))
        self._stopped: list[StoppedWorker] = []
        self._outage_ends: list[tuple[float, str]] = []
        self._next_at = time.monotonic() + self._gap()

    @property
    def finished(self) -> bool:
        return not (self.pending or self._stopped or self._outage_ends)

    @property
    def counts(self) -> Counter[str]:
        return Counter(fault.kind for fault in self.done)

    def step(self) -> None:
        self._resume_stopped()
        self._end_outages()
        if self.pending and time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + self._gap()
            kind = self.pending.pop()
            if not getattr(self, f"_{kind}")():
                self.pending.insert(self.random.randrange(len(self.pending) + 1), kind)  # nothing to hit now: later

    def _gap(self) -> float:
        return self.plan.gap_seconds * self.random.uniform(0.2, 1.8)

    # One fault each. False: there was nothing that it could have hit.

    def _kill(self) -> bool:
        running = self._running()
        if not running:
            return False
        node = self.random.choice(running)
        hit = _claims_of(node)
        node.send(signal.SIGKILL)
        self.done.append(InjectedFault("kill", time.time(), hit))
        return True

    def _stop(self) -> bool:
        working = {node: claims for node in self._running() if (claims := _claims_of(node))}
        if not working or len(self._stopped) >= max(1, len(self.workers.nodes) - 1):
            return False
        node, hit = self.random.choice(list(working.items()))
        node.send(signal.SIGSTOP)
        node.stopped = True
        self._stopped.append(StoppedWorker(node, hit, time.monotonic() + self.plan.lease_seconds + TAKEOVER_SECONDS))
        if len(self.workers.nodes) > 1:
            self.done.append(InjectedFault("stop", time.time(), hit))
        return True

    def _pg(self) -> bool:
        began = time.time()
        self.postgres.stop()
        time.sleep(self.random.uniform(0, self.plan.lease_seconds / 2))
        self.postgres.ensure_running()
        connection.close()
        self.database_outages.append((began, time.time()))
        self.done.append(InjectedFault("pg", time.time()))
        return True

    def _redis(self) -> bool:
        self.valkey.stop()
        self.valkey.ensure_running()
        self.done.append(InjectedFault("redis", time.time()))
        return True

    def _llm(self) -> bool:
        return self._start_outage("llm")

    def _disk(self) -> bool:
        return self._start_outage("disk")

    def _twice(self) -> bool:
        self.outages.start("twice")
        self.done.append(InjectedFault("twice", time.time()))
        return True

    def _start_outage(self, what: str) -> bool:
        if any(what == broken for _, broken in self._outage_ends):
            return False
        self.outages.start(what)
        self._outage_ends.append((time.monotonic() + OUTAGE * self.plan.scale, what))
        return True

    def _end_outages(self) -> None:
        for entry in [entry for entry in self._outage_ends if time.monotonic() >= entry[0]]:
            self._outage_ends.remove(entry)
            self.outages.end(entry[1])
            self.done.append(InjectedFault(entry[1], time.time()))

    def _running(self) -> list[NodeProcess]:
        return [node for node in self.workers.nodes if not node.stopped and node.process.is_alive()]

    def _resume_stopped(self) -> None:
        for stopped in list(self._stopped):
            if stopped.resume_at is None and self._is_taken_over(stopped):
                # Its successor is at work, or has finished: what the resumed worker finds must not make a difference.
                later = self.random.uniform(0, 2 * self.plan.work.rate * self.plan.scale)
                stopped.resume_at = time.monotonic() + later
            if time.monotonic() >= min(stopped.resume_at or stopped.resume_by, stopped.resume_by):
                self._stopped.remove(stopped)
                stopped.node.send(signal.SIGCONT)
                stopped.node.stopped = False
                if len(self.workers.nodes) == 1:
                    self.done.append(InjectedFault("stop", time.time(), stopped.hit))

    def _is_taken_over(self, stopped: StoppedWorker) -> bool:
        if len(self.workers.nodes) == 1:  # by itself, once resumed: well past its lease
            return time.monotonic() > stopped.resume_by - TAKEOVER_SECONDS + self.plan.lease_seconds / 2
        return not any(
            Task.objects.filter(pk=task, epoch=epoch, state=State.RUNNING).exists() for task, epoch in stopped.hit
        )


def _claims_of(node: NodeProcess) -> frozenset[Claim]:
    found = Task.objects.filter(state=State.RUNNING, worker__pid=node.pid, worker__node=node.name)
    return frozenset(found.values_list("pk", "epoch"))
