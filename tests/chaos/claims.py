"""Scenario: two workers with their hearts, people and time, over two or three tasks."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from queueing.engines.base import Engines
from queueing.models import Task
from queueing.states import State
from queueing.worker import upkeep
from queueing.worker.background.heartbeat import Heartbeat
from queueing.worker.jobs import Jobs
from tests.chaos import oracle
from tests.chaos.scheduler import Scheduler, pass_on, until
from tests.chaos.world import LEASE_SECONDS, PATIENCE, STAGES, ScheduleWorld, enter, start_worker

MAX_STEPS = 1500
MAX_ROUNDS = 30


class ChaosEngine:
    def at_work(self) -> AbstractContextManager[None]:
        return nullcontext()


_ENGINE: Any = ChaosEngine()
_OTHER: Any = ChaosEngine()
ENGINES = Engines(_ENGINE, {"rate": _OTHER})


class Process:
    """A worker process without phases: its main thread and its heartbeat; `Jobs` starts the other threads."""

    def __init__(self, world: ScheduleWorld, name: str) -> None:
        self.world, self.name, self.chance = world, name, world.chance
        self.row = start_worker(name)
        self.jobs = Jobs(ENGINES, PATIENCE, wake=lambda: None, chance=self.chance)
        self.heartbeat = Heartbeat(
            self.row,
            every_seconds=1,
            lease_seconds=LEASE_SECONDS,
            held=self.jobs.held,
            on_tasks_lost=self.jobs.stop,
            on_lost=lambda: None,
        )
        self.left = False

    def main(self) -> None:
        for _ in range(self.chance.randint(2, 4)):
            self.round(self.chance.randint(1, 2), rescue=self.chance.random() < 0.3)
        self.finish_all()
        self.left = True

    def round(self, limit: int, *, rescue: bool) -> None:
        self.jobs.finish_ended()
        held = set(self.jobs.running)
        if rescue:
            upkeep.rescue_expired(PATIENCE.max_crashes, LEASE_SECONDS, held)
        claimed = Task.objects.claim(
            worker=self.row, stages=STAGES, lease_seconds=LEASE_SECONDS, limit=limit, beside=held
        )
        for task in claimed:
            self.jobs.start(task)

    def finish_all(self) -> None:
        while self.jobs:
            until(lambda: any(job.outcome.done() for job in self.jobs.running.values()))
            self.jobs.finish_ended()

    def send_heartbeat(self) -> None:
        for _ in range(self.chance.randint(1, 2)):
            until(lambda: bool(self.jobs) or self.left, "beats")
            self.heartbeat._send()


def play(scheduler: Scheduler, submissions: list[Any]) -> ScheduleWorld:
    """One schedule, and a check of what it left."""
    world = enter(ScheduleWorld(scheduler, submissions))
    chance = scheduler.chance
    for number in range(chance.randint(1, 3)):
        world.hand_in(number, owner=chance.choice("ab"))
    processes = [Process(world, name) for name in ("A", "B")]
    for process in processes:
        scheduler.spawn(process.name, process.main)
        scheduler.spawn(f"{process.name}.heartbeat", process.send_heartbeat, process=process.name)
    scheduler.spawn("C", lambda: keep_up(world, processes))
    scheduler.spawn("teacher", lambda: person(world))
    scheduler.spawn("time", lambda: time(world, processes))
    scheduler.may_die, scheduler.kill_chance = {"A"}, chance.choice((0.0, 0.0, 0.01))
    scheduler.on_death = lambda name: setattr(processes[0], "left", True)
    scheduler.run(MAX_STEPS)
    if not scheduler.problems:
        scheduler.kill_chance = 0.0
        last = Process(world, "last")
        scheduler.spawn("last", lambda: drain(world, last))
        scheduler.run(MAX_STEPS)
    oracle.check(world)
    return world


def keep_up(world: ScheduleWorld, processes: list[Process]) -> None:
    """A third worker, which only does the upkeep of what the others left."""
    for _ in range(world.chance.randint(1, 2)):
        seen = world.counts["leases run out"]
        until(lambda seen=seen: world.counts["leases run out"] > seen or all(each.left for each in processes))  # type: ignore[misc]
        upkeep.rescue_expired(PATIENCE.max_crashes, LEASE_SECONDS)


def person(world: ScheduleWorld) -> None:
    for _ in range(world.chance.randint(0, 3)):
        task = Task.objects.get(pk=world.chance.choice(world.tasks))
        verb = world.chance.choice((task.cancel, task.retry, task.requeue))
        world.counts["people's verbs"] += verb(by="teacher")


def time(world: ScheduleWorld, processes: list[Process]) -> None:
    for _ in range(world.chance.randint(1, 4)):
        until(lambda: any(process.jobs for process in processes) or all(process.left for process in processes))
        world.let_a_lease_run_out(world.chance.choice(world.tasks), silent=world.chance.random() < 0.5)
        pass_on("time passes")


def drain(world: ScheduleWorld, process: Process) -> None:
    """What a lab does over night: whoever is left over is rescued, and all the rest is done."""
    for _ in range(MAX_ROUNDS):
        for task in Task.objects.filter(state=State.RUNNING).order_by("pk").values_list("pk", flat=True):
            world.let_a_lease_run_out(task, silent=True)
        process.round(3, rescue=True)
        process.finish_all()
        if not Task.objects.live().exists():
            return
    world.scheduler.report(f"after {MAX_ROUNDS} rounds there is still something to do")
