"""Schedule after schedule, until one of them leaves something that must not be.

python -m tests.chaos explorer --schedules 5000
python -m tests.chaos explorer --scenario claims --seed 1234     # that one schedule again, step by step
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos import claims, coach_line, files, phases
from tests.chaos.scheduler import Scheduler, pool
from tests.chaos.world import CLEAR, ScheduleWorld, execute, stage_set

Scenario = Callable[[Scheduler, list[Any]], ScheduleWorld]

SCENARIOS: dict[str, Scenario] = {
    "claims": claims.play,
    "phases": phases.play,
    "files": files.play,
    "coach": coach_line.play,
}
CLEAR_EVERY = 200  # schedules: tables that grow make a claim slower


@dataclass
class ExplorerResult:
    """What was seen; `seed` is that of the first schedule with a problem."""

    scenario: str
    schedules: int = 0
    seconds: float = 0.0
    steps: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seed: int | None = None
    problems: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rate = self.schedules / self.seconds if self.seconds else 0.0
        facts = ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))
        end = f"seed {self.seed}: {'; '.join(self.problems)}" if self.problems else "nothing wrong"
        return f"{self.scenario}: {self.schedules} schedules ({rate:.0f}/s), {self.steps} steps, {facts}; {end}"


def explore(name: str, seeds: Iterable[int]) -> ExplorerResult:
    """Play the schedules of these seeds, up to the first that leaves a problem."""
    result = ExplorerResult(name)
    began = time.perf_counter()
    with stage_set() as submissions, pool() as hands:
        for seed in seeds:
            scheduler = Scheduler(hands, seed)
            world = SCENARIOS[name](scheduler, submissions)
            _add_up(result, scheduler, world)
            if scheduler.problems:
                result.seed, result.problems, result.trace = seed, scheduler.problems, scheduler.trace
                break
            if result.schedules % CLEAR_EVERY == 0:
                execute(CLEAR)
    result.seconds = time.perf_counter() - began
    return result


def _add_up(result: ExplorerResult, scheduler: Scheduler, world: ScheduleWorld) -> None:
    result.schedules += 1
    result.steps += scheduler.steps
    result.counts += world.counts
    result.counts["kills"] += scheduler.kills
    result.counts["waits for a lock"] += scheduler.waits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--schedules", type=int, default=5000, help="of each scenario (default: %(default)s)")
    parser.add_argument("--scenario", choices=SCENARIOS, help="only this one")
    parser.add_argument("--seed", type=int, help="play this one schedule and print its steps")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when nothing was wrong."""
    wrong = 0
    for name in [options.scenario] if options.scenario else SCENARIOS:
        seeds = range(options.schedules) if options.seed is None else [options.seed]
        result = explore(name, seeds)
        wrong += bool(result.problems)
        if result.problems or options.seed is not None:
            print("\n".join(result.trace))
        print(result)
    return min(wrong, 1)
