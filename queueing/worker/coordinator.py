"""The hand-over of a node's GPU from one phase to the other: drain, unload, verify, load; recorded at every step.

The row is the intent; the truth is what the engines report as resident and what the GPU's driver reports of its memory.
So a coordinator that starts assumes nothing: it unloads everything, verifies, and begins from idle. A step that fails
leaves the phase `blocked` with its reason; nothing is claimed, and it is retried with a growing delay.

Where the plan says that the language models don't fit together, evaluation has one of them loaded at a time, and a turn
from one to the other goes through the same steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from queueing.engines.base import Engine, Resident
from queueing.exceptions import StageError
from queueing.failpoints import failpoint
from queueing.gpu import Gpu, NoGpu
from queueing.gpu.memory import GpuMemory, GpuRefuses
from queueing.models import Phase, schema
from queueing.policy.memory_plan import DEFAULT_PLAN, MemoryPlan, Mode
from queueing.states import PhaseName, PhaseStep

log = structlog.get_logger()

BLOCKED_PAUSE_SECONDS = 2.0
BLOCKED_PAUSE_MAX_SECONDS = 60.0
VERIFY_TICK_SECONDS = 0.1


class StillHeld(Exception):
    """A model, or its memory, is still there after its unload."""


class DoesNotFit(Exception):
    """The plan refuses this node's language models; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The one language model that is loaded while the two can't be loaded together."""

    role: str  # what it does: "extract", "rate"
    engine: Engine

    def __str__(self) -> str:
        return f"{self.role}s with {self.engine.model}"


class Owner(Protocol):
    """What a coordinator needs from the worker that owns it."""

    def make_plan(self) -> MemoryPlan:
        """How the models fit. Called with nothing loaded: when a node is taken over and before evaluation is loaded."""

    def next_turn(self, plan: MemoryPlan, holder: Turn | None, held_seconds: float) -> Turn:
        """Which language model is to be loaded, where they take turns; `holder` is the one that is."""

    def is_hurried(self) -> bool:
        """Whether to stop waiting for anything."""

    def is_left_out(self, engine: Engine) -> bool:
        """Whether it is not loaded for now, since its server's breaker is open; the others work."""

    def on_load_error(self, engine: Engine, error: StageError) -> bool:
        """Its load failed. True: the owner decides when it is retried."""

    def free_memory(self, engine: Engine) -> bool:
        """Its model or memory was not released in time. True: that was fixed (its server restarted): wait again."""


class Coordinator:
    """Owns the phase of one node. One per node: the worker holds the node's lock before it makes one.

    Args:
        verify_seconds: how long an unloaded model may take to give its memory back. A server says that it has
            unloaded a model before the memory is free.
    """

    def __init__(
        self,
        node: str,
        engines: Mapping[PhaseName, Sequence[Engine]],
        owner: Owner,
        *,
        gpu: Gpu | None = None,
        verify_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.row, _ = Phase.objects.get_or_create(node=node)
        self.engines = {phase: _unique(found) for phase, found in engines.items()}
        self.owner, self.verify_seconds, self.clock = owner, verify_seconds, clock
        self.memory = GpuMemory(gpu or NoGpu(), self.row)
        self.plan = DEFAULT_PLAN
        self.current: PhaseName | None = None
        self.holder: Turn | None = None  # None: all of the current phase's engines are loaded
        self.since = self.held_since = clock()
        self._tries = 0
        self._not_before = clock()
        self._paced_by_others = self._holds_up_all = False
        self._complaints: list[str] = []

    @property
    def dwelt_seconds(self) -> float:
        return self.clock() - self.since

    @property
    def held_seconds(self) -> float:
        """How long the holder has had its turn."""
        return self.clock() - self.held_since

    @property
    def blocked(self) -> bool:
        return self.row.step == PhaseStep.BLOCKED

    @property
    def blocked_target(self) -> PhaseName | None:
        """The phase that could not be loaded the last time."""
        return PhaseName(self.row.target) if self.blocked and self.row.target else None

    def reconcile(self) -> None:
        """Whatever a previous process left behind: unload both kinds and start from idle."""
        self._attempt(None)
        if not self.blocked:
            self.make_plan()

    def make_plan(self) -> None:
        """Plan how the models share the memory, with nothing loaded, and record it."""
        self.plan = self.owner.make_plan()
        if str(self.plan) != self.row.plan:
            log.info("plan", node=self.row.node, mode=self.plan.mode, why=self.plan.why)
            self.row.note_plan(str(self.plan))

    def drain(self, target: PhaseName | None, why: str) -> None:
        """Record that running work is being finished before the switch."""
        if self.row.step != PhaseStep.DRAINING:
            failpoint("switch.draining")
            self.row.enter(PhaseStep.DRAINING, name=self.current or "", target=target or "", reason=why)

    def stay(self) -> None:
        """The policy wants the current phase: end a draining that is no longer needed."""
        if self.row.step == PhaseStep.DRAINING:
            self.row.enter(PhaseStep.ACTIVE, name=self.current or "", reason=self._doing())

    def switch(self, target: PhaseName | None) -> bool:
        """Hand over to `target`, with nothing running. Returns whether anything was tried."""
        if target == self.current and not self.blocked:
            return False
        if self.blocked and self.clock() < self._not_before and self._is_held_up(target):
            return False
        self._attempt(target)
        return True

    def turn(self, turn: Turn) -> bool:
        """Unload the language model that is loaded and load the other one, with nothing running. Whether it worked.

        The phase continues: its dwell time is not reset.
        """
        if self.holder is None or turn == self.holder:
            return False
        since = self.since
        self._attempt(self.current, turn)
        if not self.blocked:
            self.since = since
        return not self.blocked

    def _is_held_up(self, target: PhaseName | None) -> bool:
        """A model that can't be loaded blocks its own phase, one that can't be unloaded blocks all."""
        return self._holds_up_all or (target is not None and target == self.blocked_target)

    def leave(self) -> None:
        """Unload everything, even if the last step failed."""
        if self.current or self.blocked:
            self._attempt(None)

    def begin_anew(self) -> None:
        """Unload the models of the current phase and load them again, with nothing running. The phase continues."""
        since = self.since, self.held_since
        self._attempt(self.current, self.holder)
        if not self.blocked:
            self.since, self.held_since = since

    def reload_lost(self) -> None:
        """Load the current phase's models again if one of them is no longer resident. With nothing running."""
        if self.current and not self._intact():
            log.warning("model no longer resident", node=self.row.node, phase=self.current)
            self._attempt(self.current, self.holder)

    def _intact(self) -> bool:
        try:
            return all(engine.resident() for engine in self.working)
        except StageError:
            return False

    @property
    def working(self) -> Sequence[Engine]:
        """What should be in memory now."""
        return self._to_load(self.current, self.holder) if self.current else []

    def _doing(self) -> str:
        return str(self.holder or "")

    def _attempt(self, target: PhaseName | None, turn: Turn | None = None) -> None:
        self._paced_by_others = False
        try:
            self._unload_all(target)
            self._verify(target)
            if target:
                self._load(target, turn)
            self._settle(target)
        except schema.UNAVAILABLE:
            raise  # not the GPU's fault: the worker's loop waits for the database and comes back
        except Exception as error:
            if not isinstance(error, (StageError, StillHeld, DoesNotFit)):
                log.exception("an engine raised what it should not")
            self._block(target, error)

    def _unload_all(self, target: PhaseName | None) -> None:
        # All kinds, not only the current one: after a crash it is unknown what is loaded.
        failpoint("switch.unloading")
        intact = self.current is not None and self._intact()
        if self.current:
            self.row.enter(PhaseStep.UNLOADING, name=self.current, target=target or "")
        self.current = self.holder = None
        self._holds_up_all = True
        with suppress(StageError):  # an unreachable server does not report what it holds
            self.memory.before_unload(self.resident(), intact=intact)
        self._complaints = [error for engine in self._all() if (error := _unload(engine))]
        self.memory.read_needs(self._all())
        failpoint("switch.unloaded")

    def _verify(self, target: PhaseName | None) -> None:
        """Wait until every model is unloaded and its memory is released."""
        held = self._wait_until_empty(target)
        if held:
            failpoint("switch.stuck")
            if self._free_memory():
                held = self._wait_until_empty(target)
        if held:
            raise StillHeld("; ".join([held, *self._complaints]))
        self._holds_up_all = False
        failpoint("switch.verified")

    def _wait_until_empty(self, target: PhaseName | None) -> str:
        """What is still held at the timeout; empty on success."""
        deadline = self.clock() + self.verify_seconds
        while held := self._still_held():
            if self.clock() > deadline or self.owner.is_hurried():
                return held
            if self.row.step != PhaseStep.VERIFYING:
                failpoint("switch.verifying")
                self.row.enter(PhaseStep.VERIFYING, target=target or "")
            time.sleep(VERIFY_TICK_SECONDS)
        return ""

    def _still_held(self) -> str:
        try:
            models = [one.model for one in self.resident()]
        except StageError as error:
            return str(error)  # an unreachable server may well hold the GPU
        return f"still in memory: {', '.join(models)}" if models else self.memory.still_held()

    def _free_memory(self) -> bool:
        """Restart what does not release its memory. With no model reported it may be any server's."""
        if self.owner.is_hurried():
            return False
        stuck = [engine for engine in self._all() if _holds(engine)]
        stuck = stuck or [engine for engine in self._all() if engine.server]
        by_server = {engine.server or id(engine): engine for engine in stuck}
        freed = [self.owner.free_memory(engine) for engine in by_server.values()]  # each, whatever the first returns
        return any(freed)

    def _load(self, target: PhaseName, turn: Turn | None) -> None:
        failpoint("switch.loading")
        holder = self._whose_turn(turn) if target == PhaseName.EVAL else None
        self.row.enter(PhaseStep.LOADING, name=target, reason=holder.engine.model if holder else "")
        began = self.clock()
        for engine in self._to_load(target, holder):
            self._load_engine(engine)
        self.holder = holder
        failpoint("switch.loaded")
        log.info("phase loaded", node=self.row.node, phase=target, seconds=round(self.clock() - began, 3))

    def _to_load(self, phase: PhaseName, holder: Turn | None) -> list[Engine]:
        """The models that work in this phase, without those whose server's breaker is open."""
        working = [holder.engine] if holder else self.engines[phase]
        return [engine for engine in working if not self.owner.is_left_out(engine)]

    def _whose_turn(self, turn: Turn | None) -> Turn | None:
        """The model to be loaded alone; None: all are loaded together.

        Raises:
            DoesNotFit: the plan refuses them.
        """
        self.make_plan()
        if self.plan.mode == Mode.REFUSED:
            raise DoesNotFit(self.plan.why)
        self.memory.expect(self.engines[PhaseName.EVAL], self.plan.needs)
        if self.plan.mode == Mode.PIPELINED:
            return None
        return turn or self.owner.next_turn(self.plan, None, 0.0)

    def _load_engine(self, engine: Engine) -> None:
        """Load one model, if there is room for it, and check that it is where it should be."""
        self.memory.admit(engine)
        failpoint("switch.admitted")
        try:
            engine.load()
        except StageError as error:
            self._paced_by_others = self.owner.on_load_error(engine, error)
            raise
        if fault := self.memory.misplaced(engine):
            failpoint("switch.misplaced")
            engine.unload()
            raise GpuRefuses(fault)

    def _settle(self, target: PhaseName | None) -> None:
        self.current, self._tries = target, 0
        self.since = self.held_since = self.clock()
        self.row.enter(PhaseStep.ACTIVE if target else PhaseStep.IDLE, name=target or "", reason=self._doing())
        failpoint("switch.settled")

    def _block(self, target: PhaseName | None, error: Exception) -> None:
        self._tries += 1
        pause = min(BLOCKED_PAUSE_SECONDS * 2 ** (self._tries - 1), BLOCKED_PAUSE_MAX_SECONDS)
        self._not_before = self.clock() + (0.0 if self._paced_by_others else pause)
        if (self.row.step, self.row.target, self.row.reason) != (PhaseStep.BLOCKED, target or "", str(error)):
            log.error("phase blocked", node=self.row.node, target=target, reason=str(error))
            self.row.enter(PhaseStep.BLOCKED, target=target or "", reason=str(error) or type(error).__name__)
            failpoint("switch.blocked")

    def resident(self) -> list[Resident]:
        """Every model in memory on this node, as its holder reports it."""
        return [one for engine in self._all() for one in engine.resident()]

    def _all(self) -> list[Engine]:
        return _unique(engine for engines in self.engines.values() for engine in engines)


def _unload(engine: Engine) -> str:
    """The engine's error, or empty. It only explains a failed verification: what stays resident decides."""
    try:
        engine.unload()
    except StageError as error:
        return str(error)
    return ""


def _holds(engine: Engine) -> bool:
    try:
        return bool(engine.resident())
    except StageError:
        return True


def _unique(engines: Iterable[Engine]) -> list[Engine]:
    """Each engine once: one model may serve two stages."""
    return list({id(engine): engine for engine in engines}.values())
