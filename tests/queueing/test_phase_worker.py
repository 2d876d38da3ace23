"""The worker's rounds in this process, with simulated engines: what must not bring the queue to a standstill."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection

from evaluations.models import Form, Transcript
from evaluations.stages.extract import Extract
from evaluations.stages.rate import Rate
from queueing import jobs, policy, upkeep
from queueing.engines.base import Engines, Generation, Resident
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.exceptions import Crashed, Infrastructure, OutOfMemory
from queueing.heart import Heart
from queueing.models import Batch, Phase, Task, Worker, in_seconds
from queueing.states import PhaseName, Stage, State, Step
from queueing.worker import Options, PhaseWorker

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Enqueue = Callable[..., Task]
SLOTS = 3


@pytest.fixture(autouse=True)
def media_folder() -> None:
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)


@pytest.fixture
def ready_to(enqueue: Enqueue) -> Callable[..., Task]:
    """A task that is through with transcription and waits for `stage`."""

    def make(stage: Stage, said: str = "Hello, I am Ada. I like chess.") -> Task:
        task = enqueue()
        words = [
            {"text": word, "start": at * 0.4, "end": at * 0.4 + 0.3, "probability": 0.9}
            for at, word in enumerate(said.split())
        ]
        Transcript.objects.create(
            submission_id=task.submission_id,
            text=said,
            language="en",
            language_probability=1.0,
            duration=5.0,
            speech_seconds=4.0,
            segments=[{"start": 0.0, "end": 3.0, "text": said, "no_speech_probability": 0.0, "words": words}],
            engine="test",
            model="test",
        )
        Form.objects.create(submission_id=task.submission_id, engine="test", model="test")
        Task.objects.filter(pk=task.pk).update(stage=stage)
        task.refresh_from_db()
        return task

    return make


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


def heart(worker: Worker, held: set[int]) -> Heart:
    return Heart(
        worker,
        every_seconds=1,
        lease_seconds=30,
        held=lambda: held,
        on_tasks_lost=lambda ids: None,
        on_lost=lambda: None,
    )


def test_a_beat_renews_what_is_held_and_nothing_else(enqueue: Enqueue, worker: Worker) -> None:
    """A claim whose commit was lost on the way back is nobody's work; it must expire."""
    enqueue(), enqueue()
    held, orphan = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=1, limit=2)
    heart(worker, {held.pk})._beat()
    assert Task.objects.get(pk=orphan.pk).lease_until == orphan.lease_until
    assert Task.objects.get(pk=held.pk).lease_until != held.lease_until


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
