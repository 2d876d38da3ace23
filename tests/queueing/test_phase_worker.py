"""The worker's rounds in this process, with simulated engines: what must not bring the queue to a standstill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.models.functions import Now

from evaluations.models import Form
from evaluations.stages.extract import Extract
from evaluations.stages.rate import Rate
from queueing import coordinator, failpoints, gpu, jobs, policy, upkeep
from queueing.engines.base import Engines, Generation, Resident
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.exceptions import Crashed, Infrastructure, OutOfMemory
from queueing.heart import Heart
from queueing.models import Attempt, Batch, Claim, Event, Pause, Phase, Task, Worker, in_seconds
from queueing.options import Options
from queueing.states import PhaseName, Stage, State, Step
from queueing.worker import PhaseWorker

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Enqueue = Callable[..., Task]
SLOTS = 3


@pytest.fixture(autouse=True)
def media_folder() -> None:
    """With something in it: an empty one is taken for a disk that is not mounted, and would pause everything."""
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
    (settings.MEDIA_ROOT / "someone-elses").touch()


@pytest.fixture
def node(tmp_path: Path) -> Callable[..., PhaseWorker]:
    def make(language: SimulatedLanguage | None = None, *, batch_size: int = 2) -> PhaseWorker:
        limits = policy.Limits(batch_size, batch_max_wait_seconds=0.05, max_dwell_seconds=600, idle_unload_seconds=60)
        options = Options(
            limits=limits,
            patience=jobs.Patience(max_attempts=3, max_crashes=2, backoff_seconds=0.1),
            lease_seconds=10,
            heartbeat_seconds=1,
            poll_seconds=0.05,
            stop_grace_seconds=0.5,
            lock_dir=tmp_path,
        )
        language = language or quick()
        engines = Engines(SimulatedSpeech(seconds=0.05), language, language, demo_quality=True)
        return PhaseWorker("n", engines, options)

    return make


def quick(kind: type[SimulatedLanguage] = SimulatedLanguage, seconds: float = 0.05) -> SimulatedLanguage:
    return kind(seconds, slots=SLOTS, context_tokens=8192)


@contextmanager
def registered(worker: PhaseWorker) -> Iterator[PhaseWorker]:
    """A worker between its start and its end, without its heart."""
    worker._register()
    try:
        yield worker
    finally:
        worker.jobs.stop(worker.jobs.held())
        for engine in (worker.engines.speech, worker.engines.extract):
            engine.unload()


def work(worker: PhaseWorker, until: Callable[[], bool], seconds: float = 20) -> None:
    """Rounds until the condition holds; the bound only ends a broken test."""
    with registered(worker):
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "waited in vain"
            if not worker.run_once():
                time.sleep(0.02)


def state(task: Task) -> str:
    return Task.objects.get(pk=task.pk).state


def test_a_batch_that_failed_altogether_does_not_block_the_next_upload(
    enqueue: Enqueue, node: Callable[..., PhaseWorker]
) -> None:
    tasks = [enqueue() for _ in range(3)]  # their files do not exist, so each one fails
    work(node(batch_size=2), lambda: all(state(task) == State.FAILED for task in tasks))


def test_a_full_batch_left_open_by_a_stopped_worker_does_not_block_the_next_upload(
    enqueue: Enqueue, ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    left = [ready_to(Stage.EXTRACT), ready_to(Stage.EXTRACT)]
    Task.objects.update(batch=Batch.objects.create(node="n"))
    late = enqueue()
    work(node(batch_size=2), lambda: state(late) == State.FAILED and all(state(task) == State.DONE for task in left))


def test_nobody_joins_a_batch_that_another_node_is_closing(enqueue: Enqueue, worker: Worker) -> None:
    task = enqueue()
    batch = Batch.objects.create(node="n")
    locked, done = threading.Event(), threading.Event()

    def close_slowly() -> None:
        from django.db import transaction

        with transaction.atomic():
            Batch.objects.select_for_update().get(pk=batch.pk)
            locked.set()
            done.wait(0.5)
            Batch.objects.get(pk=batch.pk).close_transcription()
        connection.close()

    thread = threading.Thread(target=close_slowly)
    thread.start()
    locked.wait(5)
    joined = Task.objects.fill_batch("n", 10)
    thread.join()
    assert joined is not None
    assert joined.phase == PhaseName.STT
    assert Task.objects.get(pk=task.pk).batch == joined != batch


def test_a_database_that_blinks_while_a_task_is_prepared_does_not_fail_it(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare, blinks = Extract.prepare, ["once"]

    def blink(self: Extract, task: Task) -> Any:
        if blinks:
            blinks.pop()
            raise OperationalError("terminating connection due to administrator command")
        return prepare(self, task)

    monkeypatch.setattr(Extract, "prepare", blink)
    task = ready_to(Stage.EXTRACT)
    work(node(), lambda: state(task) == State.DONE)
    assert Task.objects.get(pk=task.pk).failures == 0


class Brittle(SimulatedLanguage):
    """A model process that one prompt kills; whoever else is in it crashes too."""

    alive = True
    error: type[Exception] = Crashed

    def load(self) -> None:
        super().load()
        self.alive = True

    def resident(self) -> tuple[Resident, ...]:
        return super().resident() if self.alive else ()

    def generate(self, prompt: Any, *args: Any, **kwargs: Any) -> Generation:
        if not self.alive:
            raise Infrastructure("not loaded", code="not_loaded")
        if "POISON" in prompt.user:
            time.sleep(0.3)
            self.alive = False
            raise self.error
        for _ in range(10):
            time.sleep(0.05)
            if not self.alive:
                raise self.error
        return super().generate(prompt, *args, **kwargs)


def test_a_poison_task_fails_alone(ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]) -> None:
    poison = ready_to(Stage.EXTRACT, "POISON is my name.")
    others = [ready_to(Stage.EXTRACT) for _ in range(2)]
    work(node(quick(Brittle)), lambda: not Task.objects.live().exists(), seconds=40)
    assert Task.objects.get(pk=poison.pk).error_code == "poison"
    assert [state(task) for task in others] == [State.DONE, State.DONE]


class OutOfMemoryOnce(Brittle):
    def generate(self, prompt: Any, *args: Any, **kwargs: Any) -> Generation:
        if not hasattr(self, "failed"):
            self.failed, self.alive = True, False
            raise OutOfMemory
        return super().generate(prompt, *args, **kwargs)


def test_a_model_that_ran_out_of_memory_is_loaded_again(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    task = ready_to(Stage.EXTRACT)
    work(node(quick(OutOfMemoryOnce)), lambda: state(task) == State.DONE)


class Unreachable(SimulatedLanguage):
    def load(self) -> None:
        raise Infrastructure("no server", code="engine_unavailable")


class Broken(SimulatedLanguage):
    def load(self) -> None:
        raise OSError("too many open files")


@pytest.mark.parametrize("kind", [Unreachable, Broken])
def test_a_model_that_cannot_be_loaded_blocks_its_phase_but_not_the_other_one(
    enqueue: Enqueue, ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], kind: type[SimulatedLanguage]
) -> None:
    waiting, upload = ready_to(Stage.EXTRACT), enqueue()
    blocked = Phase.objects.filter(step=Step.BLOCKED, target=PhaseName.EVAL)
    work(node(quick(kind)), lambda: state(upload) == State.FAILED and blocked.exists())
    assert state(waiting) == State.QUEUED


class Counting(SimulatedLanguage):
    now = most = 0

    def generate(self, *args: Any, **kwargs: Any) -> Generation:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return super().generate(*args, **kwargs)
        finally:
            self.now -= 1


def test_a_task_cancelled_and_retried_at_once_is_never_computed_twice_at_a_time(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    language = quick(Counting, seconds=1.0)
    task = ready_to(Stage.RATE)
    retried = False

    def done() -> bool:
        nonlocal retried
        current = Task.objects.get(pk=task.pk)
        if current.state == State.RUNNING and not retried:
            current.cancel(by="test")
            current.refresh_from_db()
            retried = current.retry(by="test")
        return current.state == State.DONE

    work(node(language), done)
    assert isinstance(language, Counting)
    assert language.most == 1


@pytest.fixture
def pair(node: Callable[..., PhaseWorker]) -> Callable[..., PhaseWorker]:
    """A worker whose stages of evaluation have an engine each."""

    def make(*, together: bool, extract: SimulatedLanguage, rate: SimulatedLanguage) -> PhaseWorker:
        worker = node(extract)
        engines = Engines(worker.engines.speech, extract, rate, demo_quality=True)
        worker.engines = worker.jobs.engines = engines
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
    """Takes a while to load, and tells how often it was loaded and what was in memory beside it."""

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
    extract, rate = worker.engines.extract, worker.engines.rate
    assert isinstance(extract, OneOfTwo)
    assert isinstance(rate, OneOfTwo)
    assert extract.beside + rate.beside == 0, "both were in memory"
    return extract.loads, rate.loads


def doings() -> list[str]:
    """What the node's row said while it worked, in order."""
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


def test_nothing_is_claimed_before_the_model_that_it_needs_is_loaded(
    ready_to: Callable[..., Task], in_turns: PhaseWorker
) -> None:
    """A claim that waits for a model to load is a claim that may run out."""
    ready_to(Stage.EXTRACT)

    def seen_while_loading() -> None:
        assert not Task.objects.filter(state=State.RUNNING).exists()
        Queue.looked += 1

    class Queue:
        looked = 0

    failpoints.plan("switch.loading", seen_while_loading)
    try:
        work(in_turns, lambda: not Task.objects.live().exists())
    finally:
        failpoints.plan("switch.loading", None)
    assert Queue.looked == 2


def test_no_turn_is_passed_in_a_phase_that_is_paused(ready_to: Callable[..., Task], in_turns: PhaseWorker) -> None:
    task = ready_to(Stage.EXTRACT)
    with registered(in_turns):
        while Task.objects.get().stage == Stage.EXTRACT:
            in_turns.run_once()
            if in_turns.jobs:
                Pause.objects.place(Pause.What.EVAL, by="operator", reason="a look at the GPU")
        for _ in range(5):
            in_turns.run_once()
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
    in_turns.jobs.engines = in_turns.engines = replace(
        in_turns.engines, extract=OneOfTwo(0.5, slots=1, context_tokens=8192, model="mistral")
    )
    extract, rate = in_turns.engines.extract, in_turns.engines.rate
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


def test_models_of_which_one_is_too_large_for_the_card_block_evaluation_with_the_reason(
    enqueue: Enqueue, ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    class Large(SimulatedLanguage):
        def needs(self) -> int:
            return 10 << 30

    waiting, upload = ready_to(Stage.EXTRACT), enqueue()
    worker = node(quick(Large))
    worker.device = Mock(look=lambda: gpu.Facts(8 << 30, 0, 8 << 30))
    blocked = Phase.objects.filter(step=Step.BLOCKED, target=PhaseName.EVAL)
    work(worker, lambda: state(upload) == State.FAILED and blocked.exists())
    assert state(waiting) == State.QUEUED
    assert "does not fit into the 6.8 GiB" in blocked.get().reason
    assert blocked.get().plan.startswith("refused: simulated (10.0 GiB)")


@pytest.mark.parametrize("what", Pause.What)
def test_nothing_begins_in_a_phase_that_is_paused_and_all_of_it_goes_on_afterwards(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], what: str
) -> None:
    task = ready_to(Stage.EXTRACT)
    Pause.objects.place(what, by="teacher", reason="fire drill")
    with registered(node()) as worker:
        for _ in range(5):
            worker.run_once()
        held = what != Pause.What.STT
        assert (state(task) == State.QUEUED) == held
    assert Pause.objects.all().lift(by="teacher") == 1
    work(node(), lambda: state(task) == State.DONE)


def test_a_drain_unloads_what_is_loaded_and_a_resume_loads_it_again(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.RATE)
    with registered(node()) as worker:
        worker.coordinator.switch(PhaseName.EVAL)
        Pause.objects.place(Pause.What.EVERYTHING, node="n", drain=True, by="operator", reason="new GPU")
        worker.run_once()
        assert Phase.objects.get().step == Step.IDLE
        assert worker.coordinator.resident() == []
        Pause.objects.all().lift(by="operator")
        worker.run_once()
        assert Phase.objects.get().step == Step.ACTIVE


class PausedWhileLoading(SimulatedLanguage):
    """Somebody pauses evaluation while its model is being loaded."""

    def load(self) -> None:
        Pause.objects.place(Pause.What.EVAL, by="operator", reason="the wrong model")
        super().load()


def test_a_pause_that_is_placed_while_the_model_loads_holds_back_its_first_task(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    task = ready_to(Stage.EXTRACT)
    with registered(node(quick(PausedWhileLoading))) as worker:
        worker.run_once()
        assert worker.coordinator.current == PhaseName.EVAL
        assert state(task) == State.QUEUED


def test_a_full_disk_does_not_shorten_the_pause_of_a_person(db: None) -> None:
    repair = Pause.objects.place(Pause.What.STT, node="n", by="operator", reason="repair")
    Pause.objects.rest(Pause.What.STT, node="n", reason="no space left", seconds=15)
    repair.refresh_from_db()
    assert (repair.by, repair.reason, repair.until) == ("operator", "repair", None)
    Pause.objects.rest(Pause.What.EVAL, node="n", reason="no space left", seconds=15)
    assert Pause.objects.active().get(what=Pause.What.EVAL).by == "system"


def test_a_pause_of_another_node_is_none_of_ours(enqueue: Enqueue) -> None:
    Pause.objects.place(Pause.What.EVERYTHING, node="other", by="operator", reason="moving house")
    assert not Task.objects.snapshot("this").paused
    assert Task.objects.snapshot("other").paused == {*PhaseName}


def test_a_pause_ends_by_itself_when_its_time_is_over(db: None) -> None:
    pause = Pause.objects.place(Pause.What.STT, by="system", reason="disk full", seconds=60)
    assert Task.objects.snapshot("n").paused == {PhaseName.STT}
    Pause.objects.filter(pk=pause.pk).update(since=in_seconds(-100), until=in_seconds(-1))
    assert not Task.objects.snapshot("n").paused
    assert not Pause.objects.active().exists()
    assert Pause.objects.all().lift(by="x") == 0


def test_the_phase_that_a_person_asked_for_is_entered_and_kept_for_its_time(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.RATE)
    with registered(node()) as worker:
        assert Phase.ask_for(PhaseName.STT, node="n", hold_seconds=60, by="operator")
        for _ in range(3):
            worker.run_once()
        assert (Phase.objects.get().name, Phase.objects.get().step) == (PhaseName.STT, Step.ACTIVE)
        Phase.objects.update(wanted_until=in_seconds(-1))
        worker.run_once()
        assert Phase.objects.get().name == PhaseName.EVAL


def test_nobody_can_ask_for_a_phase_of_a_node_that_is_not_there(db: None) -> None:
    assert not Phase.ask_for(PhaseName.STT, node="nowhere", hold_seconds=60, by="operator")


class Full(SimulatedLanguage):
    """A disk that is full for one call."""

    calls = 0

    def generate(self, *args: Any, **kwargs: Any) -> Generation:
        self.calls += 1
        if self.calls == 1:
            raise Infrastructure("no space left", code="disk_full")
        return super().generate(*args, **kwargs)


def test_a_full_disk_pauses_the_phase_for_a_while_and_burns_nothing(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    language = quick(Full)
    first, second = ready_to(Stage.RATE), ready_to(Stage.RATE)
    worker = node(language)
    language.slots = 1
    work(worker, lambda: Pause.objects.active().filter(by="system", what=PhaseName.EVAL).exists())
    assert isinstance(language, Full)
    assert language.calls == 1
    assert Task.objects.filter(failures=0, state=State.QUEUED).count() == 2
    Pause.objects.update(since=in_seconds(-100), until=in_seconds(-1))
    Task.objects.update(not_before=Now())
    work(node(language), lambda: state(first) == state(second) == State.DONE)


def test_a_task_that_was_taken_from_its_worker_stops_computing_at_the_next_look(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.RATE)
    with registered(node(quick(seconds=60))) as worker:
        while not worker.jobs:
            worker.run_once()
        (job,) = worker.jobs.running.values()
        worker.run_once()
        assert not job.stop.is_set()
        Task.objects.get().cancel(by="teacher")
        worker.run_once()
        assert job.stop.is_set()


def test_one_outcome_that_cannot_be_saved_does_not_take_its_neighbours_along(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [ready_to(Stage.EXTRACT) for _ in range(SLOTS)]
    save = Extract.save

    def refuse(self: Extract, task: Task, result: Any) -> None:
        if task.pk == tasks[1].pk:
            raise ValueError("no such column")
        save(self, task, result)

    monkeypatch.setattr(Extract, "save", refuse)
    with registered(node(quick(seconds=0.3))) as worker:
        while not worker.jobs:
            worker.run_once()
        while not all(job.outcome.done() for job in worker.jobs.running.values()):
            time.sleep(0.01)
        assert len(worker.jobs.finish_ended()) == SLOTS
    assert [Task.objects.get(pk=task.pk).stage for task in tasks] == [Stage.RATE, Stage.EXTRACT, Stage.RATE]
    assert state(tasks[1]) == State.FAILED
    assert Form.objects.exclude(engine="test").count() == 2


def test_a_worker_that_was_silent_because_the_database_was_down_did_not_die(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
    Worker.objects.update(last_heartbeat_at=upkeep.database_started_at() - timedelta(seconds=1))
    assert upkeep.rescue_expired(max_crashes=2, lease_seconds=0.001) == 1
    assert Task.objects.get().crashes == 0


def test_a_draining_that_is_no_longer_wanted_is_taken_back(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.RATE)
    with registered(node()) as worker:
        worker.coordinator.switch(PhaseName.EVAL)
        worker.coordinator.drain(PhaseName.STT, "uploads wait")
        worker.run_once()
    assert Phase.objects.get().step == Step.ACTIVE


def test_work_that_cannot_be_interrupted_is_handed_back_when_the_worker_stops(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = threading.Event()
    monkeypatch.setattr(Rate, "compute", lambda self, *args: leave.wait(30))
    task = ready_to(Stage.RATE)
    with registered(node()) as worker:
        while not worker.jobs:
            worker.run_once()
        worker._wind_down()
    leave.set()
    task.refresh_from_db()
    assert (task.state, task.crashes, task.failures) == (State.QUEUED, 0, 0)


def heart(worker: Worker, held: set[Claim]) -> Heart:
    return Heart(
        worker,
        every_seconds=1,
        lease_seconds=30,
        held=lambda: held,
        on_tasks_lost=lambda claims: None,
        on_lost=lambda: None,
    )


def test_a_beat_renews_what_is_held_and_nothing_else(enqueue: Enqueue, worker: Worker) -> None:
    """A claim whose commit was lost on the way back is nobody's work; it must expire."""
    enqueue(), enqueue()
    held, orphan = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=1, limit=2)
    heart(worker, {(held.pk, held.epoch)})._beat()
    assert Task.objects.get(pk=orphan.pk).lease_until == orphan.lease_until
    assert Task.objects.get(pk=held.pk).lease_until != held.lease_until


def test_a_beat_does_not_stop_the_next_stage_of_a_task_that_was_finished_meanwhile(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.EXTRACT)
    with registered(node(quick(seconds=0.3))) as worker:
        while not worker.jobs:
            worker.run_once()
        beating = worker._heart()
        held = worker.jobs.held()
        beating.held = lambda: held  # it has asked what is held; the rest of the beat comes late
        while {task.stage for task in (job.task for job in worker.jobs.running.values())} != {Stage.RATE}:
            worker.run_once()
        Task.objects.update(lease_until=in_seconds(-1))  # so that the beat does not own it
        beating._beat()
        (job,) = worker.jobs.running.values()
        assert not job.stop.is_set()


def test_a_worker_given_up_for_dead_is_alive_again_with_its_next_beat(worker: Worker) -> None:
    Worker.objects.update(last_heartbeat_at=in_seconds(-1000))
    upkeep.forget_dead_workers(30)
    assert not Worker.alive(30).exists()
    heart(worker, set())._beat()
    assert Worker.alive(30).exists()


def test_a_lease_that_ran_out_under_a_living_worker_counts_as_no_crash(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    for _ in range(4):
        assert Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
        assert upkeep.rescue_expired(max_crashes=2, lease_seconds=30) == 1
    task = Task.objects.get()
    assert (task.state, task.crashes) == (State.QUEUED, 0)


def test_a_worker_whose_last_beat_came_just_after_its_last_claim_died_all_the_same(
    enqueue: Enqueue, worker: Worker
) -> None:
    enqueue()
    Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
    Worker.objects.update(last_heartbeat_at=in_seconds(-0.6))  # the database itself is older than that
    assert upkeep.rescue_expired(max_crashes=2, lease_seconds=1) == 1
    assert Task.objects.get().crashes == 1


def test_a_worker_does_not_rescue_its_own_running_tasks(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    (task,) = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
    assert upkeep.rescue_expired(max_crashes=2, lease_seconds=30, spare={task.pk}) == 0


def test_what_another_node_runs_does_not_hold_this_nodes_phase(enqueue: Enqueue, ready_to: Callable[..., Task]) -> None:
    ready_to(Stage.RATE)
    enqueue()
    elsewhere = Worker.objects.create(node="other", pid=1)
    Task.objects.claim(worker=elsewhere, stages=[Stage.RATE], lease_seconds=30)
    assert Task.objects.snapshot("this").evaluation.running == 0
    assert Task.objects.snapshot("other").evaluation.running == 1
