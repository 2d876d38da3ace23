"""What must not bring the queue to a standstill: batches, models, disks and outcomes that go wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import InterfaceError, InternalError, OperationalError, connection
from django.db.models.functions import Now

from evaluations.models import Form
from evaluations.stages.extract import Extract
from evaluations.stages.names import Stage
from queueing import gpu
from queueing.engines.base import Generation, Resident
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.exceptions import Crashed, Infrastructure, OutOfMemory
from queueing.models import Batch, Pause, Phase, Task, Worker, in_seconds
from queueing.states import PhaseName, PhaseStep, State
from queueing.worker.process import PhaseWorker
from tests.queueing.worker.working import SLOTS, Enqueue, quick, registered, state, work

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


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


@pytest.mark.parametrize(
    "blinked",
    [
        OperationalError("terminating connection due to administrator command"),
        InterfaceError("the connection is closed"),
        InternalError("terminating connection due to idle-in-transaction timeout"),  # its clock stepped forward
    ],
)
def test_a_database_that_blinks_while_a_task_is_prepared_does_not_fail_it(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch, blinked: Exception
) -> None:
    prepare, blinks = Extract.prepare, ["once"]

    def blink(self: Extract, task: Task) -> Any:
        if blinks:
            blinks.pop()
            raise blinked
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
    blocked = Phase.objects.filter(step=PhaseStep.BLOCKED, target=PhaseName.EVAL)
    work(node(quick(kind)), lambda: state(upload) == State.FAILED and blocked.exists())
    assert state(waiting) == State.QUEUED


def test_models_of_which_one_is_too_large_for_the_card_block_evaluation_with_the_reason(
    enqueue: Enqueue, ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    class Large(SimulatedLanguage):
        def needs(self) -> int:
            return 10 << 30

    waiting, upload = ready_to(Stage.EXTRACT), enqueue()
    worker = node(quick(Large))
    worker.device = Mock(read=lambda: gpu.GpuMemoryFacts(8 << 30, 0, 8 << 30))
    blocked = Phase.objects.filter(step=PhaseStep.BLOCKED, target=PhaseName.EVAL)
    work(worker, lambda: state(upload) == State.FAILED and blocked.exists())
    assert state(waiting) == State.QUEUED
    assert "does not fit into the 6.8 GiB" in blocked.get().reason
    assert blocked.get().plan.startswith("refused: simulated (10.0 GiB)")


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
    assert (state(tasks[1]), Task.objects.get(pk=tasks[1].pk).error_code) == (State.QUEUED, "unexpected")
    assert Form.objects.exclude(engine="test").count() == 2


def test_a_worker_mends_the_times_at_its_start_and_as_soon_as_the_databases_clock_steps_back(
    enqueue: Enqueue, node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Worker.objects.create(node="gone", pid=1)
    ahead = Worker.objects.filter(pk=gone.pk, last_heartbeat_at__gt=in_seconds(10))
    ahead.model.objects.update(last_heartbeat_at=in_seconds(10_000))
    polled, behind = type(Task.objects).snapshot, 0.0

    def stepped(self: Any, *args: Any) -> Any:
        found = polled(self, *args)
        return replace(found, at=found.at - behind)

    monkeypatch.setattr(type(Task.objects), "snapshot", stepped)
    with registered(node()) as worker:
        worker.run_once()
        assert not ahead.exists()
        Worker.objects.filter(pk=gone.pk).update(last_heartbeat_at=in_seconds(10_000))
        worker.run_once()
        assert ahead.exists(), "without a step nothing is looked for"
        behind = 3600.0
        worker.run_once()
        assert not ahead.exists()
