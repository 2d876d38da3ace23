"""What pages say of the lab and of each submission: one sentence each, true, and never one against another."""

from __future__ import annotations

import uuid
from dataclasses import replace
from itertools import product
from typing import Any, Final

import pytest
from django.utils.translation import override
from hypothesis import given
from hypothesis import strategies as st

from evaluations.pages.rows.queue_view import QueueView
from evaluations.stages.names import Stage
from queueing.models import Breaker, Forecast, Pause, Phase, Task
from queueing.policy.places import Line, LineEntry
from queueing.states import PhaseName, PhaseStep, State

NODES: Final = ("lab-1", "lab-2")
WORKERS: Final = {node: uuid.UUID(int=number) for number, node in enumerate(NODES, 1)}
GONE: Final = uuid.UUID(int=9)  # a worker that fell silent
PHASE: Final = {Stage.TRANSCRIBE: PhaseName.STT, Stage.EXTRACT: PhaseName.EVAL, Stage.RATE: PhaseName.EVAL}
DOING: Final = {PhaseName.STT: "is transcribing", PhaseName.EVAL: "is filling in forms and rating"}
IDLE, SOON, FAILED = "waiting for work", "goes on in a moment", "did not work"


def machine(step: PhaseStep, name: str = "", target: str = "", node: str = NODES[0]) -> Phase:
    return Phase(node=node, step=step, name=name, target=target)


def task(pk: int, stage: Stage, worker: uuid.UUID | None = None, **fields: Any) -> Task:
    state = State.RUNNING if worker else State.QUEUED
    return Task(pk=pk, pipeline="evaluation", stage=stage, state=state, turn=pk, worker_id=worker, **fields)


def view(
    tasks: list[Task],
    *machines: Phase,
    pauses: tuple[Pause, ...] = (),
    silent: bool = False,
    alive: tuple[str, ...] = NODES[:1],
) -> QueueView:
    line = Line(_entry(each) for each in tasks)
    return QueueView(
        line=line,
        whole=line,
        phases=machines,
        workers={WORKERS[node]: node for node in alive},
        silences={GONE: 45.0},
        pauses=pauses,
        forecast=Forecast(),
        silent_servers=(Breaker(server="http://gpu-1"),) if silent else (),
    )


def _entry(each: Task) -> LineEntry:
    runs = each.state == State.RUNNING
    finishes = runs and each.stage == Stage.RATE
    return LineEntry(each.pk, each.pipeline, each.stage, each.turn, None, runs, each.worker_id, finishes)


@pytest.mark.parametrize(
    ("kinds", "doing"),
    [
        (["coach"], "is answering questions."),
        (["summary"], "is summing up videos."),
        (["mind_map", "mind_map"], "is summing up videos."),
        (["coach", "evaluation"], "is filling in forms and rating."),
        (["rerating"], "is filling in forms and rating."),
    ],
)
def test_a_machine_that_works_beside_the_class_only_is_said_to_do_that(kinds: list[str], doing: str) -> None:
    stages = {"coach": "answer", "summary": "summarise", "mind_map": "map", "rerating": "rate_again"}
    here = WORKERS[NODES[0]]
    entries = [
        LineEntry(pk, kind, stages.get(kind, Stage.RATE), pk, None, True, here, True) for pk, kind in enumerate(kinds)
    ]
    seen = replace(view([], machine(PhaseStep.ACTIVE, PhaseName.EVAL)), whole=Line(entries))
    assert seen.activity == f"The lab’s computer {doing}"


phases = st.sampled_from(["", *PhaseName])
machines = st.builds(machine, st.sampled_from(PhaseStep), phases.filter(bool), phases, st.just(NODES[0]))
others = st.builds(machine, st.sampled_from(PhaseStep), phases.filter(bool), phases, st.just(NODES[1]))
pauses = st.builds(
    Pause, what=st.sampled_from(Pause.WORK), node=st.sampled_from(["", *NODES]), reason=st.just("new cable")
)
tasks = st.lists(
    st.tuples(
        st.sampled_from(Stage),
        st.sampled_from([None, None, WORKERS[NODES[0]], WORKERS[NODES[1]], GONE]),
        st.sampled_from(["", "interrupted", "invalid_answer"]),
        st.integers(0, 1),
    ),
    max_size=4,
).map(
    lambda drawn: [
        task(pk, stage, worker, error_code="" if worker else error, failures=failures)
        for pk, (stage, worker, error, failures) in enumerate(drawn, 1)
    ]
)
views = st.tuples(
    tasks,
    machines,
    others,
    st.lists(pauses, max_size=2).map(tuple),
    st.booleans(),
    st.sampled_from([(), NODES[:1], NODES]),
)
Drawn = tuple[list[Task], Phase, Phase, tuple[Pause, ...], bool, tuple[str, ...]]


def seen(drawn: Drawn) -> QueueView:
    there, first, second, paused, silent, alive = drawn
    return view(there, first, second, pauses=paused, silent=silent, alive=alive)


@given(views)
def test_a_machine_is_said_to_do_only_what_it_does(drawn: Drawn) -> None:
    there, *_, alive = drawn
    said = seen(drawn).activity
    at_work = {PHASE[Stage(each.stage)] for each in there if each.worker_id in {WORKERS[node] for node in alive}}
    assert {phase for phase, words in DOING.items() if words in said} <= at_work


@given(views)
def test_it_waits_for_work_only_if_nobody_is_in_the_line_and_nothing_is_paused(drawn: Drawn) -> None:
    there, _, _, paused, silent, alive = drawn
    said = seen(drawn).activity
    if there or paused or silent or not alive:
        assert IDLE not in said
    assert not (IDLE in said and SOON in said)


@given(views)
def test_what_is_paused_is_not_said_to_go_on(drawn: Drawn) -> None:
    there, _, _, paused, _, alive = drawn
    said = seen(drawn).activity
    everything = {pause.node for pause in paused if pause.what == Pause.What.EVERYTHING}
    if alive and ("" in everything or set(alive) <= everything):
        assert "All work" in said
        for words in (IDLE, SOON, *DOING.values(), "goes on with", "getting ready", "changing over"):
            assert words not in said
    if not there:
        assert SOON not in said


@given(views)
def test_of_each_submission_there_is_one_thing_to_say_and_it_is_true(drawn: Drawn) -> None:
    there, _, _, _, silent, alive = drawn
    queue = seen(drawn)
    for each in there:
        said, needed = queue.situation(each), PHASE[Stage(each.stage)]
        at_work = queue.workers.keys() & {each.worker_id}
        assert said.startswith("Being worked on: ") == bool(at_work)
        assert FAILED not in said or (each.failures and not each.worker_id)
        if any(words in said for words in ("It is next", SOON, "getting ready", "comes next")):
            assert alive
            assert queue.pause_of(needed) is None
            assert not (silent and needed == PhaseName.EVAL)
            assert IDLE not in queue.activity
        assert not any(words in said for words in DOING.values())
    for phase in PhaseName:
        following = [each for each in there if PHASE[Stage(each.stage)] == phase and not each.worker_id]
        assert sum("It is next" in queue.situation(each) for each in following) <= 1


@pytest.mark.parametrize(("step", "stage"), [*product(PhaseStep, Stage)])
def test_whoever_is_first_is_never_told_that_the_computer_waits_for_work(step: PhaseStep, stage: Stage) -> None:
    """ "1st of 1 · the GPU is waiting for work" """
    one = task(1, stage)
    for name in PhaseName:
        queue = view([one], machine(step, name, PhaseName.EVAL))
        assert IDLE not in f"{queue.activity} {queue.situation(one)}"


def test_a_wish_for_a_phase_with_nothing_to_do_is_not_said_to_be_work() -> None:
    one = task(1, Stage.RATE)
    queue = view([one], machine(PhaseStep.ACTIVE, PhaseName.STT))
    assert queue.activity == "The lab’s computer goes on in a moment."
    assert queue.situation(one) == "It goes on in a moment."


def test_what_has_begun_before_a_pause_is_finished() -> None:
    stop = Pause(what=Pause.What.EVERYTHING, reason="fire drill")
    one = task(1, Stage.TRANSCRIBE, WORKERS[NODES[0]])
    queue = view([one], machine(PhaseStep.ACTIVE, PhaseName.STT), pauses=(stop,))
    assert queue.activity.endswith("The lab’s computer is finishing what it has begun.")
    assert queue.situation(one) == "Being worked on: transcribing."


@pytest.mark.parametrize("code", ["interrupted", "infrastructure", "disk_full", "crashed"])
def test_what_was_only_interrupted_is_not_said_to_have_failed(code: str) -> None:
    one = task(1, Stage.RATE, error_code=code)
    said = view([one], machine(PhaseStep.ACTIVE, PhaseName.EVAL)).situation(one)
    assert said.startswith("The work on it was interrupted")
    one.failures = 1
    assert "did not work at first" in view([one], machine(PhaseStep.ACTIVE, PhaseName.EVAL)).situation(one)


def test_one_stuck_machine_of_two_is_no_reason_to_wait() -> None:
    one, other = task(1, Stage.TRANSCRIBE), task(2, Stage.TRANSCRIBE, WORKERS[NODES[1]])
    stuck = machine(PhaseStep.BLOCKED, node=NODES[0])
    works = machine(PhaseStep.ACTIVE, PhaseName.STT, node=NODES[1])
    assert view([one, other], stuck, works, alive=NODES).situation(one) == "It is next."
    assert "stuck" in view([one], stuck).situation(one)


@pytest.mark.parametrize("language", ["en", "de"])
def test_students_read_of_the_labs_computer_and_of_no_gpu(language: str) -> None:
    with override(language):
        for step, name, busy, paused in product(PhaseStep, PhaseName, (True, False), (True, False)):
            there = [task(1, Stage.TRANSCRIBE, WORKERS[NODES[0]] if busy else None), task(2, Stage.RATE)]
            stops = (Pause(what=Pause.What.EVAL, reason="x"),) if paused else ()
            queue = view(there, machine(step, name, PhaseName.EVAL), pauses=stops)
            said = " ".join([queue.activity, *map(queue.situation, there)])
            assert "GPU" not in said
            assert "Grafikkarte" not in said
