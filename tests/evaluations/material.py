"""Submissions and results for tests, made without a model."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.db.models.functions import Now

from evaluations import actions
from evaluations.live import messages
from evaluations.models import Classroom, Evaluation, Form, MindMap, Submission, Summary, Transcript
from evaluations.stages.names import Stage
from queueing.exceptions import StageError
from queueing.forecast.published import Estimate, PlaceInLine, Published
from queueing.models import Forecast, Task, Worker

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


def foretell(submission: Submission, low_seconds: float, high_seconds: float) -> None:
    """Write the forecast of how long it will still take, as a worker does."""
    task = submission.evaluation_task
    with Forecast.objects.renew(0) as row:
        assert row
        published = Published(PlaceInLine(task.pk, 0, 0), Estimate(low_seconds, high_seconds))
        row.publish({**row.published, task.pk: published}, which_lab="lab-pc")


def write_results(submission: Submission, *, text: str = "I like climbing.", **evaluation: Any) -> Evaluation:
    """Rows as the stages write them, with `text` wherever a student or a model can put any."""
    made = {"engine": "simulated", "model": "none"}
    words = [{"start": 1.5, "end": 2.0, "text": text, "probability": 0.4}]
    segments = [{"start": 1.5, "end": 2.0, "text": text, "no_speech_probability": 0.0, "words": words}]
    spoken = {"language": "en", "language_probability": 1.0, "duration": 3.0, "speech_seconds": 2.0}
    Transcript.objects.create(submission=submission, text=text, segments=segments, **spoken, **made)
    Form.objects.create(submission=submission, name=text[:100], hobbies=[text], career_goals=text, **made)
    quote = {"sentence": 1, "quote": text, "start": 1.5, "end": 2.0}
    items = [item_row("plan", text, 1.0, sentences=[quote]), item_row("proof", text, 0.0)]
    found = {
        "overall": 7.5,
        "scores": [{"key": "confidence", "title": text, "weight": 1, "score": 7.5, "items": items}],
        "feedback": text,
        "suggestions": [text],
        "speech": {"words": 3, "words_per_minute": 120.4, "fillers": {text: 2}, "articulation": 0.93},
    }
    return rated(submission, **{**made, **found, **evaluation})


def item_row(
    key: str, text: str, credit: float | None, *, points: int = 2, sentences: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """An item as a rating keeps it, with `text` wherever a teacher can put any."""
    return {
        "key": key,
        "title": text,
        "statement": text,
        "advice": text,
        "about": "",
        "points": points,
        "hard": False,
        "computed": False,
        "answer": None if credit in (None, 0.5) else bool(credit),
        "credit": credit,
        "probability": 0.9,
        "sentences": list(sentences),
    }


def rated(submission: Submission, **evaluation: Any) -> Evaluation:
    """A rating of the submission, and the one that counts."""
    made = Evaluation.objects.create(
        submission=submission, **{"rubric": submission.classroom.rubric, "released_at": Now(), **evaluation}
    )
    Submission.objects.filter(pk=submission.pk).update(evaluation=made)
    submission.evaluation = made
    return made


def newest_decision(rating: Evaluation) -> int:
    """What somebody has seen who sees a rating as it is now; 0: nothing is decided."""
    return max(rating.submission.decisions.values_list("pk", flat=True), default=0)


SAID = (
    "Hello, my name is Ada and I am eleven years old.",
    "Um, in my free time I like to climb on rocks, because it is quiet there.",
    "When I am big, I would like to become an engineer who builds bridges.",
    "I am good at mathematics and, er, at drawing.",
    "Last summer I built a small bridge with my brother, and it held us both.",
    "Thank you for listening!",
)
STATEMENTS = ("names a plan", "proves a strength", "leads from one topic to the next")


def write_long_results(
    submission: Submission,
    *,
    scores: Mapping[str, float],
    said: Sequence[str] = SAID,
    statements: Sequence[str] = STATEMENTS,
    **evaluation: Any,
) -> Evaluation:
    """Rows of a recording of 18 s: a word each 0.2 s, and a pause of 1.2 s behind each second sentence.

    `scores`: title of a criterion → score; each has an item for each of the three `statements`: yes, no, uncertain.
    """
    made = {"engine": "ollama", "model": "llama3:8b-instruct"}
    segments = list(_spoken(said))
    spoken = {"language": "en", "language_probability": 1.0, "duration": 18.0, "speech_seconds": 13.0}
    Transcript.objects.create(submission=submission, text=" ".join(said), segments=segments, **spoken, **made)
    Form.objects.create(submission=submission, name="Ada", age=11, hobbies=["climbing"], **made)
    quotes = [
        {"sentence": number, "quote": segment["text"], "start": segment["start"], "end": segment["end"]}
        for number, segment in enumerate(segments, start=1)
    ]
    rows = [
        {"key": key, "title": key, "weight": 1, "score": score}
        | {
            "items": [
                item_row("plan", statements[0], 1.0, sentences=quotes[number : number + 1]),
                item_row("proof", statements[1], 0.0, points=4),
                item_row("thread", statements[2], 0.5),
            ]
        }
        for number, (key, score) in enumerate(scores.items())
    ]
    found = {
        "overall": round(sum(scores.values()) / max(len(scores), 1), 1),
        "scores": rows,
        "feedback": "You told us a lot about yourself, with a story that only you could tell.",
        "suggestions": ["Say what you would like to learn next.", "Look into the camera at the start."],
    }
    return rated(submission, **{**made, **found, **evaluation})


def write_words(submission: Submission, words: Sequence[str]) -> Transcript:
    """A transcript of one sentence, a word a second from the first second on."""
    spoken = [{"start": at, "end": at + 1.0, "text": word, "probability": 0.9} for at, word in enumerate(words)]
    segment = {"start": 0.0, "end": len(words), "text": " ".join(words), "no_speech_probability": 0.0, "words": spoken}
    return Transcript.objects.create(
        submission=submission,
        text=" ".join(words),
        segments=[segment],
        language="en",
        language_probability=1.0,
        duration=len(words),
        speech_seconds=len(words),
        engine="faster-whisper",
        model="tiny.en",
    )


def write_operations(submission: Submission, *, text: str = "climb on rocks", quote: str = SAID[1]) -> MindMap:
    """A summary and a mind map as the stages write them, with `text` and `quote` wherever a model or a student can."""
    made: dict[str, Any] = {
        "dropped": 1,
        "transcript_sha256": "0" * 64,
        "prompts": 1,
        "engine": "ollama",
        "model": "llama3:8b-instruct",
        "seconds": 2.0,
    }
    part = {"text": text, "sentence": 2, "quote": quote, "start": 2.7, "end": 5.7}
    plan = {"text": "become an engineer", "sentence": 3, "quote": SAID[2], "start": 7.0, "end": 9.8}
    Summary.objects.create(submission=submission, sentences=[part], key_points=[part], **made)
    branches = [{"topic": "hobbies", "leaves": [part]}, {"topic": "plans", "leaves": [plan]}]
    return MindMap.objects.create(submission=submission, branches=branches, **made)


def _spoken(said: Sequence[str]) -> Iterator[dict[str, Any]]:
    clock = 0.2
    for number, sentence in enumerate(said):
        words = []
        for text in sentence.split():
            words.append(
                {
                    "start": round(clock, 2),
                    "end": round(clock + 0.2, 2),
                    "text": text,
                    "probability": 0.9 - 0.1 * number,
                }
            )
            clock += 0.2
        yield {
            "start": words[0]["start"],
            "end": words[-1]["end"],
            "text": sentence,
            "no_speech_probability": 0.0,
            "words": words,
        }
        clock += 1.2 if number % 2 else 0.1


def pushed_to(user: User) -> list[dict[str, Any]]:
    """The rows of the snapshot that a socket of this user is sent."""
    (update,) = messages.find_updates([(user.pk, messages.NOTHING)], 0.0)
    assert update is not None
    rows: list[dict[str, Any]] = json.loads(update.texts[0])["rows"]
    return rows
