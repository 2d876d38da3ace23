from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from evaluations.models import Submission
from queueing.models import Task, Worker
from tests.conftest import Cast

_numbers = itertools.count()


@pytest.fixture
def enqueue(cast: Cast) -> Callable[..., Task]:
    """A new submission with its task, as if a student had just handed in."""

    def make(student: User | None = None) -> Task:
        student = student or cast.ada
        digest = f"{next(_numbers):064d}"
        submission = Submission.objects.create(
            classroom=cast.classroom, student=student, original_name="me.webm", path="x", size=1, sha256=digest
        )
        return Task.objects.enqueue(submission_id=submission.pk, pipeline="evaluation", owner_key=str(student.pk))

    return make


@pytest.fixture
def worker(db: None) -> Worker:
    return Worker.objects.create(node="test", pid=1)
