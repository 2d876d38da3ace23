"""Submissions and results for tests that look at them, without a model."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Now

from evaluations import actions
from evaluations.models import Classroom, Evaluation, Form, Submission, Transcript
from queueing.exceptions import StageError
from queueing.models import Task, Worker
from queueing.states import Stage

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def hand_in(student: User, classroom: Classroom, *, name: str = "hello.mp4", content: bytes = b"") -> Submission:
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder) / "staged"
        staged.write_bytes(content or uuid.uuid4().bytes * 1000)
        return actions.submit(classroom=classroom, student=student, staged=staged, original_name=name)[0]


def claim(submission: Submission, worker: Worker | None = None) -> Task:
    """The task of `submission`, claimed as a worker does."""
    worker = worker or Worker.objects.create(node="lab-pc", pid=1)
    (task,) = Task.objects.take([submission.evaluation_task.pk], worker=worker, lease_seconds=60)
    return task


def fail(submission: Submission, error: StageError, *, at: Stage = Stage.TRANSCRIBE) -> Task:
    """Let the work succeed up to the stage `at`, and fail there."""
    task = claim(submission)
    while task.stage != at:
        task.advance(took=1.0)
        task = claim(submission, task.worker)
    task.fail(error, took=1.0)
    return task


def finish(submission: Submission) -> None:
    for _ in Stage:
        claim(submission).advance(took=1.0)


def write_results(submission: Submission, *, text: str = "I like climbing.", **evaluation: Any) -> Evaluation:
    """Rows as the stages write them, with `text` wherever a student or a model can put any."""
    made = {"engine": "simulated", "model": "none"}
    words = [{"start": 1.5, "end": 2.0, "text": text, "probability": 0.4}]
    segments = [{"start": 1.5, "end": 2.0, "text": text, "no_speech_probability": 0.0, "words": words}]
    spoken = {"language": "en", "language_probability": 1.0, "duration": 3.0, "speech_seconds": 2.0}
    Transcript.objects.create(submission=submission, text=text, segments=segments, **spoken, **made)
    Form.objects.create(submission=submission, name=text[:100], hobbies=[text], career_goals=text, **made)
    score = {"key": "confidence", "title": text, "basis": "both", "score": 7.5, "judged": text, "measured": 8.0}
    quote = {"sentence": 1, "quote": text, "start": 1.5, "end": 2.0}
    return Evaluation.objects.create(
        submission=submission,
        overall=7.5,
        scores=[{**score, "weight": 1, "why": text, "evidence": [quote]}],
        feedback=text,
        suggestions=[text],
        speech={"words": 3, "words_per_minute": 120.4, "fillers": {text: 2}, "articulation": 0.93},
        **{"released_at": Now(), **made, **evaluation},
    )
