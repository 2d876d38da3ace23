"""The line and how long stages took, read from the database for `simulate`; a handful of queries for any line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from statistics import fmean, pstdev
from typing import Any, Final

from django.db.models import Count, F, QuerySet
from django.db.models.functions import Now

from queueing import pipelines
from queueing.forecast.pace import Duration, Pace, Sample, learn
from queueing.forecast.published import PlaceInLine
from queueing.forecast.simulation import LabSetup, LiveTask, NodeState, StageStep
from queueing.models import Attempt, Batch, Breaker, Event, Pause, Phase, Task, Worker, nodes
from queueing.models.breaker import local_address
from queueing.policy import batches
from queueing.policy.lanes import Lane
from queueing.policy.phases import Limits
from queueing.states import PhaseName, PhaseStep, State

LONGEST: Final = 1000  # tasks from the front of the line; those behind them get no estimate
RECENT: Final = 30  # tries of a stage from which its pace is learnt
PACED: Final = ("stage", "took", "task__audio_seconds")
SWAPS: Final = 60  # events of hand-overs
COLUMNS: Final = (  # rows, not objects: of a long line they take a third of the time
    *("pk", "pipeline", "stage", "state", "turn", "epoch", "batch_id", "progress_done", "progress_total"),
    *("audio_seconds", "on", "batch_phase", "age", "waited", "running", "due"),
)
WAITS: Final = (PhaseStep.UNLOADING, PhaseStep.VERIFYING, PhaseStep.LOADING)


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """How a worker works: the part that is in no table."""

    limits: Limits
    lanes: tuple[Lane, ...]  # of all phases, in the order of their stages
    take_turns: bool = False  # the language models are loaded one at a time
    holder: str | None = None  # the engine that is loaded, where they take turns
    node: str = ""
    dwelt: float = 0.0  # seconds in its phase


@dataclass(frozen=True, slots=True)
class LineFacts:
    line: Sequence[LiveTask]
    places: Sequence[PlaceInLine]
    nodes: Sequence[NodeState]
    lab: LabSetup
    expected: Sequence[LiveTask] = ()  # hand-ins that may still come into the last batch of the line

    @property
    def which_lab(self) -> str:
        """Changes when the lab's nodes or slots change."""
        nodes = ",".join(f"{node.name}:{node.wanted or ''}" for node in self.nodes)
        slots = {lane.engine: lane.slots for lane in self.lab.lanes}
        return f"{nodes} {slots} {self.lab.take_turns}"


def standstill() -> bool:
    """Whether somebody or something has stopped work, so that no estimate is possible. Pages show why."""
    return (
        Pause.objects.active().filter(nodes.holding_up_work()).exists()
        or _is_shut_off()
        or Phase.objects.filter(step=PhaseStep.BLOCKED, node__in=_alive()).exists()
    )


def _is_shut_off() -> bool:
    """Whether a breaker is open, of a server that is not only a silent node's own."""
    servers = list(Breaker.objects.open().values_list("server", flat=True))
    gone = [local_address("", node) for node in nodes.silent().values_list("node", flat=True)] if servers else []
    return any(not server.endswith(tuple(gone)) for server in servers)


def read(capacity: NodeCapacity) -> LineFacts:
    rows = [row for row in _live()[:LONGEST] if row.pipeline in pipelines.names()]
    swap = _swap()
    lab = LabSetup(capacity.limits, capacity.lanes, paces(), swap, capacity.take_turns)
    opened = _opened()
    states = [_node(row, opened, capacity, swap) for row in _phases()]
    line, places = [_work(row) for row in rows], list(_places(rows, opened, capacity.limits.batch_size))
    return LineFacts(line, places, states, lab, _expected(rows, line, places, capacity, lab))


def _alive() -> Any:
    return Worker.objects.alive().values("node")


def _live() -> Any:
    found = Task.objects.live().in_turn()
    found = found.annotate(on=F("worker__node"), batch_phase=F("batch__phase"))
    found = found.annotate(age=Now() - F("created_at"), waited=Now() - F("staged_at"))
    found = found.annotate(running=Now() - F("claimed_at"), due=F("not_before") - Now())
    return found.values_list(*COLUMNS, named=True)


def _work(row: Any) -> LiveTask:
    runs = row.state == State.RUNNING
    return LiveTask(
        task=row.pk,
        pipeline=row.pipeline,
        steps=_steps(row.pipeline, row.stage),
        turn=row.turn,
        batch=row.batch_id,
        node=(row.on or "") if runs else None,
        elapsed=max(_seconds(row.running), 0.0) if runs else 0.0,
        progress=row.progress_done / row.progress_total if row.progress_total else 0.0,
        audio=row.audio_seconds or row.progress_total or None,
        waited=max(_seconds(row.waited), 0.0),
        due_in=0.0 if runs else max(_seconds(row.due), 0.0),
    )


def _steps(pipeline: str, stage: str) -> tuple[StageStep, ...]:
    """From `stage` to the last."""
    ranks = {spec.name: rank for rank, spec in enumerate(pipelines.specs())}
    specs = pipelines.get(pipeline).stages
    steps = [StageStep(spec.name, spec.phase, ranks[spec.name], spec.batched) for spec in specs]
    return tuple(steps[[spec.name for spec in specs].index(stage) :])


def _opened() -> list[Any]:
    """The batches that may still be joined, with how many of their places are `taken`, also by what has ended."""
    return list(Batch.objects.filter(phase=PhaseName.STT).annotate(taken=Count("tasks")))


def _places(rows: Iterable[Any], opened: Iterable[Any], batch_size: int) -> Iterable[PlaceInLine]:
    """The batches in the order in which they are served, those to come as they will be filled from the line."""
    places = {batch.pk: batch.taken for batch in opened}
    group, taken, last = -1, batch_size, None
    for row in rows:
        joins = row.batch_id is None and pipelines.spec_of(row.stage).batched
        if joins and batches.fill(taken, taken, size=batch_size).room:
            taken += 1  # it joins the open one, or the one before it in the line
        elif joins:
            group, taken = group + 1, 1
        elif row.batch_id is None or row.batch_id != last:
            group, taken, last = group + 1, places.get(row.batch_id, batch_size), row.batch_id
        stages = [spec.name for spec in pipelines.get(row.pipeline).stages]
        in_order = stages.index(row.stage) + (row.state == State.RUNNING)  # claims, if each had succeeded
        yield PlaceInLine(row.pk, group, row.epoch - in_order)


def _expected(
    rows: Sequence[Any],
    line: Sequence[LiveTask],
    places: Sequence[PlaceInLine],
    capacity: NodeCapacity,
    lab: LabSetup,
) -> list[LiveTask]:
    """As many hand-ins as lately are expected again as soon, if the last batch has room. One alone is no trend."""
    found = [number for number, row in enumerate(rows) if pipelines.get(row.pipeline).stages[0].batched]
    if not found or rows[last := found[-1]].batch_phase not in (None, PhaseName.STT):
        return []
    first = pipelines.get(rows[last].pipeline).stages[0]
    if first.name not in lab.paces:
        return []
    size = capacity.limits.batch_size
    window = size * lab.paces[first.name].plain.mean  # as long as a batch may be open
    lately = sum(_seconds(rows[number].age) < window for number in found) - 1
    taken = sum(places[number].group == places[last].group for number in found)
    room = batches.fill(taken, taken, size=size).room
    newest = replace(line[last], steps=_steps(rows[last].pipeline, first.name), batch=None, node=None, audio=None)
    return [replace(newest, task=-number, waited=0.0, due_in=0.0) for number in range(1, min(lately, room) + 1)]


def _phases() -> Any:
    found = Phase.objects.filter(node__in=_alive()).order_by("node")
    return found.annotate(age=Now() - F("since"), held=F("wanted_until") - Now())


def _node(row: Any, opened: Iterable[Any], capacity: NodeCapacity, swap: Duration) -> NodeState:
    mine = row.node == capacity.node
    going = row.target if row.step in (PhaseStep.UNLOADING, PhaseStep.VERIFYING) else row.name
    ready = max(swap.mean - _seconds(row.age), swap.mean / 10) if row.step in WAITS else 0.0
    batch = next((batch for batch in opened if batch.node == row.node), None)
    held = _seconds(row.held) if row.held else 0.0
    return NodeState(
        name=row.node,
        phase=PhaseName(going) if going else None,
        dwelt=_dwelt(row, capacity),
        ready_in=ready if going else 0.0,
        holder=capacity.holder if mine else None,
        batch=batch.pk if batch else None,
        taken=batch.taken if batch else 0,
        wanted=PhaseName(row.wanted) if row.wanted and held > 0 else None,
        wanted_for=max(held, 0.0),
    )


def _dwelt(row: Any, capacity: NodeCapacity) -> float:
    if row.step in WAITS:
        return 0.0  # its time has not begun
    if row.node == capacity.node:
        return capacity.dwelt
    # Another one that drains has most likely had its time.
    return _seconds(row.age) if row.step == PhaseStep.ACTIVE else capacity.limits.max_dwell_seconds


def paces() -> dict[str, Pace]:
    """By stage, of those that are known well enough."""
    # Without those during which the clock stepped back: they ended before they began.
    newest = Attempt.objects.filter(outcome="succeeded", ended_at__gte=F("began_at"))
    newest = newest.annotate(took=F("ended_at") - F("began_at")).order_by("-pk")
    # Each stage by itself: a flood of one must not push the others out of what is read.
    of_stages = [newest.filter(stage=spec.name).values_list(*PACED)[:RECENT] for spec in pipelines.specs()]
    samples: dict[str, list[Sample]] = defaultdict(list)
    for stage, took, audio in _all_of(of_stages):
        samples[stage].append(Sample(_seconds(took), audio))
    learnt = {stage: learn(some) for stage, some in samples.items()}
    return {stage: pace for stage, pace in learnt.items() if pace}


def _all_of(found: Sequence[QuerySet[Any, Any]]) -> Iterable[Any]:
    return found[0].union(*found[1:], all=True) if len(found) > 1 else found[0] if found else ()


def _swap() -> Duration:
    """From one phase to the other; where that has not happened yet, to the first one."""
    kinds = [f"phase_{step}" for step in PhaseStep]
    newest = Event.objects.filter(task=None, kind__in=kinds).order_by("-pk").values_list("node", "pk", "kind", "at")
    events = sorted(newest[:SWAPS])
    whole: list[float] = []
    begun: list[float] = []
    for _, of_node in groupby(events, key=lambda event: event[0]):
        for first, seconds in _hand_overs((kind, at) for _, _, kind, at in of_node):
            (whole if first == f"phase_{PhaseStep.UNLOADING}" else begun).append(seconds)
    found = whole or begun
    return Duration(fmean(found), pstdev(found), fmean(found) / len(found) / 2) if found else Duration(0.0)


def _hand_overs(events: Iterable[tuple[str, datetime]]) -> Iterable[tuple[str, float]]:
    """(the step with which it began, seconds until the phase was active) of those that went well."""
    began: tuple[str, datetime] | None = None
    for kind, at in events:
        if kind in [f"phase_{step}" for step in WAITS]:
            began = began or (kind, at)
            continue
        if began and kind == f"phase_{PhaseStep.ACTIVE}" and at >= began[1]:
            yield began[0], _seconds(at - began[1])
        began = None


def _seconds(span: timedelta) -> float:
    return span.total_seconds()
