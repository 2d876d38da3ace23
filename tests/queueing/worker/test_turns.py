"""Two language models in one phase: both at once if they fit, else one after the other for a whole batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from evaluations.stages.names import Stage
from queueing import failpoints
from queueing.engines.base import Engines, Generation
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.exceptions import Infrastructure
from queueing.models import Attempt, Event, Pause, Phase, Task
from queueing.states import State
from queueing.worker import coordinator
from queueing.worker.process import PhaseWorker
from tests.queueing.worker.working import registered, state, work

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def pair(node: Callable[..., PhaseWorker]) -> Callable[..., PhaseWorker]:
    """A worker whose stages of evaluation have an engine each."""

    def make(*, together: bool, extract: SimulatedLanguage, rate: SimulatedLanguage) -> PhaseWorker:
        worker = node(extract)
        worker.engines = Engines(worker.engines.speech, {"extract": extract, "rate": rate})
        worker.options = replace(worker.options, together=together)
        return worker

    return make


class Watching(SimulatedLanguage):
    """Sees how many calls of another model are under way during its own."""

    now = 0
    seen = 0
    other: Watching

    def generate(self, *args: Any, **kwargs: Any) -> Generation:
        self.now += 1
        try:
            answer = super().generate(*args, **kwargs)
            self.seen = max(self.seen, self.other.now)
            return answer
        finally:
            self.now -= 1


@pytest.mark.parametrize("together", [True, False])
def test_one_student_is_rated_while_the_next_ones_form_is_extracted_if_both_models_fit(
    ready_to: Callable[..., Task], pair: Callable[..., PhaseWorker], *, together: bool
) -> None:
    extract, rate = (Watching(0.1, slots=1, context_tokens=8192) for _ in range(2))
    extract.other, rate.other = rate, extract
    tasks = [ready_to(Stage.EXTRACT) for _ in range(4)]
    worker = pair(together=together, extract=extract, rate=rate)
    work(worker, lambda: all(state(task) == State.DONE for task in tasks))
    assert max(extract.seen, rate.seen) == (1 if together else 0)


class OneOfTwo(SimulatedLanguage):
    """Takes a while to load, and reports how often it was loaded and what was in memory beside it."""

    loads = 0
    beside = 0
    other: OneOfTwo

    def load(self) -> None:
        super().load()
        self.loads += 1
        self.beside += len(self.other.resident())


@pytest.fixture
def in_turns(pair: Callable[..., PhaseWorker]) -> PhaseWorker:
    """A worker whose two language models don't fit into memory together."""
    extract, rate = (OneOfTwo(0.05, slots=2, context_tokens=8192, model=name) for name in ("mistral", "llama"))
    extract.other, rate.other = rate, extract
    return pair(together=False, extract=extract, rate=rate)


def loads(worker: PhaseWorker) -> tuple[int, int]:
    extract, rate = worker.engines.language.values()
    assert isinstance(extract, OneOfTwo)
    assert isinstance(rate, OneOfTwo)
    assert extract.beside + rate.beside == 0, "both were in memory"
    return extract.loads, rate.loads


def doings() -> list[str]:
    """What the node's row showed while it worked, in order."""
    events = Event.objects.filter(kind="phase_active").order_by("pk")
    return [event.detail["reason"] for event in events if "reason" in event.detail]


def test_models_that_do_not_fit_together_are_loaded_once_each_for_a_whole_batch(
    ready_to: Callable[..., Task], in_turns: PhaseWorker
) -> None:
    """F39: one of the two is in memory at a time."""
    tasks = [ready_to(Stage.EXTRACT) for _ in range(5)] + [ready_to(Stage.RATE)]
    work(in_turns, lambda: all(state(task) == State.DONE for task in tasks))
    assert loads(in_turns) == (1, 1)
    assert doings() == ["extracts with mistral", "rates with llama"]
    assert Phase.objects.get().plan.startswith("sub-phases: LLM_TOGETHER says so")
    stages = [stage for (stage,) in Attempt.objects.order_by("began_at").values_list("stage")]
    assert stages == ["extract"] * 5 + ["rate"] * 6


def test_evaluation_with_nothing_but_ratings_loads_only_the_model_that_rates(
    ready_to: Callable[..., Task], in_turns: PhaseWorker
) -> None:
    task = ready_to(Stage.RATE)
    work(in_turns, lambda: state(task) == State.DONE)
    assert loads(in_turns) == (0, 1)


def test_the_forecast_gets_the_workers_slots_and_turns(ready_to: Callable[..., Task], in_turns: PhaseWorker) -> None:
    ready_to(Stage.EXTRACT)
    with registered(in_turns) as loop:
        while not loop.jobs:
            loop.run_once()
        capacity = loop.capacity()
    assert {lane.engine: (lane.stages, lane.slots) for lane in capacity.lanes if lane.pipeline == "evaluation"} == {
        "speech": (("transcribe",), 1),
        "extract": (("extract",), 2),
        "rate": (("rate",), 2),
    }
    assert (capacity.take_turns, capacity.holder, capacity.node) == (True, "extract", "n")


def test_nothing_is_claimed_before_the_model_that_it_needs_is_loaded(
    ready_to: Callable[..., Task], in_turns: PhaseWorker
) -> None:
    """A claim that waits for a model to load is a claim that may run out."""
    ready_to(Stage.EXTRACT)

    def seen_while_loading() -> None:
        assert not Task.objects.filter(state=State.RUNNING).exists()
        Seen.times += 1

    class Seen:
        times = 0

    failpoints.plan("switch.loading", seen_while_loading)
    try:
        work(in_turns, lambda: not Task.objects.live().exists())
    finally:
        failpoints.plan("switch.loading", None)
    assert Seen.times == 2


def test_no_turn_is_passed_in_a_phase_that_is_paused(ready_to: Callable[..., Task], in_turns: PhaseWorker) -> None:
    task = ready_to(Stage.EXTRACT)
    with registered(in_turns) as loop:
        while Task.objects.get().stage == Stage.EXTRACT:
            loop.run_once()
            if loop.jobs:
                Pause.objects.start(Pause.What.EVAL, by="operator", reason="a look at the GPU")
        for _ in range(5):
            loop.run_once()
        assert loads(in_turns) == (1, 0)
    assert state(task) == State.QUEUED


def test_a_turn_that_fails_blocks_the_phase_and_is_made_up_for(
    ready_to: Callable[..., Task], in_turns: PhaseWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, faults = ready_to(Stage.EXTRACT), [Infrastructure("no llama here", code="engine_unavailable")]
    load = OneOfTwo.load

    def fail_once(self: OneOfTwo) -> None:
        if self.model == "llama" and faults:
            raise faults.pop()
        load(self)

    monkeypatch.setattr(OneOfTwo, "load", fail_once)
    monkeypatch.setattr(coordinator, "BLOCKED_PAUSE_SECONDS", 0.1)
    work(in_turns, lambda: state(task) == State.DONE)
    assert loads(in_turns) == (1, 1)
    assert Event.objects.get(kind="phase_blocked").detail["reason"] == "no llama here"
    assert Task.objects.get().failures == 0


def test_a_turn_that_lasted_too_long_is_passed_when_what_runs_has_ended(
    ready_to: Callable[..., Task], in_turns: PhaseWorker
) -> None:
    """A stream of forms keeps no rating waiting for ever, and no model is unloaded under a call."""
    limits = replace(in_turns.options.limits, max_dwell_seconds=0.3)
    in_turns.options = replace(in_turns.options, limits=limits)
    slow = OneOfTwo(0.5, slots=1, context_tokens=8192, model="mistral")
    in_turns.engines = replace(in_turns.engines, language={**in_turns.engines.language, "extract": slow})
    extract, rate = in_turns.engines.language.values()
    assert isinstance(extract, OneOfTwo)
    assert isinstance(rate, OneOfTwo)
    extract.other, rate.other = rate, extract
    ready_to(Stage.RATE)
    for _ in range(4):
        ready_to(Stage.EXTRACT)
    work(in_turns, lambda: not Task.objects.live().exists())
    stages = [stage for (stage,) in Attempt.objects.order_by("began_at").values_list("stage")]
    assert stages.index("rate") < 4
    assert "next, it rates with llama" in [
        event.detail["reason"] for event in Event.objects.filter(kind="phase_draining")
    ]
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded"}
    assert loads(in_turns)[0] > 1
