"""How soon the coach begins to answer, how fast it writes, and what a class loses by it: at a fake Ollama.

Last with the small embedded model: eight ask while eight are evaluated, on the same cores.

The fake needs TOKEN_SECONDS for a token and nothing to begin. An answer's last words are held back while it is written
(`guard.HELD_WORDS`), so about ten tokens are the model's own share of the time to the first text.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from statistics import mean, median
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from tests.benchmarks import processes
from tests.benchmarks.contender import Command
from tests.benchmarks.latency import percentile
from tests.benchmarks.report import Row, Table

if TYPE_CHECKING:
    from evaluations.models import CoachQuestion, Submission

ASKERS: Final = (1, 5, 50)
SLOTS: Final = 5
TOGETHER: Final = 8
TOKEN_SECONDS: Final = 0.02
LOOK_SECONDS: Final = 0.1
END_SECONDS: Final = 600.0
SPEECH: Final = "I am somebody who likes to build things, and I would like to learn more about it."


def coach(*, rounds: int, students: int, say: Callable[[str], None]) -> list[Table]:
    """
    Args:
        rounds: of each number of askers.
        students: of the class that is evaluated meanwhile.
    """
    from django.test import override_settings

    with override_settings(LLM_CAN_JUDGE=True):
        asked_about = _askers(max(ASKERS))
        with _at_fake_ollama():
            _await_answers(_ask(asked_about[:1]))  # the model is loaded, and the worker has begun
            tables = [_answers(asked_about, rounds, say), _slow_down(asked_about, students, rounds, say)]
        with _at_embedded_model():
            return [*tables, _together(asked_about[:TOGETHER], say)]


def _answers(asked_about: Sequence[Submission], rounds: int, say: Callable[[str], None]) -> Table:
    rows: list[Row] = []
    for number in ASKERS:
        found: list[CoachQuestion] = []
        for _ in range(rounds if number > 1 else 10 * rounds):
            say(f"{number} ask the coach")
            found += _await_answers(_ask(asked_about[:number]))
            time.sleep(1.0)  # the worker rests
        first = [_ms(one.asked_at, one.first_text_at) for one in found]
        begun = [_ms(one.asked_at, one.begun_at) for one in found]
        rows.append(
            {
                "askers": str(number),
                "answers": len(found),
                "begun after ms, p50": median(begun),
                "first text after ms, p50": median(first),
                "p95": percentile(first, 95),
                "from begun to first text ms, p50": median(a - b for a, b in zip(first, begun, strict=True)),
                "tokens/s per slot": median(
                    1000 * one.output_tokens / _ms(one.begun_at, one.task.finished_at) for one in found
                ),
            }
        )
    return Table("coach", f"the coach, {SLOTS} slots, {1 / TOKEN_SECONDS:.0f} tokens/s each", rows)


def _slow_down(asked_about: Sequence[Submission], students: int, rounds: int, say: Callable[[str], None]) -> Table:
    """Alternating, so that the machine's mood is shared."""
    took: dict[int, list[float]] = {number: [] for number in (0, *ASKERS)}
    answered: dict[int, list[int]] = {number: [] for number in took}
    for _ in range(rounds):
        for number in took:
            say(f"a class of {students} while {number} ask")
            with _asking(asked_about[:number]) as answers:
                took[number].append(_evaluate(students))
            answered[number].append(len(answers))
    alone = median(took[0])
    rows: list[Row] = [
        {
            "askers": str(number),
            "class s": median(each),
            "longer by %": round(100 * (median(each) / alone - 1), 1),
            "answers meanwhile": mean(answered[number]),
            "rounds": each,
        }
        for number, each in took.items()
    ]
    return Table("coach_class", f"a class of {students}, form and rating, while others ask without end", rows)


def _together(asked_about: Sequence[Submission], say: Callable[[str], None]) -> Table:
    """As many ask once as are evaluated; everything must end, and no rating be lost."""
    from evaluations.models import CoachQuestion

    say(f"{len(asked_about)} are evaluated by the embedded model, then again while {len(asked_about)} ask")
    alone = _evaluate(len(asked_about))
    keys = _ask(asked_about)
    took = _evaluate(len(asked_about))
    _until(lambda: len(_ended(dict(zip(keys, asked_about, strict=True)))) == len(keys))
    found = list(CoachQuestion.objects.filter(pk__in=keys).select_related("task"))
    shown = [one for one in found if one.first_text_at]
    first = [_ms(one.asked_at, one.first_text_at) for one in shown]
    row: Row = {
        "class s": took,
        "alone": alone,
        "ends": ", ".join(f"{number} {end}" for end, number in Counter(one.end for one in found).items()),
        "first text after s, p50": median(first) / 1000,
        "longest": max(first) / 1000,
        "from begun to first text s, p50": median(_ms(one.begun_at, one.first_text_at) for one in shown) / 1000,
    }
    return Table("coach_embedded", f"{len(found)} ask while {len(found)} are evaluated, embedded small model", [row])


@contextmanager
def _at_embedded_model() -> Iterator[None]:
    """A worker with the small model in a process of its own. It is no judge: what it says is not looked at."""
    from queueing.engines.llm import models

    named = {f"LLM_{role}_MODEL": models.SMALL for role in ("EXTRACT", "RATE")}
    given = {**named, "LLM_PROTOCOL": "embedded", "LLM_CAN_JUDGE": "true", "STT_ENGINE": "simulated"}
    with processes.running(Command(("manage.py", "run_phase_worker"), {**os.environ, **given})):
        yield


@contextmanager
def _at_fake_ollama() -> Iterator[None]:
    """A worker at a server that needs TOKEN_SECONDS for a token."""
    from tests.doubles import ollama
    from tests.doubles.ollama import FakeOllama

    with ollama.serving(FakeOllama()) as server:
        server.runners.parallel, server.token_seconds = SLOTS, TOKEN_SECONDS
        urls = {f"LLM_{role}_URL": server.url for role in ("EXTRACT", "RATE")}
        models = {f"LLM_{role}_MODEL": server.model for role in ("EXTRACT", "RATE")}
        given = {**urls, **models, "LLM_PROTOCOL": "ollama", "LLM_SLOTS": str(SLOTS), "STT_ENGINE": "simulated"}
        with processes.running(Command(("manage.py", "run_phase_worker"), {**os.environ, **given})):
            yield


def _askers(number: int) -> list[Submission]:
    from django.contrib.auth.models import User

    from evaluations.models import Classroom, Rubric
    from tests.chaos import lesson

    room = Classroom.objects.create(name="askers", rubric=Rubric.default())
    users = [User.objects.create(username=f"asker-{each}") for each in range(number)]
    return [lesson.transcribed(room, user, SPEECH) for user in users]


def _ask(asked_about: Sequence[Submission]) -> list[uuid.UUID]:
    from evaluations.coaching.questions import asking

    return [
        asking.ask(
            submission=one, student=one.student, text="How could I have shown more confidence?", language="en"
        ).pk
        for one in asked_about
    ]


def _await_answers(keys: Sequence[uuid.UUID]) -> list[CoachQuestion]:
    from evaluations.models import CoachQuestion
    from queueing.states import LIVE

    asked = CoachQuestion.objects.filter(pk__in=keys).select_related("task")
    _until(lambda: not asked.filter(task__state__in=LIVE).exists())
    found = list(asked)
    if ended := {one.end for one in found} - {CoachQuestion.End.ANSWERED}:
        raise RuntimeError(f"some questions ended otherwise: {ended}")
    return found


@contextmanager
def _asking(asked_about: Sequence[Submission]) -> Iterator[list[uuid.UUID]]:
    """Each of them asks again as soon as there is an answer. Yields the answered questions, complete at the end."""
    from django.db import connection

    stopping, answered = Event(), list[uuid.UUID]()

    def ask_without_end() -> None:
        waiting = {_ask([one])[0]: one for one in asked_about}
        while not stopping.wait(LOOK_SECONDS):
            for key in _ended(waiting):
                answered.append(key)
                of = waiting.pop(key)
                waiting[_ask([of])[0]] = of
        _stop(waiting)
        connection.close()

    thread = Thread(target=ask_without_end, daemon=True)
    thread.start()
    try:
        yield answered
    finally:
        stopping.set()
        thread.join()


def _ended(keys: dict[uuid.UUID, Submission]) -> list[uuid.UUID]:
    from evaluations.models import CoachQuestion
    from queueing.states import ENDED

    return list(CoachQuestion.objects.filter(pk__in=keys, task__state__in=ENDED).values_list("pk", flat=True))


def _stop(keys: dict[uuid.UUID, Submission]) -> None:
    from evaluations.coaching.questions import asking
    from evaluations.models import CoachQuestion

    for question in CoachQuestion.objects.filter(pk__in=keys).select_related("student"):
        asking.stop(question, by=question.student)


def _evaluate(students: int) -> float:
    """Seconds until everybody of a class that is transcribed already has a rating."""
    from queueing.models import Task
    from queueing.states import LIVE, State
    from tests.chaos import lesson

    began = time.monotonic()
    handed_in = lesson.handed_in(students)
    tasks = Task.objects.filter(submission__in=handed_in, pipeline="evaluation")
    _until(lambda: not tasks.filter(state__in=LIVE).exists())
    took = time.monotonic() - began
    if (done := tasks.filter(state=State.DONE).count()) != students:
        raise RuntimeError(f"{done} of {students} were rated")
    return took


def _until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + END_SECONDS
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError(f"the work did not end within {END_SECONDS:.0f} s")
        time.sleep(LOOK_SECONDS)


def _ms(since: datetime | None, until: datetime | None) -> float:
    assert since is not None
    assert until is not None
    return 1000 * (until - since).total_seconds()
