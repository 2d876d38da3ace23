"""A class evaluated by real stages, three at once, at a fake Ollama whose answers take as long as it happens.

Its videos are transcribed already: what is said in them is the gold set's. Everything behind that is real but the
server: prompts, HTTP, forms, evidence, scores, and the queue.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User

from evaluations.models import Classroom, Rubric, Submission, Transcript
from evaluations.stages.names import Stage
from queueing.engines.base import Engines
from queueing.engines.llm.ollama import Ollama
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.models import Attempt, Task
from queueing.policy import phases
from queueing.policy.retries import RetryLimits
from queueing.states import State
from queueing.worker.options import Options
from queueing.worker.process import PhaseWorker
from tests.doubles import ollama
from tests.doubles.ollama import FakeOllama
from tests.gold import material

SLOTS: Final = 3
WORD_SECONDS: Final = 0.4
JITTER_SECONDS: Final = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--students", type=int, default=30, help="of each class (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many classes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to repeat the delays of a run")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when everybody of every class was served."""
    print(f"seed {options.seed}", flush=True)
    wrong = 0
    for number in range(options.rounds):
        began = time.monotonic()
        problems = list(teach(options.students, seed=options.seed + number))
        served = options.students - len({each.partition(":")[0] for each in problems})
        print(
            f"{served} of {options.students} in {time.monotonic() - began:.0f} s", *problems, sep="\n    ", flush=True
        )
        wrong += len(problems)
    return 1 if wrong else 0


def teach(students: int, *, seed: int, jitter: float = JITTER_SECONDS) -> Iterator[str]:
    """Evaluate a class to its end; what went wrong with whom, as text."""
    submissions = handed_in(students)
    with tempfile.TemporaryDirectory() as folder, ollama.serving(FakeOllama()) as server:
        server.runners.parallel = SLOTS
        server.jitter_seconds, server.chance = jitter, random.Random(seed)
        _worker(server, Path(folder)).run(until_idle=True)
    tried = Counter(Attempt.objects.filter(task__submission__in=submissions).values_list("task__submission", "outcome"))
    for one in Submission.objects.filter(pk__in=submissions).order_by("pk"):
        task, rated = one.evaluation_task, one.ratings.count()
        if task.state != State.DONE:
            yield f"{one.student}: {task.state} {task.error_code} {task.error_detail}"
        if rated != 1 or not hasattr(one, "form"):
            yield f"{one.student}: {rated} ratings"
        if tried[one.pk, "succeeded"] != 2 or len([pk for pk, _ in tried if pk == one.pk]) != 1:
            yield f"{one.student}: { ({outcome: times for (pk, outcome), times in tried.items() if pk == one.pk}) }"


def handed_in(students: int) -> list[uuid.UUID]:
    """A class of so many, each with something else to say."""
    mark = uuid.uuid4().hex[:8]
    classroom = Classroom.objects.create(name=f"Lesson {mark}", rubric=Rubric.default(), release="at_once")
    said = [one["text"] for one in material.load("introductions") if one["language"] == "en"]
    settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
    (settings.MEDIA_ROOT / "someone-elses").touch()  # an empty folder is taken for a disk that is not mounted
    return [_hand_in(classroom, f"{mark}-{number}", said[number % len(said)]) for number in range(students)]


def _hand_in(classroom: Classroom, name: str, speech: str) -> uuid.UUID:
    student = User.objects.create(username=name)
    classroom.students.add(student)
    submission = transcribed(classroom, student, speech)
    task = Task.objects.enqueue(submission_id=submission.pk, pipeline="evaluation", owner_key=str(student.pk))
    Task.objects.filter(pk=task.pk).update(stage=Stage.EXTRACT)
    return submission.pk


def transcribed(classroom: Classroom, student: User, speech: str) -> Submission:
    """A video without a file, in which that was said."""
    path = student.username
    submission = Submission.objects.create(
        classroom=classroom, student=student, original_name="me.webm", path=path, size=1, sha256=uuid.uuid4().hex * 2
    )
    words = [
        {"text": word, "start": at * WORD_SECONDS, "end": (at + 0.8) * WORD_SECONDS, "probability": 0.9}
        for at, word in enumerate(speech.split())
    ]
    seconds = len(words) * WORD_SECONDS
    Transcript.objects.create(
        submission=submission,
        text=speech,
        language="en",
        language_probability=1.0,
        duration=seconds,
        speech_seconds=seconds,
        segments=[{"start": 0.0, "end": seconds, "text": speech, "no_speech_probability": 0.0, "words": words}],
        engine="given",
        model="given",
    )
    return submission


def _worker(server: FakeOllama, folder: Path) -> PhaseWorker:
    options = Options(
        limits=phases.Limits(10, batch_max_wait_seconds=0.05, max_dwell_seconds=600, idle_unload_seconds=60),
        retries=RetryLimits(max_attempts=3, max_crashes=2, backoff_seconds=0.1),
        lease_seconds=30,
        heartbeat_seconds=5,
        poll_seconds=0.1,
        stop_grace_seconds=1,
        lock_dir=folder,
    )
    model = Ollama(server.url, server.model, slots=SLOTS, context_tokens=8192)
    return PhaseWorker("lesson", Engines(SimulatedSpeech(), {"extract": model, "rate": model}), options)
