from __future__ import annotations

from collections.abc import Callable

import pytest

from evaluations.coaching.questions import asking
from evaluations.models import CoachQuestion, Submission
from queueing.models import Task, Worker
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_results

QUESTION = "How could I have shown more confidence?"


@pytest.fixture
def submission(cast: Cast) -> Submission:
    """Ada's, transcribed and rated."""
    found = hand_in(cast.ada, cast.classroom)
    write_results(found)
    return found


@pytest.fixture
def ask(cast: Cast, submission: Submission) -> Callable[..., CoachQuestion]:
    def make(text: str = QUESTION, *, language: str = "en") -> CoachQuestion:
        return asking.ask(submission=submission, student=cast.ada, text=text, language=language)

    return make


@pytest.fixture
def worker(db: None) -> Worker:
    return Worker.objects.create(node="lab-pc", pid=1)


@pytest.fixture
def claim(worker: Worker) -> Callable[..., Task]:
    """The question's task, claimed as a worker does."""

    def take(question: CoachQuestion) -> Task:
        (task,) = Task.objects.take([question.task_id], worker=worker, lease_seconds=60)
        return task

    return take
