"""Which tasks take a free slot of an engine next, and which model is loaded where two can't be at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from queueing.pipelines import SlotShare
from queueing.policy.phases import Demand
from queueing.states import PhaseName

MAX_PASSED_OVER: Final = 3
"""Tasks of other lanes that may take a slot before a lane of lower priority has one."""


@dataclass(frozen=True, slots=True)
class Lane:
    """Stages of one pipeline that one engine serves. They are claimed together, in the order of service."""

    engine: Hashable
    stages: tuple[str, ...]
    slots: int  # calls that the engine serves at once, whichever lane they are of
    phase: PhaseName = PhaseName.EVAL
    pipeline: str = ""
    priority: int = 0  # the higher one takes a free slot first
    max_slots: int | None = None  # of the engine's, at most so many for this lane; None: all
    batched: bool = False  # its tasks are claimed from the node's open batch
    one_per_owner: bool = False  # see `pipelines.Pipeline`
    share: SlotShare | None = None  # it yields to lanes of its priority or a higher one

    @property
    def patience(self) -> int:
        """After how many tasks of other lanes it comes before them."""
        return self.share.one_in if self.share else MAX_PASSED_OVER

    def yields_to(self, other: Lane) -> bool:
        return self.share is not None and other.share is None and other.priority >= self.priority

    def running(self, per_stage: Mapping[str, int]) -> int:
        return sum(per_stage.get(stage, 0) for stage in self.stages)


Room = tuple[Lane, int]
"""A lane, and how many more tasks it may take."""


def rooms(
    lanes: Sequence[Lane],
    per_stage: Mapping[str, int],
    *,
    only: Hashable | None = None,
    empty: Collection[Lane] = (),
) -> list[Room]:
    """How many more tasks each lane may take, given how many run of each stage; lanes without room are left out.

    The engines of a phase work side by side: while one task is rated, the next one is extracted. Where engines take
    turns, `only` the one that is loaded may take any. Lanes of one engine share its slots. Nothing waits in those that
    are `empty`.
    """
    used: Counter[Hashable] = Counter()
    for lane in lanes:
        used[lane.engine] += lane.running(per_stage)
    at_work = [lane for lane in lanes if lane not in empty or lane.running(per_stage)]
    found = [
        (lane, min(lane.slots - used[lane.engine], _allowed(lane, at_work) - lane.running(per_stage)))
        for lane in lanes
        if lane not in empty and only in (None, lane.engine)
    ]
    return [(lane, room) for lane, room in found if room > 0]


def next_room(found: Sequence[Room], passed_over: Mapping[Lane, int]) -> Room | None:
    """Which of the lanes with room and work takes a slot: of the highest priority, and the first of equals.

    Of equals one with a share comes last. A lane that was passed over as often as it has `patience` comes before that,
    whatever its priority. So while two lanes have work, each gets at least one slot in MAX_PASSED_OVER + 1, or in
    `SlotShare.one_in` + 1 (and one claim of several tasks more): none waits for ever.
    """
    overdue = [room for room in found if passed_over.get(room[0], 0) >= room[0].patience]
    if overdue:
        return max(overdue, key=lambda room: passed_over[room[0]] - room[0].patience)
    return max(found, key=lambda room: (room[0].priority, room[0].share is None), default=None)


def whose_turn(
    lanes: Sequence[Lane],
    demands: Mapping[str, Demand],
    holder: Hashable | None,
    *,
    held_seconds: float,
    max_dwell_seconds: float,
) -> Hashable:
    """Which engine is to be loaded, of engines that can't be loaded together.

    The loaded one goes on while it has work, so a batch costs one turn: all forms, then all ratings. It gives way
    to others' work only when it has had its turn for as long as a phase may last; and the next one is the first in the
    pipeline, unless another one's work has waited for that long. So a stream of one kind can't starve the other. Work
    of lanes with a share holds no turn that others wait for.

    Args:
        demands: by stage; what is not in it has no work.
        holder: the engine that is loaded; None: nothing is yet.
    """
    engines: dict[Hashable, list[Demand]] = {}
    firm: dict[Hashable, list[Demand]] = {}  # without those of lanes with a share
    for lane in lanes:
        found = [demands.get(stage, Demand()) for stage in lane.stages]
        engines.setdefault(lane.engine, []).extend(found)
        firm.setdefault(lane.engine, []).extend(found if lane.share is None else ())
    others = [engine for engine, found in engines.items() if engine != holder and any(one.due for one in found)]
    if holder in engines:
        waited_for = any(one.due for engine in others for one in firm[engine])
        has_work = any(one.any for one in (firm if waited_for else engines)[holder])
        if not others or (has_work and held_seconds < max_dwell_seconds):
            return holder
    if not others:
        return next(iter(engines))
    longest = max(others, key=lambda engine: _waited(engines[engine]))
    return longest if _waited(engines[longest]) >= max_dwell_seconds else others[0]


def _waited(found: Sequence[Demand]) -> float:
    return max(one.oldest_seconds for one in found)


def _allowed(lane: Lane, at_work: Sequence[Lane]) -> int:
    limits = [lane.slots] if lane.max_slots is None else [lane.slots, lane.max_slots]
    if lane.share and any(map(lane.yields_to, at_work)):
        limits.append(lane.share.slots)
    return min(limits)
