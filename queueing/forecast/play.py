"""Pure: the line, played forward by the decisions that the workers will take (policy.py), until everybody is through.

Every stage takes as long as its pace says. Nobody new comes, and nothing fails. With each moment goes how sure it is:
the spreads of what had to happen one after the other add up as variances, their doubts as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from typing import Final

from queueing.forecast.pace import Duration, Pace
from queueing.policy import batches, lanes, phases
from queueing.policy.lanes import Lane
from queueing.states import PhaseName

NEAR_THE_END: Final = 0.1  # of its pace is still to come, of what has run for longer than that
TELLING: Final = 0.1  # of a recording must be done before its own speed counts
TICK_SECONDS: Final = 0.01  # later than when something falls due: no rounding must make it look early
STANDS_STILL: Final = 100_000  # moments after which a play is given up; a line of a thousand takes a few thousand

Order = tuple[int, int, int, int]  # batch, stage, turn, task: `TaskQuerySet.in_turn`
NO_BATCH: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class StageStep:
    """One stage of a pipeline."""

    stage: str
    phase: PhaseName
    rank: int  # among all stages, in the order of service
    batched: bool = False


@dataclass(frozen=True, slots=True)
class LiveTask:
    """A task that has not ended."""

    task: int
    steps: tuple[StageStep, ...]  # that are still to be done; the first is the one it waits for or is in
    turn: int
    batch: int | None = None
    node: str | None = None  # that works on it
    elapsed: float = 0.0  # seconds since then
    progress: float = 0.0  # share of the recording that the current step has been through
    audio: float | None = None  # seconds
    waited: float = 0.0  # seconds in this stage
    due_in: float = 0.0  # seconds
    pipeline: str = ""


@dataclass(frozen=True, slots=True)
class NodeState:
    """A GPU that works, or is about to."""

    name: str
    phase: PhaseName | None
    dwelt: float = 0.0
    ready_in: float = 0.0  # seconds until its models are loaded
    holder: str | None = None  # the engine that is loaded, where they take turns
    batch: int | None = None  # the open one
    taken: int = 0  # places of it
    wanted: PhaseName | None = None  # a person asked for this phase
    wanted_for: float = 0.0


@dataclass(frozen=True, slots=True)
class LabSetup:
    """How it works, all nodes alike."""

    limits: phases.Limits
    lanes: Sequence[Lane]  # of all phases, in the order of their stages
    paces: Mapping[str, Pace]  # of each stage
    swap: Duration  # to load other models
    take_turns: bool = False  # the language models are loaded one at a time


@dataclass(frozen=True, slots=True)
class Moment:
    """When, in seconds from now, and how sure that is."""

    at: float
    variance: float = 0.0
    doubt: float = 0.0

    def after(self, span: Duration) -> Moment:
        return Moment(self.at + span.mean, self.variance + span.spread**2, self.doubt + span.doubt)


NOW: Final = Moment(0.0)


@dataclass(slots=True)
class _Player:
    """One node while it is played."""

    node: NodeState
    phase: PhaseName | None
    since: float
    ready_at: float
    batch: int | None
    taken: int
    holder: str | None
    entering: bool  # a phase whose first tasks are claimed before the policy looks again
    running: dict[int, str] = field(default_factory=dict)  # task → stage
    passed_over: Counter[Lane] = field(default_factory=Counter)
    idle_since: float = 0.0
    held_since: float = 0.0

    @classmethod
    def of(cls, node: NodeState) -> _Player:
        ready, entering = node.ready_in, node.ready_in > 0
        return cls(node, node.phase, ready - node.dwelt, ready, node.batch, node.taken, node.holder, entering)

    def per_stage(self) -> Counter[str]:
        return Counter(self.running.values())


def play(line: Sequence[LiveTask], nodes: Sequence[NodeState], lab: LabSetup) -> dict[int, Moment]:
    """When each task will be through. What can't be played to its end, or whose pace is not known, is left out.

    What is ahead of others and takes a time that nobody knows leaves out its whole pipeline. The other pipelines are
    played as if it were not there: it has lanes of its own.
    """
    unknown = {task.pipeline for task in line if any(step.stage not in lab.paces for step in task.steps)}
    known = [task for task in line if task.pipeline not in unknown]
    return _Play(known, nodes, lab).run() if nodes and known else {}


class _Play:
    def __init__(self, line: Sequence[LiveTask], nodes: Sequence[NodeState], lab: LabSetup) -> None:
        self.lab = lab
        self.ends: dict[int, Moment] = {}
        self.works = {work.task: work for work in line}
        self.steps = {work.task: work.steps for work in line}
        self.batch_of = {work.task: work.batch for work in line}
        self.lanes = {phase: [lane for lane in lab.lanes if lane.phase == phase] for phase in PhaseName}
        self.lane_of = {stage: lane for lane in lab.lanes for stage in lane.stages}
        self.waiting: dict[Lane | int, list[tuple[Order, int]]] = {}  # by lane; what is batched: by batch
        self.unbatched: list[tuple[Order, int]] = []
        self.since: dict[int, float] = {}  # when each entered its stage
        self.next_batch = max([work.batch or 0 for work in line], default=0) + 1
        self.moments: list[tuple[float, int, Moment, _Player | None, int | None]] = []
        self._order = count()
        self.players = [_Player.of(node) for node in nodes]
        for player in self.players:
            self._come_back(Moment(player.node.ready_in), player)
        self._set_up(line)

    def _set_up(self, line: Sequence[LiveTask]) -> None:
        at = {player.node.name: player for player in self.players}
        for work in line:
            self.since[work.task] = -work.waited
            if work.node is not None:
                player = at.get(work.node, self.players[0])  # of a lost node: somebody else takes it over
                player.running[work.task] = work.steps[0].stage
                self._later(NOW.after(self._left(work)), player, work.task)
            elif work.due_in > 0:
                self._later(Moment(work.due_in), None, work.task)
            else:
                self._queue(work.task)

    def _left(self, work: LiveTask) -> Duration:
        """How long a step that has begun still takes: by its own speed as soon as there is one, else by the pace."""
        span = self.lab.paces[work.steps[0].stage].of(work.audio)
        least = span.mean * NEAR_THE_END
        if work.progress < TELLING:
            return replace(span, mean=max(span.mean - work.elapsed, least))
        left = 1 - min(work.progress, 1.0)
        mean = max(work.elapsed * left / work.progress, least * left)
        return Duration(mean, span.spread * left, span.doubt * left)

    # What happens

    def run(self) -> dict[int, Moment]:
        for _ in range(STANDS_STILL):
            if not self.moments:
                break
            _, _, moment, player, task = heappop(self.moments)
            if player is None:
                assert task is not None
                self._queue(task)
            elif task is not None:
                self._end(player, task, moment)
            for each in self.players:
                self._go_on(each, moment)
        return self.ends

    def _later(self, moment: Moment, player: _Player | None, task: int | None) -> None:
        heappush(self.moments, (moment.at, next(self._order), moment, player, task))

    def _come_back(self, moment: Moment, player: _Player) -> None:
        self._later(moment, player, None)

    def _end(self, player: _Player, task: int, moment: Moment) -> None:
        del player.running[task]
        player.idle_since = moment.at
        self.steps[task] = self.steps[task][1:]
        if self.steps[task]:
            self.since[task] = moment.at
            self._queue(task)
        else:
            self.ends[task] = moment

    def _queue(self, task: int) -> None:
        step, batch = self.steps[task][0], self.batch_of[task]
        key: Order = (NO_BATCH if batch is None else batch, step.rank, self.works[task].turn, task)
        if not step.batched:
            heappush(self.waiting.setdefault(self.lane_of[step.stage], []), (key, task))
        elif batch is not None and any(player.batch == batch for player in self.players):
            heappush(self.waiting.setdefault(batch, []), (key, task))
        else:
            # In none, or in one whose node is gone, or that was closed while the line was read.
            heappush(self.unbatched, (key, task))

    # What a node does next: as PhaseController and Claims

    def _go_on(self, player: _Player, moment: Moment) -> None:
        if moment.at < player.ready_at:
            return
        wanted = player.phase if player.entering else self._wanted(player, moment.at)
        player.entering = False
        if wanted != player.phase:
            if not player.running:
                self._switch(player, wanted, moment)
        elif not self._turns(player, moment):
            self._claim(player, moment)
        if not player.running and moment.at >= player.ready_at:
            self._wait_for_a_batch(player, moment)

    def _wanted(self, player: _Player, at: float) -> PhaseName | None:
        decision = phases.next_phase(
            player.phase,
            self._snapshot(player, at),
            self.lab.limits,
            dwelt_seconds=at - player.since,
            idle_seconds=0.0 if player.running else at - player.idle_since,
        )
        return decision.phase

    def _snapshot(self, player: _Player, at: float) -> phases.Snapshot:
        stt = player.phase == PhaseName.STT
        running = len(player.running)
        oldest = at - self.since[self.unbatched[0][1]] if self.unbatched else 0.0
        return phases.Snapshot(
            unbatched=phases.Demand(len(self.unbatched), 0, oldest),
            batch=phases.Demand(len(self._batch(player)) + self._due(PhaseName.STT), running if stt else 0),
            evaluation=phases.Demand(self._due(PhaseName.EVAL), 0 if stt else running),
            wanted=player.node.wanted if at < player.node.wanted_for else None,
        )

    def _batch(self, player: _Player) -> list[tuple[Order, int]]:
        return [] if player.batch is None else self.waiting.setdefault(player.batch, [])

    def _due(self, phase: PhaseName) -> int:
        """Tasks that need no batch and wait for this phase."""
        return sum(len(self.waiting.get(lane, ())) for lane in self._lanes(phase))

    def _switch(self, player: _Player, wanted: PhaseName | None, moment: Moment) -> None:
        if wanted is None:
            return  # with nothing to do it is all the same what is loaded
        if wanted != PhaseName.STT:
            self._close_batch(player)
        self._load(player, moment)
        player.phase, player.since, player.holder, player.entering = wanted, player.ready_at, None, True

    def _close_batch(self, player: _Player) -> None:
        left, player.batch = [task for _, task in self._batch(player)], None
        for task in left:
            self.batch_of[task] = None
            self._queue(task)

    def _load(self, player: _Player, moment: Moment) -> None:
        ready = moment.after(self.lab.swap)
        player.ready_at = player.idle_since = player.held_since = ready.at
        self._come_back(ready, player)

    def _wait_for_a_batch(self, player: _Player, moment: Moment) -> None:
        if self.unbatched:
            ripe = self.since[self.unbatched[0][1]] + self.lab.limits.batch_max_wait_seconds + TICK_SECONDS
            if ripe > moment.at:
                self._come_back(replace(moment, at=ripe), player)

    def _turns(self, player: _Player, moment: Moment) -> bool:
        """Whether the node changes from one language model to the other now, or drains for that."""
        held = moment.at - player.held_since
        if not self.lab.take_turns or player.phase != PhaseName.EVAL:
            return False
        if player.holder and player.running and held < self.lab.limits.max_dwell_seconds:
            return False
        turn = self._whose_turn(player, moment.at, held)
        if player.holder in (None, turn):
            player.holder = turn
            return False
        if not player.running:
            player.holder = turn
            self._load(player, moment)
        return True

    def _whose_turn(self, player: _Player, at: float, held: float) -> str:
        known = self._lanes(PhaseName.EVAL)
        return str(
            lanes.whose_turn(
                known,
                {stage: found for lane in known for stage, found in self._demands(player, lane, at)},
                player.holder,
                held_seconds=held,
                max_dwell_seconds=self.lab.limits.max_dwell_seconds,
            )
        )

    def _lanes(self, phase: PhaseName) -> list[Lane]:
        return self.lanes[phase]

    def _demands(self, player: _Player, lane: Lane, at: float) -> Iterator[tuple[str, phases.Demand]]:
        """All that waits in a lane is counted for its first stage: turns are an engine's, not a stage's."""
        queue = self.waiting.get(lane, [])
        oldest = max((at - self.since[task] for _, task in queue), default=0.0)
        yield lane.stages[0], phases.Demand(len(queue), lane.running(player.per_stage()), oldest)

    def _claim(self, player: _Player, moment: Moment) -> None:
        if player.phase is None:
            return
        if player.phase == PhaseName.STT:
            self._fill(player)
        known = self._lanes(player.phase)
        while found := self._rooms(player, known):
            lane, _ = lanes.next_room(found, player.passed_over) or found[0]
            self._take(player, lane, moment)
            player.passed_over[lane] = 0
            for other, _ in found:
                if other != lane and other.engine == lane.engine:
                    player.passed_over[other] += 1

    def _rooms(self, player: _Player, known: Sequence[Lane]) -> list[lanes.Room]:
        found = lanes.rooms(known, player.per_stage(), only=player.holder)
        return [(lane, room) for lane, room in found if self._queue_of(player, lane)]

    def _queue_of(self, player: _Player, lane: Lane) -> list[tuple[Order, int]]:
        return self._batch(player) if lane.batched else self.waiting.get(lane, [])

    def _fill(self, player: _Player) -> None:
        taken = 0 if player.batch is None else player.taken
        unfinished = len(self._batch(player)) + len(player.running)
        filling = batches.fill(taken, unfinished, size=self.lab.limits.batch_size)
        if filling.close:
            player.batch = None
        if self.unbatched and player.batch is None:
            player.batch, player.taken = self.next_batch, 0
            self.next_batch += 1
        for _ in range(min(filling.room, len(self.unbatched))):
            _, task = heappop(self.unbatched)
            self.batch_of[task], player.taken = player.batch, player.taken + 1
            self._queue(task)

    def _take(self, player: _Player, lane: Lane, moment: Moment) -> None:
        _, task = heappop(self._queue_of(player, lane))
        stage = self.steps[task][0].stage
        player.running[task] = stage
        self._later(moment.after(self.lab.paces[stage].of(self.works[task].audio)), player, task)
