"""What goes wrong in a rehearsal, one thing after the other in a random order, and what it hit."""

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
from introeval.rehearsal.plan import RehearsalPlan
from introeval.rehearsal.trouble import Trouble
from queueing.models import Claim, Task
from queueing.states import State

OUTAGE = 10.0  # of the language models or the disk, in the lab's seconds
GIVE_UP_SECONDS = 15.0  # over a stopped worker whose tasks nobody takes: it goes on, and the rehearsal finds fault


@dataclass(slots=True)
class InjectedFault:
    kind: str
    at: float  # when work could go on again as far as the fault was concerned, by the machine's clock
    hit: frozenset[Claim] = frozenset()  # what its worker worked on


@dataclass(slots=True)
class StoppedWorker:
    """A stopped worker."""

    node: NodeProcess
    hit: frozenset[Claim]
    give_up_at: float
    wake_at: float | None = None  # known once its tasks were taken over


class CrashingPostgres(Postgres):
    """Stopped as a crash would: no goodbye to clients, no checkpoint; the log is replayed at the next start."""

    farewell = ((signal.SIGQUIT, 5.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 10.0))

    def command(self) -> list[str]:
        # Sync what was written before the crash at one go, not file by file, which takes seconds on a busy disk.
        return [*super().command(), "-c", "recovery_init_sync_method=syncfs"]


class Injector:
    """`step()` now and then; everything happens in there, on the caller's thread."""

    def __init__(self, plan: RehearsalPlan, crew: NodeProcesses, trouble: Trouble) -> None:
        self.plan, self.crew, self.trouble = plan, crew, trouble
        self.chance = random.Random(plan.seed)  # noqa: S311 - to be replayed, not a secret
        self.coming = list(plan.faults.elements())
        self.chance.shuffle(self.coming)
        self.done: list[InjectedFault] = []
        self.away: list[tuple[float, float]] = []  # when PostgreSQL was
        self.postgres, self.valkey = CrashingPostgres(ServiceLayout(plan.folder)), Valkey(ServiceLayout(plan.folder))
        self._zombies: list[StoppedWorker] = []
        self._heals: list[tuple[float, str]] = []
        self._next_at = time.monotonic() + self._gap()

    @property
    def over(self) -> bool:
        return not (self.coming or self._zombies or self._heals)

    @property
    def counts(self) -> Counter[str]:
        return Counter(fault.kind for fault in self.done)

    def step(self) -> None:
        self._wake_zombies()
        self._heal()
        if self.coming and time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + self._gap()
            kind = self.coming.pop()
            if not getattr(self, f"_{kind}")():
                self.coming.insert(self.chance.randrange(len(self.coming) + 1), kind)  # nobody to hit; later

    def _gap(self) -> float:
        return self.plan.gap_seconds * self.chance.uniform(0.2, 1.8)

    # One fault each; False: there was nothing that it could have hit.

    def _kill(self) -> bool:
        able = self._able()
        if not able:
            return False
        node = self.chance.choice(able)
        hit = _claims_of(node)
        node.send(signal.SIGKILL)
        self.done.append(InjectedFault("kill", time.time(), hit))
        return True

    def _stop(self) -> bool:
        at_work = {node: claims for node in self._able() if (claims := _claims_of(node))}
        if not at_work or len(self._zombies) >= max(1, len(self.crew.nodes) - 1):
            return False
        node, hit = self.chance.choice(list(at_work.items()))
        node.send(signal.SIGSTOP)
        node.stopped = True
        self._zombies.append(StoppedWorker(node, hit, time.monotonic() + self.plan.lease_seconds + GIVE_UP_SECONDS))
        if len(self.crew.nodes) > 1:
            self.done.append(InjectedFault("stop", time.time(), hit))
        return True

    def _pg(self) -> bool:
        began = time.time()
        self.postgres.stop()
        time.sleep(self.chance.uniform(0, self.plan.lease_seconds / 2))
        self.postgres.ensure_running()
        connection.close()
        self.away.append((began, time.time()))
        self.done.append(InjectedFault("pg", time.time()))
        return True

    def _redis(self) -> bool:
        self.valkey.stop()
        self.valkey.ensure_running()
        self.done.append(InjectedFault("redis", time.time()))
        return True

    def _llm(self) -> bool:
        return self._break("llm")

    def _disk(self) -> bool:
        return self._break("disk")

    def _twice(self) -> bool:
        self.trouble.begin("twice")
        self.done.append(InjectedFault("twice", time.time()))
        return True

    def _break(self, what: str) -> bool:
        if any(what == broken for _, broken in self._heals):
            return False
        self.trouble.begin(what)
        self._heals.append((time.monotonic() + OUTAGE * self.plan.scale, what))
        return True

    def _heal(self) -> None:
        for entry in [entry for entry in self._heals if time.monotonic() >= entry[0]]:
            self._heals.remove(entry)
            self.trouble.end(entry[1])
            self.done.append(InjectedFault(entry[1], time.time()))

    def _able(self) -> list[NodeProcess]:
        return [node for node in self.crew.nodes if not node.stopped and node.process.is_alive()]

    def _wake_zombies(self) -> None:
        for zombie in list(self._zombies):
            if zombie.wake_at is None and self._is_taken_over(zombie):
                # Now its successor works, or is through: what the zombie finds when it wakes must not differ.
                later = self.chance.uniform(0, 2 * self.plan.work.rate * self.plan.scale)
                zombie.wake_at = time.monotonic() + later
            if time.monotonic() >= min(zombie.wake_at or zombie.give_up_at, zombie.give_up_at):
                self._zombies.remove(zombie)
                zombie.node.send(signal.SIGCONT)
                zombie.node.stopped = False
                if len(self.crew.nodes) == 1:
                    self.done.append(InjectedFault("stop", time.time(), zombie.hit))

    def _is_taken_over(self, zombie: StoppedWorker) -> bool:
        if len(self.crew.nodes) == 1:  # by itself, when it wakes: well past its lease
            return time.monotonic() > zombie.give_up_at - GIVE_UP_SECONDS + self.plan.lease_seconds / 2
        return not any(
            Task.objects.filter(pk=task, epoch=epoch, state=State.RUNNING).exists() for task, epoch in zombie.hit
        )


def _claims_of(node: NodeProcess) -> frozenset[Claim]:
    found = Task.objects.filter(state=State.RUNNING, worker__pid=node.pid, worker__node=node.name)
    return frozenset(found.values_list("pk", "epoch"))
