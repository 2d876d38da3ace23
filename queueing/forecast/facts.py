"""What the database knows of the line and of how long things took, for `play`; a handful of queries for any line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from statistics import fmean, pstdev
from typing import Any, Final

from django.db.models import Count, F
from django.db.models.functions import Now

from queueing import pipelines, policy
from queueing.forecast.pace import Pace, Sample, Span, learn
from queueing.forecast.play import Lab, Node, Step, Work
from queueing.forecast.promise import Place
from queueing.models import Attempt, Batch, Breaker, Event, Pause, Phase, Task, Worker
from queueing.states import PhaseName, State
from queueing.states import Step as PhaseStep

LONGEST: Final = 1000  # tasks from the front of the line; who is behind them is told nothing
RECENT: Final = 30  # tries of a stage that tell its pace
LOOK_BACK: Final = 10 * RECENT  # rows to find them in: stages take turns by the batch
SWAPS: Final = 60  # events of hand-overs
SILENT_SECONDS: Final = 30
COLUMNS: Final = (  # rows, not objects: of a long line they take a third of the time
    *("pk", "pipeline", "stage", "state", "turn", "epoch", "batch_id", "progress_done", "progress_total"),
    *("audio_seconds", "on", "batch_phase", "age", "waited", "running", "due"),
)
WAITS: Final = (PhaseStep.UNLOADING, PhaseStep.VERIFYING, PhaseStep.LOADING)


@dataclass(frozen=True, slots=True)
class Crew:
    """How a worker works: what only its process knows."""

    limits: policy.Limits
    lanes: Mapping[str, str]  # of each stage
    slots: Mapping[str, int]  # of each lane, in the order of their stages
    turns: bool = False
    holder: str | None = None  # the lane whose model is loaded, where they take turns
    node: str = ""
    dwelt: float = 0.0  # seconds in its phase


@dataclass(frozen=True, slots=True)
class Facts:
    line: Sequence[Work]
    places: Sequence[Place]
    nodes: Sequence[Node]
    lab: Lab
    expected: Sequence[Work] = ()  # hand-ins that may still come into the last batch of the line

    @property
    def which_lab(self) -> str:
        """Differs when the lab is another one."""
        nodes = ",".join(f"{node.name}:{node.wanted or ''}" for node in self.nodes)
        return f"{nodes} {dict(self.lab.slots)} {self.lab.turns}"


def standstill() -> bool:
    """Whether somebody or something has stopped work, so that nobody can tell how long it takes. Pages say why."""
    return (
        Pause.objects.active().exists()
        or Breaker.objects.open().exists()
        or Phase.objects.filter(step=PhaseStep.BLOCKED, node__in=_alive()).exists()
    )


def read(crew: Crew) -> Facts:
    rows = list(_live()[:LONGEST])
    swap = _swap()
    lab = Lab(crew.limits, crew.slots, paces(), swap, crew.turns)
    opened = _opened()
    nodes = [_node(row, opened, crew, swap) for row in _phases()]
    line, places = [_work(row, crew) for row in rows], list(_places(rows, opened, crew.limits.batch_size))
    return Facts(line, places, nodes, lab, _expected(rows, line, places, crew, lab))


def _alive() -> Any:
    return Worker.alive(SILENT_SECONDS).values("node")


def _live() -> Any:
    found = Task.objects.live().in_turn()
    found = found.annotate(on=F("worker__node"), batch_phase=F("batch__phase"))
    found = found.annotate(age=Now() - F("created_at"), waited=Now() - F("staged_at"))
    found = found.annotate(running=Now() - F("claimed_at"), due=F("not_before") - Now())
    return found.values_list(*COLUMNS, named=True)


def _work(row: Any, crew: Crew) -> Work:
    runs = row.state == State.RUNNING
    return Work(
        task=row.pk,
        steps=_steps(row.pipeline, row.stage, crew),
        turn=row.turn,
        batch=row.batch_id,
        node=(row.on or "") if runs else None,
        elapsed=_seconds(row.running) if runs else 0.0,
        progress=row.progress_done / row.progress_total if row.progress_total else 0.0,
        audio=row.audio_seconds or row.progress_total or None,
        waited=max(_seconds(row.waited), 0.0),
        due_in=0.0 if runs else max(_seconds(row.due), 0.0),
    )


def _steps(pipeline: str, stage: str, crew: Crew) -> tuple[Step, ...]:
    """From `stage` to the last."""
    specs = pipelines.get(pipeline).stages
    steps = [Step(spec.name, spec.phase, crew.lanes[spec.name], rank) for rank, spec in enumerate(specs)]
    return tuple(steps[[spec.name for spec in specs].index(stage) :])


def _opened() -> list[Any]:
    """The batches that may still be joined, with how many of their places are `taken`, also by what has ended."""
    return list(Batch.objects.filter(phase=PhaseName.STT).annotate(taken=Count("tasks")))


def _places(rows: Iterable[Any], opened: Iterable[Any], batch_size: int) -> Iterable[Place]:
    """The batches in the order in which they are served, those to come as they will be filled from the line."""
    places = {batch.pk: batch.taken for batch in opened}
    group, taken, last = -1, batch_size, None
    for row in rows:
        if row.batch_id is None and taken < batch_size:
            taken += 1  # it joins the open one, or the one before it in the line
        elif row.batch_id is None:
            group, taken = group + 1, 1
        elif row.batch_id != last:
            group, taken, last = group + 1, places.get(row.batch_id, batch_size), row.batch_id
        stages = [spec.name for spec in pipelines.get(row.pipeline).stages]
        in_order = stages.index(row.stage) + (row.state == State.RUNNING)  # claims, if each had succeeded
        yield Place(row.pk, group, row.epoch - in_order)


def _expected(rows: Sequence[Any], line: Sequence[Work], places: Sequence[Place], crew: Crew, lab: Lab) -> list[Work]:
    """As many as handed in lately come again as soon, if the last batch has room for them. One alone is no trend."""
    if not rows or rows[-1].batch_phase not in (None, PhaseName.STT):
        return []
    first = pipelines.get(rows[-1].pipeline).stages[0]
    if first.name not in lab.paces:
        return []
    window = crew.limits.batch_size * lab.paces[first.name].plain.mean  # as long as a batch may be open
    lately = sum(_seconds(row.age) < window for row in rows) - 1
    room = crew.limits.batch_size - sum(place.group == places[-1].group for place in places)
    newest = replace(line[-1], steps=_steps(rows[-1].pipeline, first.name, crew), batch=None, node=None, audio=None)
    return [replace(newest, task=-number, waited=0.0, due_in=0.0) for number in range(1, min(lately, room) + 1)]


def _phases() -> Any:
    found = Phase.objects.filter(node__in=_alive()).order_by("node")
    return found.annotate(age=Now() - F("since"), held=F("wanted_until") - Now())


def _node(row: Any, opened: Iterable[Any], crew: Crew, swap: Span) -> Node:
    mine = row.node == crew.node
    going = row.target if row.step in (PhaseStep.UNLOADING, PhaseStep.VERIFYING) else row.name
    ready = max(swap.mean - _seconds(row.age), swap.mean / 10) if row.step in WAITS else 0.0
    batch = next((batch for batch in opened if batch.node == row.node), None)
    held = _seconds(row.held) if row.held else 0.0
    return Node(
        name=row.node,
        phase=PhaseName(going) if going else None,
        dwelt=_dwelt(row, crew),
        ready_in=ready if going else 0.0,
        holder=crew.holder if mine else None,
        batch=batch.pk if batch else None,
        taken=batch.taken if batch else 0,
        wanted=PhaseName(row.wanted) if row.wanted and held > 0 else None,
        wanted_for=max(held, 0.0),
    )


def _dwelt(row: Any, crew: Crew) -> float:
    if row.step in WAITS:
        return 0.0  # its time has not begun
    if row.node == crew.node:
        return crew.dwelt
    # Another one that drains has most likely had its time.
    return _seconds(row.age) if row.step == PhaseStep.ACTIVE else crew.limits.max_dwell_seconds


def paces() -> dict[str, Pace]:
    """By stage, of those that are known well enough."""
    newest = Attempt.objects.filter(outcome="succeeded").order_by("-pk")
    timed = newest.annotate(took=F("ended_at") - F("began_at"))
    samples: dict[str, list[Sample]] = defaultdict(list)
    for stage, took, audio in timed.values_list("stage", "took", "task__audio_seconds")[:LOOK_BACK]:
        if len(samples[stage]) < RECENT:
            samples[stage].append(Sample(_seconds(took), audio))
    learnt = {stage: learn(some) for stage, some in samples.items()}
    return {stage: pace for stage, pace in learnt.items() if pace}


def _swap() -> Span:
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
    return Span(fmean(found), pstdev(found), fmean(found) / len(found) / 2) if found else Span(0.0)


def _hand_overs(events: Iterable[tuple[str, datetime]]) -> Iterable[tuple[str, float]]:
    """(the step with which it began, seconds until the phase was active) of those that went well."""
    began: tuple[str, datetime] | None = None
    for kind, at in events:
        if kind in [f"phase_{step}" for step in WAITS]:
            began = began or (kind, at)
            continue
        if began and kind == f"phase_{PhaseStep.ACTIVE}":
            yield began[0], _seconds(at - began[1])
        began = None


def _seconds(span: timedelta) -> float:
    return span.total_seconds()
