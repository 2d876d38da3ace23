"""A phase that goes on by the last decision: what the worker then does without another poll."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from django.db import InternalError, OperationalError, connection

from evaluations.stages.names import Stage
from introeval.rehearsal import engines, stages
from introeval.rehearsal.bounds import StageTimes
from introeval.rehearsal.outages import Outages
from queueing import pipelines
from queueing.models import Attempt, Task
from queueing.models.queue import TaskManager
from queueing.policy.phases import Limits
from queueing.policy.retries import RetryLimits
from queueing.states import State
from queueing.worker.loop import WorkLoop
from queueing.worker.options import Options
from queueing.worker.process import PhaseWorker

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

Enqueue = Callable[..., Task]
LONG = 1000.0  # between two polls, as far as these tests go


@pytest.fixture
def hand_in(enqueue: Enqueue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], Task]]:
    """A task whose stages are stand-ins, with effects that are counted."""
    monkeypatch.setattr(pipelines, "_registry", dict(pipelines._registry))
    stages.register("n", Outages(tmp_path / "outages"))
    with connection.cursor() as cursor:
        cursor.execute(stages.EFFECTS)

    def make() -> Task:
        return enqueue()

    yield make
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE rehearsal_effect")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkLoop]:
    """Registered, without its heartbeat; it polls once and then goes on."""
    options = Options(
        limits=Limits(batch_size=2, batch_max_wait_seconds=0.01, max_dwell_seconds=600, idle_unload_seconds=60),
        retries=RetryLimits(max_attempts=3, max_crashes=2, backoff_seconds=0.1),
        lease_seconds=30,
        heartbeat_seconds=5,
        poll_seconds=LONG,
        stop_grace_seconds=0.1,
        lock_dir=tmp_path,
    )
    memory = engines.Memory(tmp_path / "gpus", "n")
    work = StageTimes(stt=0.05, extract=0.05, rate=0.05, switch=0)
    worker = PhaseWorker("n", engines.build(work, 1.0, memory, Outages(tmp_path / "outages")), options)
    loop = worker.register()
    yield loop
    loop.jobs.stop(loop.jobs.held())


def until(condition: Callable[[], bool], step: Callable[[], object] = lambda: time.sleep(0.01)) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        step()


def transcribing_and_ended(worker: WorkLoop) -> None:
    until(lambda: bool(worker.jobs), worker.run_once)
    until(worker.jobs.mark_computed)


def test_the_next_task_computes_while_the_last_outcome_is_written_down(
    hand_in: Callable[[], Task], worker: WorkLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [hand_in(), hand_in()]
    transcribing_and_ended(worker)
    advance, computing = TaskManager.advance, []

    def watched(self: TaskManager, *args: Any, **kwargs: Any) -> set[int]:
        computing.append(worker.jobs.per_stage().total())
        return advance(self, *args, **kwargs)

    monkeypatch.setattr(TaskManager, "advance", watched)
    worker.run_once()
    assert computing == [1]
    assert [Task.objects.get(pk=task.pk).stage for task in tasks] == [Stage.EXTRACT, Stage.TRANSCRIBE]


@pytest.mark.parametrize("kind", [OperationalError, InternalError])
def test_an_outcome_that_could_not_be_written_down_comes_before_any_further_claim(
    hand_in: Callable[[], Task], worker: WorkLoop, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    hand_in(), hand_in()
    transcribing_and_ended(worker)
    advance, claim, done = TaskManager.advance, TaskManager.claim, []

    def failing_once(self: TaskManager, *args: Any, **kwargs: Any) -> set[int]:
        done.append("write down")
        if done.count("write down") == 1:
            raise kind("the server ended the session")
        return advance(self, *args, **kwargs)

    def watched(self: TaskManager, *args: Any, **kwargs: Any) -> list[Task]:
        done.append("claim")
        return claim(self, *args, **kwargs)

    monkeypatch.setattr(TaskManager, "advance", failing_once)
    monkeypatch.setattr(TaskManager, "claim", watched)
    with pytest.raises(kind):
        worker.run_once()
    worker.poll_first()  # as the process does then
    until(lambda: all(job.outcome.done() for job in worker.jobs.running.values()))
    worker.run_once()
    assert done[:3] == ["claim", "write down", "write down"]


def test_of_what_nothing_is_due_no_claim_is_tried(
    hand_in: Callable[[], Task], worker: WorkLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in vain is three round trips, for each of many pipelines at each poll."""
    task, claim = hand_in(), TaskManager.claim
    tried: set[str] = set()

    def watched(self: TaskManager, *, stages: Sequence[str], **kwargs: Any) -> list[Task]:
        tried.update(stages)
        return claim(self, stages=stages, **kwargs)

    monkeypatch.setattr(TaskManager, "claim", watched)

    def step() -> None:
        if not worker.run_once():
            time.sleep(0.01)

    until(lambda: Task.objects.get(pk=task.pk).state == State.DONE, step)
    assert tried == {*Stage} < {stage.name for stage in pipelines.specs()}


def test_a_batch_is_evaluated_before_the_next_one_is_transcribed(hand_in: Callable[[], Task], worker: WorkLoop) -> None:
    tasks = [hand_in() for _ in range(4)]

    def step() -> None:
        if not worker.run_once():
            time.sleep(0.01)

    until(lambda: all(Task.objects.get(pk=task.pk).state == State.DONE for task in tasks), step)
    served = Attempt.objects.order_by("began_at").values_list("stage", flat=True)
    phases = [(phase, len(list(group))) for phase, group in itertools.groupby(served, lambda s: s == Stage.TRANSCRIBE)]
    assert phases == [(True, 2), (False, 4), (True, 2), (False, 4)]
