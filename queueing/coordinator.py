"""The hand-over of a node's GPU from one phase to the other: drain, unload, verify, load; written down at every step.

The row is the intent; the truth is what the engines report as resident. So a coordinator that starts assumes nothing:
it unloads everything, verifies, and begins from idle. A step that fails leaves the phase `blocked` with its reason,
nothing is claimed, and it is tried again after a growing pause.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog
from django.db import InterfaceError, OperationalError

from queueing.engines.base import Engine, Resident
from queueing.exceptions import StageError
from queueing.failpoints import failpoint
from queueing.models import Phase
from queueing.states import PhaseName, Step

log = structlog.get_logger()

BLOCKED_PAUSE_SECONDS = 2.0
BLOCKED_PAUSE_MAX_SECONDS = 60.0


class StillResident(Exception):
    """A model is still in memory after its unload."""


class Coordinator:
    """Owns the phase of one node. One per node: the worker holds the node's lock before it makes one."""

    def __init__(
        self,
        node: str,
        engines: Mapping[PhaseName, Sequence[Engine]],
        *,
        verify_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        leave_out: Callable[[Engine], bool] = lambda engine: False,
        on_refusal: Callable[[Engine, StageError], bool] = lambda engine, error: False,
    ) -> None:
        """`leave_out`: engines that are not loaded for now, since their server's breaker is open; the others work.

        `on_refusal` is told which engine could not be loaded or unloaded. True: somebody else says when it is loaded
        again.
        """
        self.row, _ = Phase.objects.get_or_create(node=node)
        self.engines = {phase: _unique(found) for phase, found in engines.items()}
        self.verify_seconds = verify_seconds
        self.clock = clock
        self.leave_out, self.on_refusal = leave_out, on_refusal
        self.current: PhaseName | None = None
        self.since = clock()
        self._tries = 0
        self._not_before = clock()
        self._paced_by_others = False

    @property
    def dwelt_seconds(self) -> float:
        return self.clock() - self.since

    @property
    def blocked(self) -> bool:
        return self.row.step == Step.BLOCKED

    @property
    def blocked_target(self) -> PhaseName | None:
        """The phase that could not be loaded the last time."""
        return PhaseName(self.row.target) if self.blocked and self.row.target else None

    def reconcile(self) -> None:
        """Whatever a previous process left behind: unload both kinds and start from idle."""
        self._attempt(None)

    def drain(self, target: PhaseName | None, why: str) -> None:
        """Say that running work is being finished before the switch."""
        if self.row.step != Step.DRAINING:
            failpoint("switch.draining")
            self.row.enter(Step.DRAINING, name=self.current or "", target=target or "", reason=why)

    def stay(self) -> None:
        """The policy wants the current phase: take back a draining that is no longer wanted."""
        if self.row.step == Step.DRAINING:
            self.row.enter(Step.ACTIVE, name=self.current or "")

    def switch(self, target: PhaseName | None) -> bool:
        """Hand over to `target`, with nothing running. Returns whether anything was tried."""
        if target == self.current and not self.blocked:
            return False
        if target and target == self.blocked_target and self.clock() < self._not_before:
            return False
        self._attempt(target)
        return True

    def mend(self) -> None:
        """Load the current phase's models again if one of them is gone. With nothing running."""
        if self.current and not self._intact():
            log.warning("engine gone", node=self.row.node, phase=self.current)
            self._attempt(self.current)

    def _intact(self) -> bool:
        try:
            return all(engine.resident() for engine in self._to_load(self.current)) if self.current else True
        except StageError:
            return False

    def _attempt(self, target: PhaseName | None) -> None:
        self._paced_by_others = False
        try:
            self._unload_all()
            self._verify()
            if target:
                self._load(target)
            self._settle(target)
        except (OperationalError, InterfaceError):
            raise  # not the GPU's fault: the worker's loop waits for the database and comes back
        except Exception as error:
            if not isinstance(error, (StageError, StillResident)):
                log.exception("an engine raised what it should not")
            self._block(target, error)

    def _unload_all(self) -> None:
        # All kinds, not only the current one: after a crash nobody knows what is loaded.
        failpoint("switch.unloading")
        if self.current:
            self.row.enter(Step.UNLOADING, name=self.current)
        self.current = None
        for engine in self._all():
            try:
                engine.unload()
            except StageError as error:
                self.on_refusal(engine, error)
                raise
        failpoint("switch.unloaded")

    def _verify(self) -> None:
        deadline = self.clock() + self.verify_seconds
        while held := self.resident():
            if self.clock() > deadline:
                raise StillResident(f"still in memory: {', '.join(one.model for one in held)}")
            if self.row.step != Step.VERIFYING:
                failpoint("switch.verifying")
                self.row.enter(Step.VERIFYING)
            time.sleep(0.1)
        failpoint("switch.verified")

    def _load(self, target: PhaseName) -> None:
        failpoint("switch.loading")
        self.row.enter(Step.LOADING, name=target)
        began = self.clock()
        for engine in self._to_load(target):
            try:
                engine.load()
            except StageError as error:
                self._paced_by_others = self.on_refusal(engine, error)
                raise
        failpoint("switch.loaded")
        log.info("phase loaded", node=self.row.node, phase=target, seconds=round(self.clock() - began, 3))

    def _to_load(self, phase: PhaseName) -> list[Engine]:
        return [engine for engine in self.engines[phase] if not self.leave_out(engine)]

    def _settle(self, target: PhaseName | None) -> None:
        self.current, self.since, self._tries = target, self.clock(), 0
        self.row.enter(Step.ACTIVE if target else Step.IDLE, name=target or "")
        failpoint("switch.settled")

    def _block(self, target: PhaseName | None, error: Exception) -> None:
        self._tries += 1
        pause = min(BLOCKED_PAUSE_SECONDS * 2 ** (self._tries - 1), BLOCKED_PAUSE_MAX_SECONDS)
        self._not_before = self.clock() + (0.0 if self._paced_by_others else pause)
        if (self.row.step, self.row.target, self.row.reason) != (Step.BLOCKED, target or "", str(error)):
            log.error("phase blocked", node=self.row.node, target=target, reason=str(error))
            self.row.enter(Step.BLOCKED, target=target or "", reason=str(error) or type(error).__name__)
            failpoint("switch.blocked")

    def resident(self) -> list[Resident]:
        """Every model in memory on this node, as its holder reports it."""
        return [one for engine in self._all() for one in engine.resident()]

    def _all(self) -> list[Engine]:
        return _unique(engine for engines in self.engines.values() for engine in engines)


def _unique(engines: Iterable[Engine]) -> list[Engine]:
    """Each engine once: one model may serve two stages."""
    return list({id(engine): engine for engine in engines}.values())
