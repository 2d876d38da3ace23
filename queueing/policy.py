"""Decisions, pure: a snapshot and limits in, a decision out. Whoever has to know calls the same ones."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace

from queueing.exceptions import Crashed, Infrastructure, Interrupted, Permanent, StageError
from queueing.states import PhaseName


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
    """One look at the queue, from one statement."""

    unbatched: Demand = Demand()  # uploads that are in no batch yet
    batch: Demand = Demand()  # transcriptions of this node's open batch
    evaluation: Demand = Demand()
    expired: int = 0  # running tasks, of any worker, whose lease ran out
    live: int = 0  # tasks that have not ended, all of them
    owned: frozenset[int] = frozenset()  # the running tasks of the worker that looks
    paused: frozenset[PhaseName] = frozenset()  # nothing of these may begin
    drained: bool = False  # and nothing may stay loaded
    wanted: PhaseName | None = None  # a person asked for this phase, and its time is not over
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
    one works if it can. What a person asked for comes before all of that.
    """
    if snapshot.drained:
        return Decision(None, "drained")
    if snapshot.wanted:
        return Decision(snapshot.wanted, "a person asked for it")
    snapshot = _without_paused(snapshot)
    if blocked == PhaseName.EVAL and (snapshot.batch.due or batch_ready(snapshot, limits)):
        return Decision(PhaseName.STT, "evaluation is blocked")
    if blocked == PhaseName.STT and snapshot.evaluation.due:
        return Decision(PhaseName.EVAL, "transcription is blocked")
    if current == PhaseName.STT and snapshot.batch.any:
        # Batches are small, so transcription can't hold up evaluation for long: a batch is always finished.
        return Decision(current, "the batch is being transcribed")
    if current == PhaseName.EVAL and snapshot.evaluation.any:
        # By its own time, not by how long uploads waited: under a long backlog all of them waited too long, and the two
        # phases would only take turns unloading each other.
        if dwelt_seconds < limits.max_dwell_seconds or not (snapshot.batch.due or batch_ready(snapshot, limits)):
            return Decision(current, "transcripts are being evaluated")
        return Decision(PhaseName.STT, "uploads have waited for a whole evaluation phase")
    return _fresh_choice(current, snapshot, limits, idle_seconds)


def _without_paused(snapshot: Snapshot) -> Snapshot:
    """What waits for a paused phase is no work; what runs already is."""
    if PhaseName.STT in snapshot.paused:
        unbatched, batch = replace(snapshot.unbatched, due=0), replace(snapshot.batch, due=0)
        snapshot = replace(snapshot, unbatched=unbatched, batch=batch)
    if PhaseName.EVAL in snapshot.paused:
        snapshot = replace(snapshot, evaluation=replace(snapshot.evaluation, due=0))
    return snapshot


def _fresh_choice(current: PhaseName | None, snapshot: Snapshot, limits: Limits, idle_seconds: float) -> Decision:
    if snapshot.batch.due:
        return Decision(PhaseName.STT, "an open batch waits for transcription")
    if snapshot.evaluation.due:
        return Decision(PhaseName.EVAL, "transcripts wait for evaluation")
    if batch_ready(snapshot, limits):
        return Decision(PhaseName.STT, "uploads wait for transcription")
    if current and idle_seconds < limits.idle_unload_seconds:
        return Decision(current, "no work; the model stays loaded for a while")
    return Decision(None, "no work")


def batch_ready(snapshot: Snapshot, limits: Limits) -> bool:
    """A batch starts when it is full or its first upload has waited long enough for others to join."""
    waiting = snapshot.unbatched
    return waiting.due >= limits.batch_size or (
        waiting.due > 0 and waiting.oldest_seconds >= limits.batch_max_wait_seconds
    )


@dataclass(frozen=True, slots=True)
class Lane:
    """Stages that one engine serves, and how many of their tasks it works on at once."""

    engine: Hashable
    stages: tuple[str, ...]
    slots: int


def rooms(
    lanes: Sequence[Lane], running: Mapping[Hashable, int], *, only: Hashable | None = None
) -> list[tuple[Lane, int]]:
    """How many more tasks each lane may take, given how many run on each engine; lanes without room are left out.

    The lanes of a phase work side by side: while one task is rated, the next one is extracted. Where engines take
    turns, `only` the one that is loaded may take any.
    """
    free = [(lane, lane.slots - running.get(lane.engine, 0)) for lane in lanes if only in (None, lane.engine)]
    return [(lane, room) for lane, room in free if room > 0]


def whose_turn(
    lanes: Sequence[Lane],
    demands: Mapping[str, Demand],
    holder: Hashable | None,
    *,
    held_seconds: float,
    max_dwell_seconds: float,
) -> Lane:
    """Which lane's engine is to be loaded, of engines that can't be loaded together.

    Whoever is loaded goes on while it has work, so a batch costs one turn: all forms, then all ratings. It gives way
    to others' work only when it has had its turn for as long as a phase may last; and the next one is the first in the
    pipeline, unless another one's work has waited for that long. So a stream of one kind can't starve the other.

    Args:
        demands: by stage; what is not in it has no work.
        holder: the engine that is loaded; None: nothing is yet.
    """
    waiting = {lane.engine: lane for lane in lanes if _any(lane, demands, due=True)}
    held = next((lane for lane in lanes if lane.engine == holder), None)
    others = [lane for lane in waiting.values() if lane != held]
    if held and (not others or (_any(held, demands) and held_seconds < max_dwell_seconds)):
        return held
    if not others:
        return lanes[0]
    longest = max(others, key=lambda lane: _waited(lane, demands))
    return longest if _waited(longest, demands) >= max_dwell_seconds else others[0]


def _any(lane: Lane, demands: Mapping[str, Demand], *, due: bool = False) -> bool:
    found = [demands.get(stage, Demand()) for stage in lane.stages]
    return any(demand.due if due else demand.any for demand in found)


def _waited(lane: Lane, demands: Mapping[str, Demand]) -> float:
    return max(demands.get(stage, Demand()).oldest_seconds for stage in lane.stages)


@dataclass(frozen=True, slots=True)
class Tries:
    """What has happened to the current stage so far, and how often each may."""

    failures: int
    crashes: int
    max_attempts: int
    max_crashes: int
    backoff_seconds: float


@dataclass(frozen=True, slots=True)
class FailTask:
    error: StageError


@dataclass(frozen=True, slots=True)
class RetryLater:
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class HandBack:
    delay_seconds: float


AfterFailure = FailTask | RetryLater | HandBack

# An engine says `does_not_fit` when it has tried all that is lighter itself. Once more, for the memory may have been
# another program's for a while; a server that ran out of it is a failure like any other.
TRIES_TO_FIT = 2


def after_failure(error: StageError, tries: Tries, chance: random.Random) -> AfterFailure:
    """What becomes of a task whose attempt ended with `error`."""
    if isinstance(error, Interrupted):
        return HandBack(0)
    if isinstance(error, Infrastructure):
        return HandBack(_jittered(tries.backoff_seconds / 2, chance))
    if isinstance(error, Permanent):
        return FailTask(error)
    if isinstance(error, Crashed):
        if tries.crashes + 1 >= tries.max_crashes:
            code = "hung" if error.code == "hung" else "poison"
            return FailTask(Permanent(f"its worker died {tries.crashes + 1} times: {error}", code=code))
        return RetryLater(_jittered(tries.backoff_seconds / 2, chance))
    most = min(TRIES_TO_FIT, tries.max_attempts) if error.code == "does_not_fit" else tries.max_attempts
    if tries.failures + 1 >= most:
        return FailTask(error)
    return RetryLater(_jittered(tries.backoff_seconds * 2**tries.failures, chance))


def _jittered(seconds: float, chance: random.Random) -> float:
    """±50 %, so that what failed together does not come back together."""
    return seconds * chance.uniform(0.5, 1.5)
