from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User

from evaluations.models import Form, Submission, Transcript
from evaluations.stages.names import Stage
from queueing.exceptions import Permanent
from queueing.models import Task, Worker
from queueing.states import State
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


@pytest.fixture
def in_state(enqueue: Callable[..., Task], worker: Worker) -> Callable[[State], Task]:
    """A new task in the given state, by the verbs that lead there."""

    def claim(task: Task) -> Task:
        return Task.objects.take([task.pk], worker=worker, lease_seconds=60)[0]

    def make(state: State) -> Task:
        task = enqueue()
        match state:
            case State.RUNNING:
                claim(task)
            case State.FAILED:
                claim(task).fail(Permanent("silence", code="no_speech"), took=1.0)
            case State.CANCELLED:
                task.cancel(by="test")
            case State.DONE:
                for _ in range(3):
                    claim(task).advance(took=1.0)
        task = Task.objects.select_related("batch").get(pk=task.pk)
        assert task.state == state
        return task

    return make


@pytest.fixture
def ready_to(enqueue: Callable[..., Task]) -> Callable[..., Task]:
    """A task that is through with transcription and waits for `stage`."""

    def make(stage: Stage, speech: str = "Hello, I am Ada. I like chess.") -> Task:
        task = enqueue()
        words = [
            {"text": word, "start": at * 0.4, "end": at * 0.4 + 0.3, "probability": 0.9}
            for at, word in enumerate(speech.split())
        ]
        Transcript.objects.create(
            submission_id=task.submission_id,
            text=speech,
            language="en",
            language_probability=1.0,
            duration=5.0,
            speech_seconds=4.0,
            segments=[{"start": 0.0, "end": 3.0, "text": speech, "no_speech_probability": 0.0, "words": words}],
            engine="test",
            model="test",
            simulated=True,  # or its few words would be too few to rate
        )
        Form.objects.create(submission_id=task.submission_id, engine="test", model="test")
        Task.objects.filter(pk=task.pk).update(stage=stage)
        task.refresh_from_db()
        return task

    return make
