"""Where the node's GPU goes: what the policy wants, and how far the work under way lets it have it."""

from __future__ import annotations

import time

from queueing import pipelines, policy
from queueing.claims import Claims
from queueing.coordinator import Coordinator, Turn
from queueing.jobs import Jobs
from queueing.models import Task
from queueing.servers import Servers
from queueing.states import PhaseName


class Pilot:
    """Of one registered worker. Used by its main thread only."""

    def __init__(
        self, coordinator: Coordinator, jobs: Jobs, servers: Servers, claims: Claims, limits: policy.Limits
    ) -> None:
        self.coordinator, self.jobs, self.servers, self.claims, self.limits = coordinator, jobs, servers, claims, limits
        self._busy_at = time.monotonic()

    def follow(self, snapshot: policy.Snapshot) -> tuple[bool, bool]:
        """Move the phase to where the policy wants it. Returns (a hand-over happened, claiming is allowed)."""
        if self.jobs or snapshot.batch.due or snapshot.unbatched.due or snapshot.evaluation.due:
            self._busy_at = time.monotonic()
        phase = self.coordinator
        idle = time.monotonic() - self._busy_at
        wanted = policy.next_phase(
            phase.current,
            snapshot,
            self.limits,
            dwelt_seconds=phase.dwelt_seconds,
            idle_seconds=idle,
            blocked=phase.blocked_target,
        )
        if self._may_ask(wanted, snapshot):
            self.servers.take_turns()
        moved = self._move_to(wanted, snapshot)
        if self._phase_is(PhaseName.EVAL):
            self.servers.ask(self.coordinator.working)
        else:
            self.servers.give_turns_back()
        return moved

    def _may_ask(self, wanted: policy.Decision, snapshot: policy.Snapshot) -> bool:
        """Whether a server that did not answer may be asked again: in its phase, and when there is work for it."""
        there = self._phase_is(PhaseName.EVAL) or not self.jobs
        return (
            wanted.phase == PhaseName.EVAL
            and there
            and snapshot.evaluation.due > 0
            and PhaseName.EVAL not in snapshot.paused
        )

    def _move_to(self, wanted: policy.Decision, snapshot: policy.Snapshot) -> tuple[bool, bool]:
        phase = self.coordinator
        if wanted.phase == phase.current and not phase.blocked:
            if PhaseName.EVAL not in snapshot.paused and (turn := self._next_turn()):
                return self._pass_the_turn(turn)
            phase.stay()
            if self._phase_is(PhaseName.STT) and snapshot.unbatched.due:
                self.claims.fill_batch()  # who came meanwhile joins while there is room
            return False, True
        if self.jobs or self.servers.asking:
            phase.drain(wanted.phase, wanted.why)
            return False, False
        if wanted.phase != PhaseName.STT:
            self.claims.close_batch()
        # Claim in the same round: a phase entered for waiting uploads must take them before the policy looks again.
        switched = phase.switch(wanted.phase) and not phase.blocked
        return switched, switched

    def _next_turn(self) -> Turn | None:
        """The language model that is to be loaded in place of the one that is; None: it goes on.

        Looked up before anything is claimed for it: a claim must not wait while models are changed.
        """
        phase = self.coordinator
        if phase.holder is None or (self.jobs and phase.held_seconds < self.limits.max_dwell_seconds):
            return None
        turn = self.whose_turn()
        return None if turn == phase.holder else turn

    def _pass_the_turn(self, turn: Turn) -> tuple[bool, bool]:
        """As `follow`, of which it is a part."""
        if self.jobs or self.servers.asking:
            self.coordinator.drain(PhaseName.EVAL, f"next, it {turn}")
            return False, False
        turned = self.coordinator.turn(turn)
        return turned, turned

    def whose_turn(self) -> Turn:
        phase, all_lanes = self.coordinator, self.claims.lanes(PhaseName.EVAL)
        # A model whose server does not answer has no turn, but for the question whether it is back.
        lanes = [lane for lane in all_lanes if self.servers.may_be_loaded(lane.stages[0])] or all_lanes
        lane = policy.whose_turn(
            lanes,
            Task.objects.demands(self.claims.node, pipelines.stages_of(PhaseName.EVAL)),
            phase.holder and id(phase.holder.engine),
            held_seconds=phase.held_seconds,
            max_dwell_seconds=self.limits.max_dwell_seconds,
        )
        spec = next(spec for spec in pipelines.specs_of(PhaseName.EVAL) if spec.name in lane.stages)
        return Turn(spec.engine, self.jobs.engine_of(spec))

    def _phase_is(self, phase: PhaseName) -> bool:
        return self.coordinator.current == phase
