"""Scenario: a node's worker with its phases, over a GPU that reports overlaps; uploads, people and kills meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from queueing.engines.base import Engines, OwnProcess, Resident
from queueing.exceptions import Infrastructure
from queueing.models import Pause, Phase, Task, schema
from queueing.policy import phases
from queueing.states import PhaseName, PhaseStep, State
from queueing.worker import coordinator, jobs, process
from queueing.worker.options import Options
from queueing.worker.process import PhaseWorker
from tests.chaos import oracle
from tests.chaos.scheduler import Scheduler, pass_on, until
from tests.chaos.world import LEASE_SECONDS, PATIENCE, ScheduleWorld, enter

NODE = "n"
STEP_SECONDS = 0.05  # of the node's own clock, per step of the schedule
MAX_STEPS = 4000
LIMITS = phases.Limits(batch_size=2, batch_max_wait_seconds=0.0, max_dwell_seconds=1.0, idle_unload_seconds=0.5)
OPTIONS = Options(
    limits=LIMITS,
    retries=PATIENCE,
    lease_seconds=LEASE_SECONDS,
    heartbeat_seconds=5.0,
    poll_seconds=0.2,
    stop_grace_seconds=1.0,
    lock_dir=Path("nowhere"),  # one worker at a time is this scenario's own doing
)


class SharedGpu:
    """What really is in memory. It outlives the worker's process, as a model server does.

    It has room for one model: in half of the schedules evaluation has two, which must take turns.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler, self.chance = scheduler, scheduler.chance
        self.in_turns = self.chance.random() < 0.5
        self.speech = PhaseModel(self, "speech")
        self.extract = PhaseModel(self, "extract")
        self.rate = PhaseModel(self, "rate") if self.in_turns else self.extract
        self.turns = 0

    @property
    def models(self) -> list[PhaseModel]:
        return [self.speech, self.extract, *([self.rate] if self.in_turns else [])]

    def look(self) -> None:
        held = [model.name for model in self.models if model.loaded]
        if len(held) > 1:
            self.scheduler.report(f"{' and '.join(held)} are in memory")


class PhaseModel(OwnProcess):
    """An engine that loads and unloads in its own time, and notices who works with it."""

    simulated = True
    slots = 2
    context_tokens = 8192

    def __init__(self, gpu: SharedGpu, role: str) -> None:
        self.gpu, self.role = gpu, role
        self.name = self.model = f"the model for {role}"
        self.loaded = False
        self.users = 0
        self.lingers = 0  # how many more polls find it in memory although it was unloaded

    def load(self) -> None:
        pass_on(f"loads {self.role}")
        if self.gpu.chance.random() < 0.1:
            raise Infrastructure("the server is not there")
        self.loaded, self.lingers = True, 0
        self.gpu.turns += self.gpu.in_turns and self.role == "rate"
        self.gpu.look()
        pass_on(f"loaded {self.role}")

    def unload(self) -> None:
        pass_on(f"unloads {self.role}")
        if self.loaded and self.users:
            self.gpu.scheduler.report(f"{self.role} is unloaded under running work")
        if self.loaded and not self.lingers and self.gpu.chance.random() < 0.3:
            self.lingers = self.gpu.chance.randint(1, 2)
        self.loaded = self.lingers > 0

    def resident(self) -> tuple[Resident, ...]:
        if self.lingers:
            self.lingers -= 1
            self.loaded = self.lingers > 0
        return (Resident(self.model, 1, "simulated"),) if self.loaded else ()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        if not self.loaded:
            self.gpu.scheduler.report(f"work begins for {self.role}, which is not loaded")
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1


class ChaosNode:
    """The worker processes of the node, one after the other."""

    def __init__(self, world: ScheduleWorld) -> None:
        self.world, self.gpu = world, SharedGpu(world.scheduler)
        self.starts = 0
        self.may_leave = False

    def start(self, died: str = "") -> None:
        if died:
            self.gpu.speech.loaded = False  # it was a child of the process
        for engine in self.gpu.models:
            engine.users = 0
        self.starts += 1
        name = f"worker{self.starts}"
        speech: Any = self.gpu.speech
        language: Any = {"extract": self.gpu.extract, "rate": self.gpu.rate}
        options = replace(OPTIONS, together=False) if self.gpu.in_turns else OPTIONS
        process = PhaseWorker(NODE, Engines(speech, language), options, chance=self.world.chance)
        self.world.scheduler.spawn(name, lambda: self.work(process))
        self.world.scheduler.may_die = {name} if self.starts < 3 else set()

    def work(self, process: PhaseWorker) -> None:
        loop = process.register()
        while not (self.may_leave and loop.has_nothing_to_do()):
            if not loop.run_once():
                until(loop.stopping.wake.is_set, "rests", at_most=True)
                loop.stopping.wake.clear()
        process._leave(loop)


def play(scheduler: Scheduler, submissions: list[Any]) -> ScheduleWorld:
    """One schedule, and a check of what it left."""
    world = enter(ScheduleWorld(scheduler, submissions))
    node = ChaosNode(world)
    Phase.objects.filter(node=NODE).delete()
    world.hand_in(0, owner="a")
    node.start()
    scheduler.spawn("student", lambda: hand_in_more(world, node))
    scheduler.spawn("operator", lambda: operate(world))
    scheduler.kill_chance = scheduler.chance.choice((0.0, 0.01, 0.03))
    scheduler.on_death = lambda name: recover(world, node, name)
    with clocks(scheduler):
        scheduler.run(MAX_STEPS)
    oracle.check(world)
    row = Phase.objects.filter(node=NODE).first()
    if row and not scheduler.problems and (row.step, row.name) != (PhaseStep.IDLE, ""):
        scheduler.report(f"the node was left {row}")
    if (node.gpu.extract.loaded or node.gpu.rate.loaded) and not scheduler.problems:
        scheduler.report("a model was left in memory")
    world.counts["workers started"] += node.starts
    world.counts["turns"] += node.gpu.turns
    return world


def hand_in_more(world: ScheduleWorld, node: ChaosNode) -> None:
    for number in range(1, world.chance.randint(2, 4)):
        pass_on("a student comes")
        world.hand_in(number, owner=world.chance.choice("ab"))
    node.may_leave = True


def operate(world: ScheduleWorld) -> None:
    for _ in range(world.chance.randint(0, 2)):
        if world.chance.random() < 0.5:
            Phase.request(world.chance.choice([*PhaseName]), node=NODE, hold_seconds=3600, by="teacher")
            for _ in range(world.chance.randint(1, 5)):
                pass_on("the wish stands")
            Phase.objects.filter(node=NODE).update(wanted="", wanted_until=None)
            continue
        what = world.chance.choice([*Pause.What])
        Pause.objects.start(what, node=NODE, drain=world.chance.random() < 0.5, by="teacher", reason="why not")
        for _ in range(world.chance.randint(1, 5)):
            pass_on("the pause lasts")
        Pause.objects.end(by="teacher")


def recover(world: ScheduleWorld, node: ChaosNode, died: str) -> None:
    """The service manager starts the next one; by then the leases of the dead one have run out."""
    for pk in Task.objects.filter(state=State.RUNNING).order_by("pk").values_list("pk", flat=True):
        world.let_a_lease_run_out(pk, silent=True)
    node.start(died)


@contextmanager
def clocks(scheduler: Scheduler) -> Iterator[None]:
    """The node's own clock goes by steps, and a rest is a place like others."""
    clock = SimpleNamespace(
        monotonic=lambda: scheduler.steps * STEP_SECONDS,
        sleep=lambda seconds: pass_on("sleeps"),
        perf_counter=lambda: scheduler.steps * STEP_SECONDS,
    )
    with ExitStack() as patches:
        for module in (process, coordinator, jobs):
            patches.enter_context(patch.object(module, "time", clock))
        patches.enter_context(patch.object(schema, "is_ahead", lambda: False))
        patches.enter_context(patch.object(schema, "ensure_current", lambda: None))
        patches.enter_context(patch.object(coordinator, "BLOCKED_PAUSE_SECONDS", 0.2))
        patches.enter_context(patch.dict(coordinator.Coordinator.__init__.__kwdefaults__, clock=clock.monotonic))
        yield
