"""What a job's end means, whatever its stage raises."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable
from dataclasses import replace
from queue import Queue
from threading import Event, Semaphore
from typing import Any

import pytest
from django.db import OperationalError, transaction

from queueing import pipelines
from queueing.engines.base import Engines
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.exceptions import Permanent
from queueing.models import Task, Worker
from queueing.pipelines import StageProgress
from queueing.policy.retries import RetryLimits
from queueing.states import PhaseName, State
from queueing.worker import jobs
from queueing.worker.jobs import Jobs, as_stage_error

Enqueue = Callable[..., Task]


class Stumbling:
    """A stage that raises `error` in one of its three steps."""

    def __init__(self, step: str, error: Exception) -> None:
        self.step, self.error = step, error

    def _reach(self, step: str) -> None:
        if step == self.step:
            raise self.error

    def prepare(self, task: Task) -> Any:
        self._reach("prepare")

    def compute(self, *_: Any) -> Any:
        self._reach("compute")

    def save(self, task: Task, result: Any) -> None:
        self._reach("save")


@pytest.fixture
def jobs_of() -> Callable[[], Jobs]:
    language = SimulatedLanguage()
    engines = Engines(SimulatedSpeech(), {"extract": language, "rate": language})
    limits = RetryLimits(max_attempts=3, max_crashes=2, backoff_seconds=0.1)
    return lambda: Jobs(engines, limits, wake=lambda: None, chance=random.Random(1))


@pytest.fixture
def claimed(enqueue: Enqueue, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Task]:
    """A claimed task whose stage stumbles."""

    def make(step: str = "", error: Exception | None = None) -> Task:
        stage = pipelines.StageSpec("stumble", PhaseName.EVAL, "extract", Stumbling(step, error or ValueError()))
        monkeypatch.setitem(pipelines._registry, "stumbling", pipelines.Pipeline("stumbling", (stage,)))
        Task.objects.filter(pk=enqueue().pk).update(pipeline="stumbling", stage="stumble")
        (task,) = Task.objects.claim(worker=worker, stages=["stumble"], lease_seconds=30)
        return task

    return make


def finish(held: Jobs) -> jobs.Job:
    """The one job that ends; the bound only ends a broken test."""
    deadline = time.monotonic() + 10
    while not (ended := held.finish_ended()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return ended[0]


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["prepare", "compute", "save"])
def test_a_disk_without_room_costs_the_task_nothing_and_is_reported(
    claimed: Callable[..., Task], jobs_of: Callable[[], Jobs], step: str
) -> None:
    held, task = jobs_of(), claimed(step, FULL)
    held.start(task)
    job = finish(held)
    assert job.error is not None
    assert job.error.code == "disk_full"
    task.refresh_from_db()
    assert (task.state, task.failures, task.crashes) == (State.QUEUED, 0, 0)
    assert task.attempts.get().outcome == "infrastructure"


@pytest.mark.parametrize(
    ("raised", "outcome", "code"),
    [
        (FULL, "infrastructure", "disk_full"),
        (OSError(errno.EROFS, "Read-only file system"), "infrastructure", "disk_full"),
        (OSError(errno.EIO, "Input/output error"), "infrastructure", "disk_failed"),
        (OSError(errno.EMFILE, "Too many open files"), "infrastructure", "infrastructure"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "infrastructure", "infrastructure"),
        (OperationalError("gone"), "infrastructure", "infrastructure"),
        (OSError(errno.ECONNRESET, "Connection reset by peer"), "transient", "unexpected"),
        (MemoryError(), "transient", "unexpected"),
        (ValueError("never thought of"), "unexpected", "unexpected"),
        (IndexError("string index out of range"), "unexpected", "unexpected"),
        (AssertionError(), "unexpected", "unexpected"),
        (RecursionError(), "unexpected", "unexpected"),
    ],
)
def test_what_the_machine_lacks_is_no_fault_of_the_task(raised: Exception, outcome: str, code: str) -> None:
    error = as_stage_error(raised)
    assert (error.outcome, error.code) == (outcome, code)


def test_no_stage_computes_inside_a_transaction(claimed: Callable[..., Task], jobs_of: Callable[[], Jobs]) -> None:
    task = claimed()
    with transaction.atomic(), pytest.raises(AssertionError, match="no transaction may be open"):
        jobs_of().start(task)


@pytest.mark.parametrize("code", ["file_missing", "file_damaged", "unexpected"])
@pytest.mark.parametrize("deleted", [True, False])
@pytest.mark.django_db(transaction=True)
def test_what_was_deleted_meanwhile_failed_for_nobody(
    claimed: Callable[..., Task],
    jobs_of: Callable[[], Jobs],
    caplog: pytest.LogCaptureFixture,
    code: str,
    deleted: bool,
) -> None:
    held, task = jobs_of(), claimed("compute", Permanent("its file is gone", code=code))
    held.start(task)
    if deleted:
        with transaction.atomic():
            Task.objects.forget(task.submission_id, by="teacher")
    finish(held)
    assert (code in caplog.text) is not deleted


class Dictating:
    """Writes its pieces one at a time, each when it is told to, and keeps what is saved."""

    def __init__(self, pieces: list[str]) -> None:
        self.pieces, self.go_on, self.saved = pieces, Semaphore(0), list[str]()

    def prepare(self, task: Task) -> None:
        """It needs nothing."""

    def compute(self, work: None, engines: Engines, progress: StageProgress, stop: Event) -> None:
        for piece in self.pieces:
            self.go_on.acquire(timeout=10)
            progress.write(piece)
        self.go_on.acquire(timeout=10)

    def save_text(self, task: Task, text: str) -> None:
        self.saved.append(text)

    def save(self, task: Task, result: Any) -> None:
        """Its text is not kept."""


@pytest.mark.django_db(transaction=True)
def test_a_text_is_saved_as_it_grows_by_its_worker_alone(
    claimed: Callable[..., Task], jobs_of: Callable[[], Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "TEXT_SECONDS", 1000.0)  # so that only the count of pieces is left
    many = ["a "] * jobs.TEXT_PIECES
    held, task, handler = jobs_of(), claimed(), Dictating(["first ", *many, "last"])
    woken: Queue[None] = Queue()
    held.wake = lambda: woken.put(None)
    spec = replace(pipelines.get("stumbling").stages[0], handler=handler)
    monkeypatch.setitem(pipelines._registry, "stumbling", pipelines.Pipeline("stumbling", (spec,)))
    held.start(task)
    for pieces in (1, jobs.TEXT_PIECES):
        handler.go_on.release(pieces)
        woken.get(timeout=10)
        held.show_progress()
    assert handler.saved == ["first ", "first " + "".join(many)]
    assert Task.objects.get(pk=task.pk).requeue(by="test")
    held.running[task.pk].progress._saved_at = -1000.0
    handler.go_on.release()
    woken.get(timeout=10)
    held.show_progress()
    assert len(handler.saved) == 2, "a worker that lost its claim wrote"
    handler.go_on.release()
    assert finish(held).error is None
