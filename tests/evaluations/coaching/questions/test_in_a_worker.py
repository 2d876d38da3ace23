"""Questions and a true worker's rounds, with a model server that can be watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from evaluations.coaching.questions import asking
from evaluations.models import CoachQuestion
from queueing.engines.base import Engines
from queueing.engines.llm.ollama import Ollama
from queueing.engines.speech.simulated import SimulatedSpeech
from queueing.models import Task
from queueing.worker.process import PhaseWorker
from tests.doubles import acts, ollama
from tests.doubles.ollama import FakeOllama
from tests.queueing.worker.conftest import media_folder, node
from tests.queueing.worker.working import registered

__all__ = ["media_folder", "node"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]
Ask = Callable[..., CoachQuestion]


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with ollama.serving(FakeOllama()) as fake:
        fake.runners.parallel = 2
        yield fake


@pytest.fixture
def worker(server: FakeOllama, node: Callable[..., PhaseWorker]) -> PhaseWorker:
    made = node()
    model = Ollama(server.url, server.model, slots=2, context_tokens=8192)
    made.engines = Engines(SimulatedSpeech(), {"extract": model, "rate": model})
    return made


def rounds(worker: PhaseWorker, *steps: Callable[[], object]) -> None:
    """The worker goes on; each step is tried after every round, until it returns something true."""
    with registered(worker) as loop:
        deadline = time.monotonic() + 20
        left = list(steps)
        while left:
            assert time.monotonic() < deadline, "timed out"
            if not loop.run_once():
                time.sleep(0.02)
            if left[0]():
                left.pop(0)
        assert not loop.jobs


def ended(question: CoachQuestion) -> Callable[[], bool]:
    return lambda: not Task.objects.live().filter(pk=question.task_id).exists()


def test_a_question_is_answered_in_the_phase_of_ratings(ask: Ask, worker: PhaseWorker, server: FakeOllama) -> None:
    Task.objects.filter(pipeline="evaluation").delete()
    question = ask()
    rounds(worker, ended(question))
    question.refresh_from_db()
    assert question.end == "answered"
    assert question.answer
    assert question.first_text_at
    assert question.begun_at
    assert (question.model, question.restarts) == (server.model, 0)


def test_the_server_stops_writing_for_a_reader_who_is_gone_and_serves_the_next_one(
    ask: Ask, worker: PhaseWorker, server: FakeOllama
) -> None:
    Task.objects.filter(pipeline="evaluation").delete()
    server.script = [acts.dawdle(0.05)]
    gone, stays = ask(), ask()
    rounds(
        worker,
        lambda: any("How could I" in str(one) for one in server.questions),
        lambda: [asking.abandon(gone.pk)],  # type: ignore[func-returns-value]
        lambda: server.hang_ups,
        ended(stays),
    )
    gone.refresh_from_db()
    stays.refresh_from_db()
    assert (gone.task.state, gone.end) == ("cancelled", "")
    assert (server.hang_ups, stays.end) == (1, "answered")
