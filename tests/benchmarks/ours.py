"""IntroEval's own queue: the real worker and the whole site's settings, with simulated engines."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from evaluations.models import Classroom, Rubric, Submission
from queueing.models import Task
from tests.benchmarks.contender import Command, Drained
from tests.benchmarks.database import Database
from tests.benchmarks.noop.apps import PIPELINE

STUDENTS = 30
PATH = f"00/{uuid.UUID(int=0)}/original"


class Ours:
    family = "introeval"
    tables: tuple[str, ...] = ("evaluations_submission", "queueing_task", "queueing_attempt", "queueing_event")

    def __init__(self, database: Database, slots: int) -> None:
        self.database, self.slots = database, slots
        self.name = f"introeval, {slots} slots"
        self._students: Iterator[User]
        self._classroom: Classroom

    def prepare(self) -> None:
        students = [User.objects.get_or_create(username=f"bench-{number}")[0] for number in range(STUDENTS)]
        self._students = itertools.cycle(students)
        self._classroom, _ = Classroom.objects.get_or_create(name="Bench", defaults={"rubric": Rubric.default()})
        # The one file of them all: else each is lost.
        (settings.MEDIA_ROOT / PATH).parent.mkdir(parents=True, exist_ok=True)
        (settings.MEDIA_ROOT / PATH).touch()

    def clear(self) -> None:
        self.database.truncate("evaluations_submission")

    def enqueue(self, count: int) -> None:
        with transaction.atomic():
            for submission in self._submissions(count):
                self._enqueue(submission)

    def enqueue_one(self) -> float:
        (submission,) = self._submissions(1)
        committed: list[float] = []
        with transaction.atomic():
            # First in line: sending the news comes after the commit too.
            transaction.on_commit(lambda: committed.append(time.time()))
            self._enqueue(submission)
        return committed[0]

    def _enqueue(self, submission: Submission) -> None:
        owner = str(submission.student_id)
        Task.objects.enqueue(submission_id=submission.pk, pipeline=PIPELINE, owner_key=owner)

    def _submissions(self, count: int) -> list[Submission]:
        return Submission.objects.bulk_create(
            Submission(
                classroom=self._classroom, student=student, original_name="noop", path=PATH, size=0, sha256=_random()
            )
            for student in itertools.islice(self._students, count)
        )

    def multiply_finished(self, times: int) -> None:
        # The same id on both sides, and in no order, as those are that the site makes.
        submission = "md5('submission ' || g)::uuid"
        self.database.multiply("evaluations_submission", times, id=submission, sha256="md5('a' || g) || md5('b' || g)")
        self.database.multiply("queueing_task", times, id="t.id + g", submission_id=submission)
        self.database.catch_up_sequence("queueing_task")
        for table in ("queueing_attempt", "queueing_event"):
            self.database.multiply(table, times, without={"id"}, task_id="t.task_id + g")

    def worker(self, *, until_drained: bool) -> Command:
        last = ("--until-idle",) if until_drained else ()
        engines = {"STT_ENGINE": "simulated", "LLM_PROTOCOL": "simulated", "LLM_SLOTS": str(self.slots)}
        return Command(("manage.py", "run_phase_worker", *last), engines)

    def drained(self, since: datetime) -> Drained:
        return Drained(
            *self.database.row(
                "SELECT count(DISTINCT task_id) FILTER (WHERE outcome = 'succeeded'),"
                " extract(epoch FROM max(ended_at) - min(began_at))::float8"
                " FROM queueing_attempt WHERE began_at >= %s",
                since,
            )
        )


def _random() -> str:
    return uuid.uuid4().hex * 2
