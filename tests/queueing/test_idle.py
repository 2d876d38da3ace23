"""What an idle worker asks of the database, and what a stopping one leaves alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from queueing.engines import build
from queueing.heart import Heart
from queueing.models import Task, Worker
from queueing.options import Options
from queueing.states import State
from queueing.worker import PhaseWorker

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 20


@pytest.fixture
def idle(settings: Settings) -> Iterator[PhaseWorker]:
    """A worker with the settings of a lab, and simulated engines, that has found nothing to do."""
    settings.STT_ENGINE = settings.LLM_PROTOCOL = "simulated"
    settings.BATCH_MAX_WAIT_SECONDS = 0.01
    worker = PhaseWorker("n", build.from_settings(settings), Options.from_settings(settings))
    worker._register()
    worker._keep_up()  # the duties of every few minutes are done
    yield worker
    worker.engines.speech.unload()


def statements(of: Callable[[], object], times: int = 1) -> float:
    """How many each call costs, transactions included."""
    with CaptureQueriesContext(connection) as seen:
        for _ in range(times):
            of()
    return len(seen) / times


def test_an_idle_worker_asks_the_database_less_than_twice_a_second(idle: PhaseWorker) -> None:
    heart = Heart(
        idle.row,
        every_seconds=settings.HEARTBEAT_SECONDS,
        lease_seconds=settings.LEASE_SECONDS,
        held=idle.jobs.held,
        on_tasks_lost=idle.jobs.stop,
        on_lost=idle.stop,
    )

    def keep_up() -> None:
        idle._next_upkeep = 0.0
        idle._keep_up()

    per_round, per_beat, per_upkeep = statements(idle.run_once, ROUNDS), statements(heart._beat), statements(keep_up)
    assert per_round == 1
    # The shortest that a rest and the time between two upkeeps can be: `_rest`, `_keep_up`.
    shortest_rest, shortest_upkeep = settings.POLL_SECONDS * 0.8, settings.LEASE_SECONDS / 2 * 0.8
    per_second = per_round / shortest_rest + per_beat / settings.HEARTBEAT_SECONDS + per_upkeep / shortest_upkeep
    assert per_second <= 2


def test_a_cancelled_task_is_stopped_by_the_next_look(
    idle: PhaseWorker, enqueue: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = enqueue()
    (claimed,) = Task.objects.claim(worker=idle.row, stages=[task.stage], lease_seconds=30)
    monkeypatch.setattr("evaluations.stages.transcribe.Transcribe.compute", lambda *args: args[-1].wait(60))
    idle.jobs.start(claimed)
    job = idle.jobs.running[task.pk]
    idle.run_once()
    assert not job.stop.is_set()
    assert Task.objects.get().cancel(by="test")
    idle.run_once()
    assert job.stop.is_set()


def test_a_worker_that_was_told_to_stop_claims_nothing_more(idle: PhaseWorker, enqueue: Callable[..., Task]) -> None:
    enqueue()
    idle.stop()
    for _ in range(5):
        idle.run_once()
    assert Task.objects.get().state == State.QUEUED
    assert Task.objects.get().epoch == 0


class Lingering(PhaseWorker):
    """Takes its time between the goodbye and the end."""

    def _leave(self) -> bool:
        left = super()._leave()
        time.sleep(0.3)
        return left


def test_no_beat_takes_a_workers_goodbye_back(idle: PhaseWorker, settings: Settings, tmp_path: Path) -> None:
    settings.HEARTBEAT_SECONDS, settings.DATA_DIR = 0.02, tmp_path
    Lingering("another", idle.engines, Options.from_settings(settings)).run(until_idle=True)
    assert Worker.objects.get(node="another").stopped_at is not None
