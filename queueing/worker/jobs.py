"""Claimed tasks while their stages compute: each on a thread of its own, its outcome a value until it is recorded."""

from __future__ import annotations

import errno
import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from threading import Event, Thread
from typing import Any

import structlog
from django.db import connection, transaction

from queueing import pipelines
from queueing.engines.base import Engines
from queueing.exceptions import ClaimLost, Infrastructure, Interrupted, Permanent, StageError, Transient, Unexpected
from queueing.failpoints import failpoint
from queueing.models import Claim, Task, schema
from queueing.policy import retries
from queueing.policy.breaker import ANSWERED
from queueing.policy.retries import RetryLimits

log = structlog.get_logger()

PROGRESS_SECONDS = 1.0
TEXT_SECONDS = 0.5  # a text that grows is saved so often …
TEXT_PIECES = 20  # … and whenever so many pieces have come, which are tokens


class JobProgress:
    """What the thread that computes has reported, for the worker's main thread to save."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.reached = self.shown = (0.0, 0.0)
        self._wake = wake
        self._pieces: list[str] = []
        self._saved = 0  # pieces
        self._saved_at = 0.0

    def __call__(self, done: float, total: float) -> None:
        self.reached = (done, total)

    def write(self, piece: str) -> None:
        self._pieces.append(piece)
        if self.has_text_to_save():
            self._wake()

    def has_text_to_save(self) -> bool:
        """The first piece is saved at once: somebody waits for it."""
        unsaved = len(self._pieces) - self._saved
        return unsaved > 0 and (unsaved >= TEXT_PIECES or time.monotonic() - self._saved_at >= TEXT_SECONDS)

    def take_text(self) -> str:
        """All that was written so far; it counts as saved."""
        pieces = self._pieces.copy()
        self._saved, self._saved_at = len(pieces), time.monotonic()
        return "".join(pieces)


@dataclass(slots=True)
class Job:
    """One claim: the task as it was claimed, and the stage's outcome when it is there."""

    task: Task
    spec: pipelines.StageSpec
    progress: JobProgress
    stop: Event = field(default_factory=Event)
    outcome: Future[Any] = field(default_factory=Future)
    took: float = 0.0  # seconds
    computed: bool = False  # its result is there, and still to be recorded

    def set_error(self, error: BaseException) -> None:
        if self.outcome.done():
            self.outcome = Future()  # it had a result, which could not be saved
        self.outcome.set_exception(as_stage_error(error))

    @property
    def claim(self) -> Claim:
        return self.task.pk, self.task.epoch

    @property
    def error(self) -> StageError | None:
        """Why it ended badly; None when it ended well. Only of a job that has ended."""
        error = self.outcome.exception()
        assert error is None or isinstance(error, StageError)
        return error


class Jobs:
    """The jobs of one worker. Used by its main thread only; `wake` is called, from any thread, when one has ended."""

    def __init__(
        self, engines: Engines, limits: RetryLimits, *, wake: Callable[[], None], chance: random.Random
    ) -> None:
        self.engines, self.limits, self.wake, self.chance = engines, limits, wake, chance
        self.running: dict[int, Job] = {}
        self._next_progress = 0.0

    def __len__(self) -> int:
        return len(self.running)

    def start(self, task: Task) -> None:
        job = Job(task, pipelines.get(task.pipeline).stage(task.stage), JobProgress(self.wake))
        self.running[task.pk] = job  # replaces one that lost its claim: its outcome would be dropped
        log.info("claimed", task=task.pk, stage=task.stage, epoch=task.epoch)
        try:
            work = job.spec.handler.prepare(task)
        except Exception as error:
            job.set_error(error)  # the task steps aside; the loop goes on
            return
        failpoint("run.prepared")
        assert not connection.in_atomic_block, "no transaction may be open while a model runs"
        job.outcome.add_done_callback(lambda _: self.wake())
        Thread(target=self._compute, args=(job, work), name=f"task-{task.pk}", daemon=True).start()

    def _compute(self, job: Job, work: Any) -> None:
        began = time.perf_counter()
        try:
            result = job.spec.handler.compute(work, self.engines, job.progress, job.stop)
        except BaseException as error:
            job.took = time.perf_counter() - began
            job.set_error(error)
        else:
            job.took = time.perf_counter() - began
            failpoint("run.computed")
            job.outcome.set_result(result)

    def finish_ended(self) -> list[Job]:
        """Record every outcome that is there; returns the jobs that ended.

        Raises:
            schema.UNAVAILABLE: the database does not answer; what was not recorded is still here.
        """
        ended = [job for job in self.running.values() if job.outcome.done()]
        good = [job for job in ended if job.error is None]
        for _, group in groupby(sorted(good, key=_kind), key=_kind):
            self._record(list(group), self._succeed)
        for job in ended:
            if job.error is not None:
                self._record([job], self._fail_each)
        return ended

    def _record(self, jobs: list[Job], how: Callable[[list[Job]], None]) -> None:
        failpoint("finish")
        try:
            how(jobs)
        except schema.UNAVAILABLE:
            raise
        except Exception as unexpected:
            if len(jobs) > 1:
                # One of them can't be saved: it must not take the others with it.
                for job in jobs:
                    self._record([job], how)
                return
            log.exception("an outcome could not be saved", task=jobs[0].task.pk)
            jobs[0].set_error(unexpected)
            self._fail_each(jobs)
        failpoint("finish.committed")
        self._forget(jobs)

    def _succeed(self, jobs: list[Job]) -> None:
        """Jobs of one kind ended well: one transaction for all, each with its own claim to keep or to lose."""
        with transaction.atomic():
            # The guarded move comes first, so that a worker that lost its claim writes nothing at all.
            moved = Task.objects.advance([job.task for job in jobs], took=[job.took for job in jobs])
            failpoint("finish.moved")
            for job in jobs:
                if job.task.pk in moved:
                    job.spec.handler.save(job.task, job.outcome.result())
            failpoint("finish.saved")
        for job in jobs:
            _log_end(job, kept=job.task.pk in moved)

    def _fail_each(self, jobs: list[Job]) -> None:
        for job in jobs:
            assert job.error is not None
            try:
                self._fail(job, job.error)
            except ClaimLost:
                _log_end(job, kept=False)

    def _fail(self, job: Job, error: StageError) -> None:
        task, tries = job.task, retries.Tries(job.task.failures, job.task.crashes)
        if error.findings is not None and isinstance(job.spec.handler, pipelines.FindingHandler):
            with task.kept():
                job.spec.handler.save_findings(task, error.findings)
        match retries.after_failure(error, tries, self.limits, self.chance):
            case retries.FailTask(reason):
                task.fail(reason, took=job.took)
            case retries.RetryLater(delay):
                task.retry_later(error, delay, took=job.took)
            case retries.HandBack(delay):
                task.hand_back(error, delay, took=job.took)
        # Now that it counts: what was deleted or cancelled meanwhile failed for nobody.
        log.warning("attempt failed", task=task.pk, stage=job.spec.name, outcome=error.outcome, code=error.code)

    def show_progress(self) -> None:
        """Save each job's progress, about once a second, and its text when there is enough of it."""
        for job in self.running.values():
            if job.progress.has_text_to_save():
                self._save_text(job)
        if time.monotonic() < self._next_progress:
            return
        self._next_progress = time.monotonic() + PROGRESS_SECONDS
        for job in self.running.values():
            if job.progress.reached != job.progress.shown:
                job.progress.shown = job.progress.reached
                job.task.note_progress(*job.progress.shown)

    def _save_text(self, job: Job) -> None:
        handler = job.spec.handler
        assert isinstance(handler, pipelines.WritingHandler), "only these write"
        text = job.progress.take_text()
        with suppress(ClaimLost), job.task.kept():  # a lost claim shows at the next poll
            handler.save_text(job.task, text)

    def mark_computed(self) -> bool:
        """Let the slots of those that ended well count as free, before that is recorded. Whether there are any."""
        for job in self.running.values():
            job.computed = job.outcome.done() and job.error is None
        return any(job.computed for job in self.running.values())

    def newly_ended(self) -> list[Job]:
        """Those whose outcome is there since `mark_computed`."""
        return [job for job in self.running.values() if job.outcome.done() and not job.computed]

    def computing(self) -> set[int]:
        """The ids of the tasks that keep an engine busy."""
        return {pk for pk, job in self.running.items() if not job.computed}

    def per_stage(self) -> Counter[str]:
        """How many jobs of each stage keep an engine busy."""
        return Counter(self.running[pk].spec.name for pk in self.computing())

    def is_exclusive(self) -> bool:
        """Whether a task runs here that a worker died on: nothing runs beside it, or it could die too."""
        return any(job.task.crashes for job in self.running.values())

    def hand_back_all(self) -> bool:
        """Hand back what could not be interrupted; its epoch keeps a late result out."""
        for job in self.running.values():
            with suppress(ClaimLost):
                job.task.hand_back(Interrupted(), took=job.took)
        self.running.clear()
        return True

    def any_in_doubt(self) -> bool:
        """Whether a job has ended in a way that may have ended its engine's process."""
        return any(job.outcome.done() and is_doubtful(job) for job in self.running.values())

    def held(self) -> set[Claim]:
        """What computes here; safe from any thread."""
        return {job.claim for job in self.running.copy().values()}

    def stop(self, claims: Collection[Claim]) -> None:
        """Interrupt these computations; safe from any thread. A later claim of the same task is not affected."""
        for job in self.running.copy().values():
            if job.claim in claims:
                job.stop.set()

    def _forget(self, jobs: list[Job]) -> None:
        for job in jobs:
            self.running.pop(job.task.pk, None)


def _kind(job: Job) -> tuple[str, str]:
    return job.task.pipeline, job.task.stage


def _log_end(job: Job, *, kept: bool) -> None:
    if kept:
        log.info("finished", task=job.task.pk, stage=job.spec.name, seconds=round(job.took, 3))
    else:
        log.warning("claim lost, outcome dropped", task=job.task.pk, epoch=job.task.epoch)


def is_doubtful(job: Job) -> bool:
    """Whether the way this job ended may have ended its engine's process, or was caused by that."""
    error = job.error
    return isinstance(error, StageError) and not isinstance(error, Permanent) and error.code not in ANSWERED


# What the machine lacks or has lost: no task is to blame for it.
MACHINES_FAULT = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EROFS), "disk_full"),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "disk_failed"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM), "infrastructure"),
}


def as_stage_error(error: BaseException) -> StageError:
    if isinstance(error, StageError):
        return error
    if isinstance(error, schema.UNAVAILABLE):
        return Infrastructure(f"the database: {str(error).strip()}")
    if isinstance(error, OSError) and error.errno in MACHINES_FAULT:
        return Infrastructure(f"{type(error).__name__}: {error}", code=MACHINES_FAULT[error.errno])
    if isinstance(error, (OSError, MemoryError)):
        return Transient(f"{type(error).__name__}: {error}", code="unexpected")
    log.error("a stage raised what it should not", exc_info=error)
    return Unexpected(f"{type(error).__name__}: {error}")
