"""Pure: simulates the line by the decisions that the workers will take (queueing/policy/), until everybody is through.

Every stage takes as long as its pace says. Nobody new comes, and nothing fails. Each moment has its uncertainty:
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
MIN_PROGRESS: Final = 0.1  # of a recording must be done before its own speed counts
TICK_SECONDS: Final = 0.01  # later than when something falls due: no rounding must make it look early
MAX_MOMENTS: Final = 100_000  # after so many a simulation ends; a line of a thousand takes a few thousand

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
class _NodeRun:
    """One node during the simulation."""

    node: NodeState
    phase: PhaseName | None
    since: float
    ready_at: float
    batch: int | None
    taken: int
    holder: str | None
    entering: bool  # a phase whose first tasks are claimed before the policy runs again
    wanted: PhaseName | None  # what a person asked for, until that is over
    running: dict[int, str] = field(default_factory=dict)  # task → stage
    passed_over: Counter[Lane] = field(default_factory=Counter)
    idle_since: float = 0.0
    held_since: float = 0.0

    @classmethod
    def of(cls, node: NodeState) -> _NodeRun:
        ready, entering = node.ready_in, node.ready_in > 0
        since = ready - node.dwelt
        return cls(node, node.phase, since, ready, node.batch, node.taken, node.holder, entering, node.wanted)

    def per_stage(self) -> Counter[str]:
        return Counter(self.running.values())


def simulate(line: Sequence[LiveTask], nodes: Sequence[NodeState], lab: LabSetup) -> dict[int, Moment]:
    """When each task will be through. What can't be simulated to its end, or whose pace is unknown, is left out.

    A task of unknown pace that may be ahead of others leaves out its whole pipeline. The other pipelines are simulated
    without it: it has lanes of its own.
    """
    unknown = {task.pipeline for task in line if any(step.stage not in lab.paces for step in task.steps)}
    known = [task for task in line if task.pipeline not in unknown]
    return Simulation(known, nodes, lab).run() if nodes and known else {}


class Simulation:
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
        self.next_batch = max(work.batch or 0 for work in line) + 1
        self.moments: list[tuple[float, int, Moment, _NodeRun | None, int | None]] = []
        self._order = count()
        self.runs = [_NodeRun.of(node) for node in nodes]
        for run in self.runs:
            self._come_back(Moment(run.node.ready_in), run)
            if run.node.wanted:  # nothing else need happen at the end of that
                self._come_back(Moment(run.node.wanted_for), run)
        self._set_up(line)

    def _set_up(self, line: Sequence[LiveTask]) -> None:
        at = {run.node.name: run for run in self.runs}
        for work in line:
            self.since[work.task] = -work.waited
            if work.node is not None:
                run = at.get(work.node, self.runs[0])  # of a lost node: another one takes it over
                run.running[work.task] = work.steps[0].stage
                self._later(NOW.after(self._left(work)), run, work.task)
            elif work.due_in > 0:
                self._later(Moment(work.due_in), None, work.task)
            else:
                self._queue(work.task)

    def _left(self, work: LiveTask) -> Duration:
        """How long a step that has begun still takes: by its own speed as soon as there is one, else by the pace."""
        span = self.lab.paces[work.steps[0].stage].of(work.audio)
        least = span.mean * NEAR_THE_END
        if work.progress < MIN_PROGRESS:
            return replace(span, mean=max(span.mean - work.elapsed, least))
        left = 1 - min(work.progress, 1.0)
        mean = max(work.elapsed * left / work.progress, least * left)
        return Duration(mean, span.spread * left, span.doubt * left)

    # What happens

    def run(self) -> dict[int, Moment]:
        for _ in range(MAX_MOMENTS):
            if not self.moments:
                break
            _, _, moment, run, task = heappop(self.moments)
            if run is None:
                assert task is not None
                self._queue(task)
            elif task is not None:
                self._end(run, task, moment)
            for each in self.runs:
                self._go_on(each, moment)
        return self.ends

    def _later(self, moment: Moment, run: _NodeRun | None, task: int | None) -> None:
        heappush(self.moments, (moment.at, next(self._order), moment, run, task))

    def _come_back(self, moment: Moment, run: _NodeRun) -> None:
        self._later(moment, run, None)

    def _end(self, run: _NodeRun, task: int, moment: Moment) -> None:
        del run.running[task]
        run.idle_since = moment.at
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
        elif batch is not None and any(run.batch == batch for run in self.runs):
            heappush(self.waiting.setdefault(batch, []), (key, task))
        else:
            # In none, or in one whose node is lost, or that was closed while the line was read.
            heappush(self.unbatched, (key, task))

    # What a node does next: as PhaseController and Claims

    def _go_on(self, run: _NodeRun, moment: Moment) -> None:
        if moment.at < run.ready_at:
            return
        wanted = run.phase if run.entering else self._wanted(run, moment.at)
        run.entering = False
        if wanted != run.phase:
            if not run.running:
                self._switch(run, wanted, moment)
        elif not self._turns(run, moment):
            self._claim(run, moment)
        if not run.running and moment.at >= run.ready_at:
            self._wait_for_a_batch(run, moment)

    def _wanted(self, run: _NodeRun, at: float) -> PhaseName | None:
        snapshot = self._snapshot(run, at)
        if phases.wish_is_over(run.phase, snapshot):
            run.wanted = None
        decision = phases.next_phase(
            run.phase,
            snapshot,
            self.lab.limits,
            dwelt_seconds=at - run.since,
            idle_seconds=at - run.idle_since,  # it counts only where nothing runs
        )
        return decision.phase

    def _snapshot(self, run: _NodeRun, at: float) -> phases.Snapshot:
        stt = run.phase == PhaseName.STT
        running = len(run.running)
        shared = [lane for lane in self._lanes(PhaseName.EVAL) if lane.share]
        answers = sum(lane.running(run.per_stage()) for lane in shared)
        waiting = [self.waiting.get(lane, []) for lane in shared]
        oldest = at - self.since[self.unbatched[0][1]] if self.unbatched else 0.0
        return phases.Snapshot(
            unbatched=phases.Demand(len(self.unbatched), oldest_seconds=oldest),
            batch=phases.Demand(len(self._batch(run)) + self._due(PhaseName.STT), running if stt else 0),
            evaluation=phases.Demand(
                self._due(PhaseName.EVAL) - sum(map(len, waiting)), 0 if stt else running - answers
            ),
            shared=phases.Demand(
                sum(map(len, waiting)),
                answers,
                max((at - self.since[one[0][1]] for one in waiting if one), default=0.0),
            ),
            wanted=run.wanted if at < run.node.wanted_for else None,
        )

    def _batch(self, run: _NodeRun) -> list[tuple[Order, int]]:
        return [] if run.batch is None else self.waiting.setdefault(run.batch, [])

    def _due(self, phase: PhaseName) -> int:
        """Tasks that need no batch and wait for this phase."""
        return sum(len(self.waiting.get(lane, ())) for lane in self._lanes(phase))

    def _switch(self, run: _NodeRun, wanted: PhaseName | None, moment: Moment) -> None:
        if wanted is None:
            return  # with nothing to do it is all the same what is loaded
        if wanted != PhaseName.STT:
            self._close_batch(run)
        self._load(run, moment)
        run.phase, run.since, run.holder, run.entering = wanted, run.ready_at, None, True

    def _close_batch(self, run: _NodeRun) -> None:
        left, run.batch = [task for _, task in self._batch(run)], None
        for task in left:
            self.batch_of[task] = None
            self._queue(task)

    def _load(self, run: _NodeRun, moment: Moment) -> None:
        ready = moment.after(self.lab.swap)
        run.ready_at = run.idle_since = run.held_since = ready.at
        self._come_back(ready, run)

    def _wait_for_a_batch(self, run: _NodeRun, moment: Moment) -> None:
        if self.unbatched:
            ripe = self.since[self.unbatched[0][1]] + self.lab.limits.batch_max_wait_seconds + TICK_SECONDS
            if ripe > moment.at:
                self._come_back(replace(moment, at=ripe), run)

    def _turns(self, run: _NodeRun, moment: Moment) -> bool:
        """Whether the node changes from one language model to the other now, or drains for that."""
        held = moment.at - run.held_since
        if not self.lab.take_turns or run.phase != PhaseName.EVAL:
            return False
        if run.holder and run.running and held < self.lab.limits.max_dwell_seconds:
            return False
        turn = self._whose_turn(run, moment.at, held)
        if run.holder in (None, turn):
            run.holder = turn
            return False
        if not run.running:
            run.holder = turn
            self._load(run, moment)
        return True

    def _whose_turn(self, run: _NodeRun, at: float, held: float) -> str:
        known = self._lanes(PhaseName.EVAL)
        return str(
            lanes.whose_turn(
                known,
                {stage: found for lane in known for stage, found in self._demands(run, lane, at)},
                run.holder,
                held_seconds=held,
                max_dwell_seconds=self.lab.limits.max_dwell_seconds,
            )
        )

    def _lanes(self, phase: PhaseName) -> list[Lane]:
        return self.lanes[phase]

    def _demands(self, run: _NodeRun, lane: Lane, at: float) -> Iterator[tuple[str, phases.Demand]]:
        """All that waits in a lane is counted for its first stage: turns are an engine's, not a stage's."""
        queue = self.waiting.get(lane, [])
        oldest = max((at - self.since[task] for _, task in queue), default=0.0)
        yield lane.stages[0], phases.Demand(len(queue), lane.running(run.per_stage()), oldest)

    def _claim(self, run: _NodeRun, moment: Moment) -> None:
        if run.phase is None:
            return
        if run.phase == PhaseName.STT:
            self._fill(run)
        known = self._lanes(run.phase)
        while room := lanes.next_room(found := self._rooms(run, known), run.passed_over):
            lane, _ = room
            self._take(run, lane, moment)
            run.passed_over[lane] = 0
            for other, _ in found:
                if other != lane and other.engine == lane.engine:
                    run.passed_over[other] += 1

    def _rooms(self, run: _NodeRun, known: Sequence[Lane]) -> list[lanes.Room]:
        empty = [lane for lane in known if not self._queue_of(run, lane)]
        return lanes.rooms(known, run.per_stage(), only=run.holder, empty=empty)

    def _queue_of(self, run: _NodeRun, lane: Lane) -> list[tuple[Order, int]]:
        return self._batch(run) if lane.batched else self.waiting.get(lane, [])

    def _fill(self, run: _NodeRun) -> None:
        taken = 0 if run.batch is None else run.taken
        unfinished = len(self._batch(run)) + len(run.running)
        filling = batches.fill(taken, unfinished, size=self.lab.limits.batch_size)
        if filling.close:
            run.batch = None
        if self.unbatched and run.batch is None:
            run.batch, run.taken = self.next_batch, 0
            self.next_batch += 1
        for _ in range(min(filling.room, len(self.unbatched))):
            _, task = heappop(self.unbatched)
            self.batch_of[task], run.taken = run.batch, run.taken + 1
            self._queue(task)

    def _take(self, run: _NodeRun, lane: Lane, moment: Moment) -> None:
        _, task = heappop(self._queue_of(run, lane))
        stage = self.steps[task][0].stage
        run.running[task] = stage
        self._later(moment.after(self.lab.paces[stage].of(self.works[task].audio)), run, task)
