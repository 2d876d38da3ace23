"""What the GPU of a node should be for: a snapshot of the queue and the limits in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from queueing.policy import batches
from queueing.states import PhaseName

OFTEN_DWELL_SECONDS: Final = 60.0  # a model is loaded for as long, or half of it: shorter phases would only load them


@dataclass(frozen=True, slots=True)
class Demand:
    """What one phase has to do."""

    due: int = 0  # tasks that could be claimed now
    running: int = 0
    oldest_seconds: float = 0  # how long the longest waiting of the due has waited in its stage

    @property
    def any(self) -> bool:
        return self.due + self.running > 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The queue at one moment, read by one statement."""

    unbatched: Demand = Demand()  # uploads that are in no batch yet
    batch: Demand = Demand()  # of this node's open batch, and what needs no batch, for speech to text
    evaluation: Demand = Demand()
    shared: Demand = Demand()  # of evaluation, what holds no phase (`pipelines.SlotShare`)
    expired: int = 0  # running tasks, of any worker, whose lease ran out
    live: int = 0  # tasks that have not ended, all of them
    owned: frozenset[int] = frozenset()  # the running tasks of the polling worker
    paused: frozenset[PhaseName] = frozenset()  # nothing of these may begin
    drained: bool = False  # and nothing may stay loaded
    often: bool = False  # a person wants evaluation to give way sooner: at most OFTEN_DWELL_SECONDS
    wanted: PhaseName | None = None  # a person asked for this phase, and its time is not over; see `wish_is_over`
    at: float = 0.0  # the moment, in seconds, by the database's clock
    due: frozenset[str] = frozenset()  # the stages of which something may be claimed, by whoever has it in a batch
    troubled: frozenset[str] = frozenset()  # the worker's model servers that failed and have not answered since


@dataclass(frozen=True, slots=True)
class Limits:
    batch_size: int
    batch_max_wait_seconds: float
    max_dwell_seconds: float
    idle_unload_seconds: float


@dataclass(frozen=True, slots=True)
class Decision:
    phase: PhaseName | None  # None: nothing needs to be loaded
    why: str


def next_phase(
    current: PhaseName | None,
    snapshot: Snapshot,
    limits: Limits,
    *,
    dwelt_seconds: float,
    idle_seconds: float,
    blocked: PhaseName | None = None,
) -> Decision:
    """What the node's GPU should be for.

    A phase goes on while it has work: transcription for one batch, evaluation until uploads have waited for all of its
    maximum dwell. Nothing to do for long enough unloads the model. While one phase is `blocked` or paused, the other
    one works if it can. What a person asked for comes before all of that, as long as it is of use.
    """
    if snapshot.drained:
        return Decision(None, "drained")
    if snapshot.wanted and not wish_is_over(current, snapshot, blocked=blocked):
        return Decision(snapshot.wanted, "a person asked for it")
    snapshot = _without_paused(snapshot)
    if blocked == PhaseName.EVAL and (snapshot.batch.due or _batch_ready(snapshot, limits)):
        return Decision(PhaseName.STT, "evaluation is blocked")
    if blocked == PhaseName.STT and (snapshot.evaluation.due or snapshot.shared.due):
        return Decision(PhaseName.EVAL, "transcription is blocked")
    if current == PhaseName.STT and snapshot.batch.any:
        # Batches are small, so transcription can't hold up evaluation for long: a batch is always finished.
        return Decision(current, "the batch is being transcribed")
    if current == PhaseName.EVAL and snapshot.evaluation.any:
        # By its own time, not by how long uploads waited: under a long backlog all of them waited too long, and the two
        # phases would only take turns unloading each other.
        most = min(limits.max_dwell_seconds, OFTEN_DWELL_SECONDS) if snapshot.often else limits.max_dwell_seconds
        if dwelt_seconds < most or not (snapshot.batch.due or _batch_ready(snapshot, limits)):
            return Decision(current, "transcripts are being evaluated")
        return Decision(PhaseName.STT, "uploads have waited for a whole evaluation phase")
    return _fresh_choice(current, snapshot, limits, idle_seconds)


def wish_is_over(current: PhaseName | None, snapshot: Snapshot, *, blocked: PhaseName | None = None) -> str:
    """Why the phase that a person asked for is asked for no longer; empty while it is, or nobody asked.

    A wish changes the order of the work; it must not keep the GPU from working at all. It is over when its phase can do
    nothing and the other one could, and when it was fulfilled and nothing is left to do. On a node that has nothing to
    do it is fulfilled first: its model is loaded before the work comes.
    """
    wanted = snapshot.wanted
    if wanted is None or snapshot.drained:
        return ""
    possible = _without_paused(snapshot)
    if wanted != blocked and _needs(wanted, possible):
        return ""
    other = PhaseName.EVAL if wanted == PhaseName.STT else PhaseName.STT
    # What is being transcribed is evaluated next: nothing new begins, and the wish waits for it.
    coming = wanted == PhaseName.EVAL and possible.batch.running
    if _needs(other, possible) and not coming:
        return (
            "its model can't be loaded, and other work waits"
            if wanted == blocked
            else "other work waits, and it has none"
        )
    if wanted == current and not coming and not _needs(wanted, snapshot):
        return "nothing is left to do"
    return ""


def _needs(phase: PhaseName, snapshot: Snapshot) -> bool:
    """Whether there is work of this phase; uploads count before their batch is ready."""
    if phase == PhaseName.EVAL:
        return snapshot.evaluation.any or snapshot.shared.any
    return snapshot.batch.any or snapshot.unbatched.due > 0


def _without_paused(snapshot: Snapshot) -> Snapshot:
    """What waits for a paused phase is no work; what runs already is."""
    if PhaseName.STT in snapshot.paused:
        unbatched, batch = replace(snapshot.unbatched, due=0), replace(snapshot.batch, due=0)
        snapshot = replace(snapshot, unbatched=unbatched, batch=batch)
    if PhaseName.EVAL in snapshot.paused:
        evaluation, shared = replace(snapshot.evaluation, due=0), replace(snapshot.shared, due=0)
        snapshot = replace(snapshot, evaluation=evaluation, shared=shared)
    return snapshot


def _fresh_choice(current: PhaseName | None, snapshot: Snapshot, limits: Limits, idle_seconds: float) -> Decision:
    if snapshot.batch.due:
        return Decision(PhaseName.STT, "an open batch waits for transcription")
    if snapshot.evaluation.due:
        return Decision(PhaseName.EVAL, "transcripts wait for evaluation")
    # What has a share comes with the class's evaluation, after each batch. Should none of a batch come to that, it has
    # the GPU after the time that a phase may last, for as many tasks as have room.
    overdue = current != PhaseName.EVAL and snapshot.shared.oldest_seconds >= limits.max_dwell_seconds
    if _batch_ready(snapshot, limits) and not (overdue and snapshot.shared.due):
        return Decision(PhaseName.STT, "uploads wait for transcription")
    if snapshot.shared.due or (current == PhaseName.EVAL and snapshot.shared.running):
        return Decision(PhaseName.EVAL, "the class has nothing to do; other work has")
    if current and idle_seconds < limits.idle_unload_seconds:
        return Decision(current, "no work; the model stays loaded for a while")
    return Decision(None, "no work")


def _batch_ready(snapshot: Snapshot, limits: Limits) -> bool:
    waiting = snapshot.unbatched
    return batches.is_ready(
        waiting.due, waiting.oldest_seconds, size=limits.batch_size, max_wait_seconds=limits.batch_max_wait_seconds
    )
