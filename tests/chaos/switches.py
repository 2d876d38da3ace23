"""Hand-overs by the thousand, over a card that reports overlaps; what goes wrong in each is decided by the seed.

python -m tests.chaos switches                           # 10,000, and then each planted fault
python -m tests.chaos switches --switches 500 --seed 11
python -m tests.chaos switches --fault no_guard

The coordinator, its rows in PostgreSQL and the GPU's device are the product's; the driver and the models are doubles
over one card of 8 GB. Time goes by in sleeps only, and all waits are a tenth of the true ones.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol
from unittest.mock import patch

import structlog
from django.db import connection

from queueing import failpoints
from queueing.engines.base import Engine, Resident
from queueing.exceptions import StageError
from queueing.gpu import Device, Gpu, GpuMemoryFacts
from queueing.gpu.memory import GpuMemory
from queueing.models import Phase
from queueing.policy.memory_plan import ADMIT_SHARE
from queueing.states import PhaseName, PhaseStep
from queueing.worker import coordinator as coordinator_module
from queueing.worker.coordinator import Coordinator
from tests.doubles import card as card_module
from tests.doubles.card import GIB, MIB, FakeCard
from tests.doubles.models import NEVER, CardModel
from tests.doubles.nvml import Nvml
from tests.doubles.owner import FakeOwner

NODE = "switches"
SCALE = 10
VERIFY_SECONDS = 30 / SCALE
SLOW = (0.0, 2 / SCALE, 30 / SCALE, NEVER)
MAX_TRIES = 6  # until a phase is active, once everything is well again
FAILPOINTS = [name for name in failpoints.NAMES if name.startswith("switch.")]
TROUBLES = ("lost", "unknown", "not supported", "no driver", "hang")


class Died(BaseException):
    """The worker's process has ended."""


class Rig(Protocol):
    """The models of a node, and what can be done to them. A server's models outlive the worker, a child's do not."""

    problems: list[str]

    @property
    def engines(self) -> Mapping[PhaseName, Sequence[Engine]]:
        """As the coordinator is given them."""

    def misbehave(self, how: str, chance: random.Random) -> None:
        """From now on one of them is `slow`, or its load fails: `refused`, `full`, `fallback`."""

    def behave(self) -> None:
        """None does any more."""

    def lose_children(self, chance: random.Random) -> None:
        """The worker died."""

    def restart(self, engine: Engine) -> bool:
        """As an operator would restart its server."""

    def misplaced(self) -> list[str]:
        """The models that are loaded, and not wholly on the card."""


class CardRig:
    """Whisper in a child; Mistral and LLaMA, which fit beside each other here, in a server."""

    def __init__(self, card: FakeCard) -> None:
        self.problems: list[str] = []
        self.whisper = WatchedModel(card, "whisper", "stt", 3 * GIB, problems=self.problems)
        self.language = [
            WatchedModel(card, model, "eval", size, server="http://ollama", problems=self.problems)
            for model, size in (("mistral", 3 * GIB), ("llama", 2 * GIB))
        ]
        self.models = [self.whisper, *self.language]
        self.engines = {PhaseName.STT: [self.whisper], PhaseName.EVAL: self.language}

    def misbehave(self, how: str, chance: random.Random) -> None:
        model = chance.choice(self.models)
        match how:
            case "slow":
                for each in self.models:
                    # A child's memory may come back late, but it does come back with its end.
                    each.frees_after = chance.choice(SLOW if each.server else SLOW[:-1])
            case "fallback":
                self.language[0].on_gpu = chance.choice((0.0, 0.63))
            case "refused":
                model.refuses = "no server"
            case "full":
                model.runs_out = True

    def behave(self) -> None:
        for model in self.models:
            model.frees_after, model.on_gpu, model.refuses, model.runs_out = 0.0, 1.0, "", False

    def lose_children(self, chance: random.Random) -> None:
        self.whisper.frees_after = chance.choice(SLOW[:2])
        self.whisper.unload()
        self.whisper.frees_after = 0.0

    def restart(self, engine: Engine) -> bool:
        for model in self.language:
            model.restart()
        return True

    def misplaced(self) -> list[str]:
        return [one.model for one in self.models if one.loaded and one.held < one.size]


@dataclass(eq=False)
class WatchedModel(CardModel):
    """Tells when it is loaded where it should not have been admitted."""

    problems: list[str] = field(default_factory=list)

    def load(self) -> None:
        before = self.loads
        super().load()
        if self.loads > before and self.card.used > ADMIT_SHARE * self.card.total:
            self.problems.append(f"{self.model} was loaded onto a card that is full then")


class SleepingClock:
    """Everybody's time. What a hand-over waits for happens in its sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.meanwhile: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


@dataclass
class SwitchesResult:
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        counted = ", ".join(f"{count:,} {what}" for what, count in sorted(self.counts.items()))
        return f"seed {self.seed}, {self.seconds:.0f} s: {counted}; {len(self.problems)} problems"


class Switching:
    """One node, through many hand-overs."""

    def __init__(self, card: FakeCard, rig: Rig, clock: SleepingClock, result: SwitchesResult) -> None:
        self.card, self.rig, self.clock, self.result = card, rig, clock, result
        self.counts, self.chance = result.counts, random.Random(result.seed)
        self.may_restart = False
        self.clock.meanwhile = self._meanwhile
        self.coordinator = self._begin()

    def switch(self, number: int) -> None:
        """One hand-over with what goes wrong in it; then everything is well again, and it must succeed."""
        target = self.chance.choice([PhaseName.STT, PhaseName.EVAL, None])
        how = self._choose_trouble()
        self.may_restart = self.chance.random() < 0.5
        self._try(target, drain=self.chance.random() < 0.5)
        self._check(number, how)
        for turn in range(MAX_TRIES):
            self._make_well()
            if not self.coordinator.blocked and self.coordinator.current == target:
                break
            if self.coordinator.blocked:
                self.clock.now += coordinator_module.BLOCKED_PAUSE_MAX_SECONDS
            if turn == MAX_TRIES // 2:
                self._accept()
            self._try(target)
            self._check(number, how)
        else:
            row = Phase.objects.get(node=NODE)
            self.result.problems.append(f"switch {number} ({how}): it stayed {row}, {row.reason}")
        self.counts["hand-overs"] += 1

    def _choose_trouble(self) -> str:
        """Before the hand-over; what is left to come in it comes in its sleeps, or at a failpoint."""
        how = self.chance.choice(("", "", "", "slow", "slow", "full", "refused", "fallback", "crash", "crash", "nvml"))
        if self.chance.random() < (0.6 if how == "slow" else 0.2):
            self._somebody_comes_or_goes()
        self.counts[how or "undisturbed"] += 1
        if how == "nvml":
            self.card.trouble(self.chance.choice(TROUBLES))
        elif how == "crash":
            self.rig.misbehave(self.chance.choice(("slow", "slow", "full", "refused", "fallback")), self.chance)
            self._plan_death(self.chance.choice(FAILPOINTS))
        elif how:
            self.rig.misbehave(how, self.chance)
        return how

    def _try(self, target: PhaseName | None, *, drain: bool = False) -> None:
        try:
            if drain and self.coordinator.current:
                self.coordinator.drain(target, "chaos")
            self.coordinator.switch(target)
            self.coordinator.stay()
        except Died:
            self.rig.lose_children(self.chance)
            self.coordinator = self._begin()

    def _begin(self) -> Coordinator:
        """A worker starts; it may die of that too."""
        while True:
            self.counts["workers"] += 1
            made = Coordinator(
                NODE,
                self.rig.engines,
                FakeOwner(free=self._restart),
                gpu=Device(Nvml(self.card), answer_seconds=1.0),  # real ones: a busy machine hangs for 0.2
                verify_seconds=VERIFY_SECONDS,
                clock=self.clock.monotonic,
            )
            try:
                made.reconcile()
            except Died:
                continue
            return made

    def _plan_death(self, place: str) -> None:
        for name in FAILPOINTS:
            failpoints.plan(name, partial(self._die, name) if name == place else None)

    def _die(self, place: str) -> None:
        self.counts[f"deaths at {place}"] += 1
        # Its successor may die at the same place, or at another one.
        self._plan_death(self.chance.choice(FAILPOINTS) if self.chance.random() < 0.3 else "")
        raise Died

    def _restart(self, engine: Engine) -> bool:
        if not self.may_restart:
            return False
        self.counts["restarts"] += 1
        return self.rig.restart(engine)

    def _somebody_comes_or_goes(self) -> None:
        """Another program takes a part of the card, or gives it back.

        Never while ours is being released: the device's figures can't separate its memory from ours that came back.
        """
        holdings = self.card.look().holdings
        if not any(one.owner == "blender" for one in holdings):
            size = self.chance.choice((400 * MIB, 2 * GIB, 7 * GIB // 2, 6 * GIB))
            if sum(one.size for one in holdings) + size <= self.card.total:
                self.card.take("blender", "", size)
                self.counts["programs came"] += 1
        elif not any(one.free_at is not None for one in holdings):
            self.card.give_back("blender")
            self.counts["programs went"] += 1

    def _meanwhile(self) -> None:
        """During a sleep of the hand-over."""
        if self.card.look().trouble and self.chance.random() < 0.2:
            self.card.trouble("")
        if self.chance.random() < 0.01:
            self._somebody_comes_or_goes()

    def _accept(self) -> None:
        """A person checks the blocked node, sees that nothing of ours is there, and accepts it."""
        self.counts["accepted"] += 1
        Phase.accept_gpu_memory(node=NODE, by="chaos")

    def _make_well(self) -> None:
        self._plan_death("")
        self.card.trouble("")
        for thread in threading.enumerate():
            if thread.name == "nvml":
                thread.join(5)  # it hung
        self.rig.behave()
        if not self.coordinator.blocked:
            return
        if any(one.free_at == NEVER for one in self.card.look().holdings):
            self.rig.restart(self.rig.engines[PhaseName.EVAL][0])
        if any(one.owner == "blender" for one in self.card.look().holdings):
            self.clock.now += VERIFY_SECONDS  # nothing of ours is being given back any more
            self._somebody_comes_or_goes()

    def _check(self, number: int, how: str) -> None:
        """Whether the row and the memory agree, and whether anything was where it must never be."""
        row, current = Phase.objects.get(node=NODE), self.coordinator.current
        loaded = {phase for phase, engines in self.rig.engines.items() if any(one.resident() for one in engines)}
        found = [*self.rig.problems, *self.card.look().overlaps]
        if row.step not in (PhaseStep.IDLE, PhaseStep.ACTIVE, PhaseStep.BLOCKED):
            found.append(f"it was left in {row.step}")
        if (row.step == PhaseStep.ACTIVE) != (current is not None) or (row.name or None) != current:
            found.append(f"the row says {row}, the coordinator {current}")
        if row.step != PhaseStep.BLOCKED and loaded != ({current} if current else set()):
            found.append(f"{row}, but loaded is {sorted(loaded)}")
        if row.step == PhaseStep.ACTIVE and (elsewhere := self.rig.misplaced()):
            found.append(f"{', '.join(elsewhere)} works on the processor")
        self.result.problems += [f"switch {number} ({how or 'undisturbed'}): {problem}" for problem in found]
        self.counts[f"ended {row.step}"] += 1


def play(
    switches: int, seed: int, *, rig: Callable[[FakeCard], Rig] = CardRig, max_seconds: float | None = None
) -> SwitchesResult:
    """Hand over so many times, or until something is found.

    Args:
        max_seconds: seconds of real time after which it ends; None: as long as it takes.
    """
    result, clock, began = SwitchesResult(seed), SleepingClock(), time.monotonic()
    Phase.objects.filter(node=NODE).delete()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as undo:
        for module in (coordinator_module, card_module):
            there = SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep)
            undo.enter_context(patch.object(module, "time", there))
        undo.callback(failpoints.plan_from, "")
        with connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit TO off")  # what a power cut does to the rows is others' proof
        card = FakeCard(Path(folder) / "card")
        undo.callback(card.trouble, "")
        card.take("xorg", "", 300 * MIB)
        node = Switching(card, rig(card), clock, result)
        for number in range(switches):
            node.switch(number)
            if result.problems or (max_seconds and time.monotonic() - began > max_seconds):
                break
        result.counts["MiB at most"] = card.look().most // MIB
    result.seconds = time.monotonic() - began
    return result


# Faults planted into the product, each of which must be noticed.


def no_verification() -> AbstractContextManager[object]:
    """What the engines say of themselves is enough."""

    def believe(self: GpuMemory) -> str:
        reading = self.gpu.read()
        self._empty = reading if isinstance(reading, GpuMemoryFacts) else None
        return ""

    return patch.object(GpuMemory, "still_held", believe)


def no_wait() -> AbstractContextManager[object]:
    """The memory is read, and then loading begins all the same."""

    def look_once(self: Coordinator, target: PhaseName | None) -> str:
        self._still_held()
        return ""

    return patch.object(Coordinator, "_wait_until_empty", look_once)


def no_guard() -> AbstractContextManager[object]:
    """A model is loaded whether there is room for it or not."""
    return patch.object(GpuMemory, "admit", lambda self, engine: setattr(self, "_loaded", True))


def no_record() -> AbstractContextManager[object]:
    """A worker that starts takes what it finds in the memory for others'."""
    begin = GpuMemory.__init__

    def forget(self: GpuMemory, gpu: Gpu, row: Phase) -> None:
        begin(self, gpu, row)
        Phase.objects.filter(pk=row.pk).update(empty_bytes=None)

    return patch.object(GpuMemory, "__init__", forget)


def no_rebase() -> AbstractContextManager[object]:
    """What a program held that has left meanwhile still counts as others'."""
    before = GpuMemory.before_unload

    def keep(self: GpuMemory, held: Sequence[Resident], *, intact: bool) -> None:
        before(self, held, intact=False)

    return patch.object(GpuMemory, "before_unload", keep)


def no_look_at_the_place() -> AbstractContextManager[object]:
    """A model that fell back to the processor works there."""

    def measure(self: GpuMemory, engine: Engine) -> str:
        self._measure(self.gpu.read())
        return ""

    return patch.object(GpuMemory, "misplaced", measure)


def flip_before_unload() -> AbstractContextManager[object]:
    """The new phase is loaded, then the old one unloaded."""
    attempt = Coordinator._attempt

    def flip(self: Coordinator, target: PhaseName | None) -> None:
        if target is None or self.current is None:
            attempt(self, target)
            return
        before = self.engines[self.current]
        with suppress(StageError):
            for engine in self.engines[target]:
                engine.load()
        for engine in before:
            engine.unload()
        self._settle(target)

    return patch.object(Coordinator, "_attempt", flip)


FAULTS = {
    plant.__name__: plant
    for plant in (
        no_verification,
        no_wait,
        no_guard,
        no_record,
        no_rebase,
        no_look_at_the_place,
        flip_before_unload,
    )
}


SEEDS = {"no_rebase": 8}  # where it shows soon; the others do with any


def hunt(name: str, most: int) -> SwitchesResult:
    """Plant the fault, and hand over until it shows."""
    with FAULTS[name]():
        return play(most, SEEDS.get(name, 1))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--switches", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="as an earlier run printed it; else another one each time")
    parser.add_argument("--fault", choices=FAULTS, help="only with this fault planted")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when nothing was wrong and every planted fault was caught."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    clean = not options.fault and _run_clean(options.switches, options.seed or random.randrange(1 << 30))
    caught = [_run_planted(name) for name in ([options.fault] if options.fault else FAULTS)]
    return 0 if (clean or options.fault) and all(caught) else 1


def _run_clean(switches: int, seed: int) -> bool:
    result = play(switches, seed)
    print(result, *result.problems, sep="\n")
    return not result.problems


def _run_planted(name: str) -> bool:
    result = hunt(name, 2000)
    print(f"{name:<22}{result.problems[0] if result.problems else 'NOT CAUGHT'}")
    return bool(result.problems)
