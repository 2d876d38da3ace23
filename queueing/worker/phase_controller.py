"""Moves the node's GPU to the phase that the policy wants, as far as running work allows."""

from __future__ import annotations

import time
from dataclasses import replace
from enum import Enum, auto

import structlog

from queueing.models import Phase
from queueing.models.phase import SYSTEM
from queueing.policy import phases
from queueing.states import PhaseName
from queueing.worker.claims import Claims
from queueing.worker.coordinator import Coordinator, Turn
from queueing.worker.jobs import Jobs
from queueing.worker.node_models import NodeModels

log = structlog.get_logger()


class Readiness(Enum):
    """Whether tasks may be claimed for the phase that is loaded."""

    NOT_READY = auto()
    """Running work is being finished, or the models could not be changed."""
    READY = auto()
    CHANGED = auto()
    """Other models were loaded just now, which took a while."""


class PhaseController:
    """Of one registered worker. Used by its main thread only."""

    def __init__(
        self, coordinator: Coordinator, models: NodeModels, jobs: Jobs, claims: Claims, limits: phases.Limits
    ) -> None:
        self.coordinator, self.models, self.jobs = coordinator, models, jobs
        self.claims, self.limits = claims, limits
        self.servers = models.servers
        self._busy_at = time.monotonic()

    def apply_policy(self, snapshot: phases.Snapshot) -> Readiness:
        """Move the phase to where the policy wants it."""
        waiting = (snapshot.batch, snapshot.unbatched, snapshot.evaluation, snapshot.shared)
        if self.jobs or any(demand.due for demand in waiting):
            self._busy_at = time.monotonic()
        snapshot = self._without_spent_wish(snapshot)
        wanted = phases.next_phase(
            self.coordinator.current,
            snapshot,
            self.limits,
            dwelt_seconds=self.coordinator.dwelt_seconds,
            idle_seconds=time.monotonic() - self._busy_at,
            blocked=self.coordinator.blocked_target,
        )
        if self._may_probe(wanted, snapshot):
            self.servers.reserve_probes()
        readiness = self._move_to(wanted, snapshot)
        if self._phase_is(PhaseName.EVAL):
            self.servers.probe(self.coordinator.working)
        else:
            self.servers.release_probes()
        return readiness

    def _without_spent_wish(self, snapshot: phases.Snapshot) -> phases.Snapshot:
        """End a person's wish for a phase that has become of no use, so that pages and commands see its end."""
        phase = self.coordinator
        why = phases.wish_is_over(phase.current, snapshot, blocked=phase.blocked_target)
        if not why:
            return snapshot
        Phase.objects.filter(node=phase.row.node, wanted=snapshot.wanted).end_wishes(by=SYSTEM, reason=why)
        log.info("wish has ended", node=phase.row.node, phase=snapshot.wanted, why=why)
        return replace(snapshot, wanted=None)

    def _may_probe(self, wanted: phases.Decision, snapshot: phases.Snapshot) -> bool:
        """Whether a server that did not answer may be probed: in its phase, and when there is work for it."""
        there = self._phase_is(PhaseName.EVAL) or not self.jobs
        return (
            wanted.phase == PhaseName.EVAL
            and there
            and snapshot.evaluation.due + snapshot.shared.due > 0
            and PhaseName.EVAL not in snapshot.paused
        )

    def _move_to(self, wanted: phases.Decision, snapshot: phases.Snapshot) -> Readiness:
        phase = self.coordinator
        if wanted.phase == phase.current and not phase.blocked:
            if PhaseName.EVAL not in snapshot.paused and (turn := self._next_turn()):
                return self._change_turn(turn)
            phase.stay()
            if self._phase_is(PhaseName.STT) and snapshot.unbatched.due:
                self.claims.fill_batch()  # uploads that came meanwhile join while there is room
            return Readiness.READY
        if self.jobs or self.servers.probing:
            phase.drain(wanted.phase, wanted.why)
            return Readiness.NOT_READY
        if wanted.phase != PhaseName.STT:
            self.claims.close_batch()
        # Claim in the same round: a phase entered for waiting uploads must take them before the policy runs again.
        return _changed(phase.switch(wanted.phase) and not phase.blocked)

    def _next_turn(self) -> Turn | None:
        """The language model that is to be loaded in place of the one that is; None: it goes on.

        Looked up before anything is claimed for it: a claim must not wait while models are changed.
        """
        phase = self.coordinator
        if phase.holder is None or (self.jobs and phase.held_seconds < self.limits.max_dwell_seconds):
            return None
        turn = self.models.next_turn(phase.plan, phase.holder, phase.held_seconds)
        return None if turn == phase.holder else turn

    def _change_turn(self, turn: Turn) -> Readiness:
        if self.jobs or self.servers.probing:
            self.coordinator.drain(PhaseName.EVAL, f"next, it {turn}")
            return Readiness.NOT_READY
        return _changed(self.coordinator.turn(turn))

    def _phase_is(self, phase: PhaseName) -> bool:
        return self.coordinator.current == phase


def _changed(worked: bool) -> Readiness:
    return Readiness.CHANGED if worked else Readiness.NOT_READY
