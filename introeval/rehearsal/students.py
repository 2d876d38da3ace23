"""Everybody in front of a screen: students who hand in, and the teacher who presses Retry when a task was killed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from threading import Event, Thread

import structlog
from django.db import DatabaseError, InterfaceError, connection

from evaluations.models import EVALUATION
from introeval.rehearsal.plan import RehearsalPlan
from queueing.models import Task
from queueing.states import State

log = structlog.get_logger()

POLL_SECONDS = 0.2


class Students:
    """On a thread and a connection of their own, as the site is: they hand in also while the database is down.

    Each of them once; while `more()`, as long as faults are still to come, whoever has finished hands in again.
    """

    def __init__(self, plan: RehearsalPlan, more: Callable[[], bool]) -> None:
        self.plan, self.more = plan, more
        self.handed_in = 0  # tried
        self.acknowledged: set[int] = set()  # tasks whose hand-in was acknowledged
        self.retried = 0
        self._waiting: tuple[uuid.UUID, int] | None = None  # the submission and student of a hand-in under way
        self._unsure = False  # whether it may be stored already
        self._stop = Event()
        self._thread = Thread(target=self._run, name="students", daemon=True)

    def __enter__(self) -> Students:
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def finished(self) -> bool:
        """Whether nobody will hand in any more."""
        return self._waiting is None and self.handed_in >= self.plan.students and not self.more()

    def _run(self) -> None:
        pause = 0.0
        while not self._stop.wait(pause):
            try:
                pause = 0.0
                if not self._hand_in():
                    pause = POLL_SECONDS
                    self._retry_killed()
            except (DatabaseError, InterfaceError) as error:
                log.info("the database is down", error=str(error).strip())
                connection.close()
                pause = POLL_SECONDS
        connection.close()

    def _hand_in(self) -> bool:
        """One student's. Whether the next one may follow at once."""
        if self._waiting is None and self._is_due():
            self._waiting = uuid.uuid4(), self.handed_in % self.plan.students
            self.handed_in += 1
        if self._waiting is None:
            return False
        submission, student = self._waiting
        # After an error nobody knows whether it was stored.
        task = Task.objects.filter(submission_id=submission).first() if self._unsure else None
        self._unsure = True
        task = task or Task.objects.enqueue(submission_id=submission, pipeline=EVALUATION, owner_key=str(student))
        self._unsure, self._waiting = False, None
        self.acknowledged.add(task.pk)
        return True

    def _is_due(self) -> bool:
        if self.handed_in >= self.plan.students:
            return self.more() and Task.objects.live().count() < self.plan.students
        apart = self.plan.arrive * self.plan.scale / max(self.plan.students - 1, 1)
        return time.monotonic() - self._began >= self.handed_in * apart

    def _retry_killed(self) -> None:
        """A task that killed its worker twice is failed; here a fault did that, so the teacher retries it."""
        for task in Task.objects.filter(state=State.FAILED, error_code="poison"):
            self.retried += task.retry(by="teacher", reason="a rehearsed crash")
