"""Several tasks at once: real stages, and a server that answers as it will and takes its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from evaluations.models import Evaluation, Form
from evaluations.stages.extract import Extract
from evaluations.stages.names import Stage
from evaluations.stages.rate import Rate
from queueing.engines.base import Engines
from queueing.engines.llm.ollama import Ollama
from queueing.models import Attempt, Task
from queueing.states import LIVE, State
from queueing.worker.process import PhaseWorker
from tests.doubles import ollama
from tests.doubles.ollama import FakeOllama
from tests.gold import material
from tests.queueing.worker.working import state, work

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CLASS = 4


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    """Its answers are as long as it happens, so no two tasks of one moment end together."""
    with ollama.serving(FakeOllama()) as fake:
        fake.runners.parallel = 3
        fake.token_seconds = 0.0001
        yield fake


@pytest.fixture
def lab(node: Callable[..., PhaseWorker], server: FakeOllama) -> Callable[[int], PhaseWorker]:
    """A worker whose language models are that server's, with so many slots."""

    def make(slots: int) -> PhaseWorker:
        made = node()
        model = Ollama(server.url, server.model, slots=slots, context_tokens=8192)
        made.engines = Engines(made.engines.speech, {"extract": model, "rate": model})
        made.node = f"with-{slots}-slots"
        return made

    return make


def results(tasks: list[Task]) -> list[Any]:
    """What was made of each, without what differs by its nature."""
    ids = [task.submission_id for task in tasks]
    forms = {form.submission_id: form for form in Form.objects.filter(submission__in=ids)}
    rated = {one.submission_id: one for one in Evaluation.objects.filter(submission__in=ids)}
    return [
        (forms[pk].answers(), forms[pk].unsupported, rated[pk].overall, rated[pk].scores, rated[pk].feedback)
        for pk in ids
    ]


def test_three_slots_make_of_every_introduction_what_one_slot_makes_of_it(
    ready_to: Callable[..., Task], lab: Callable[[int], PhaseWorker]
) -> None:
    said = [one["text"] for one in material.load("introductions") if one["language"] == "en"][:CLASS]

    def evaluated(slots: int) -> list[Any]:
        tasks = [ready_to(Stage.EXTRACT, text) for text in said]
        work(lab(slots), lambda: not Task.objects.filter(state__in=LIVE).exists(), seconds=120)
        assert [state(task) for task in tasks] == [State.DONE] * CLASS
        return results(tasks)

    assert evaluated(3) == evaluated(1)
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded"}


@pytest.mark.parametrize("stage", [Extract, Rate])
@pytest.mark.parametrize("step", ["prepare", "compute", "save"])
def test_a_fault_of_the_program_that_does_not_come_twice_costs_a_task_one_try(
    stage: type, step: str, ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: Any
) -> None:
    done, faults = getattr(stage, step), [IndexError("string index out of range")]

    def faulty(*args: Any) -> Any:
        if faults:
            raise faults.pop()
        return done(*args)

    monkeypatch.setattr(stage, step, faulty)
    task = ready_to(Stage.EXTRACT)
    work(node(), lambda: state(task) not in LIVE)
    assert state(task) == State.DONE
    outcomes = list(Attempt.objects.filter(task=task).order_by("pk").values_list("outcome", flat=True))
    assert sorted(outcomes) == ["succeeded", "succeeded", "unexpected"]


def test_one_that_comes_again_ends_the_task_at_its_second_try(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*args: Any) -> Any:
        raise KeyError("never there")

    monkeypatch.setattr(Extract, "compute", faulty)
    task = ready_to(Stage.EXTRACT)
    made = node()
    made.options = replace(made.options, retries=replace(made.options.retries, max_attempts=9))
    work(made, lambda: state(task) not in LIVE)
    task.refresh_from_db()
    assert (task.state, task.error_code) == (State.FAILED, "unexpected")
    assert list(Attempt.objects.filter(task=task).values_list("outcome", flat=True)) == ["unexpected"] * 2
