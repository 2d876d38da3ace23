"""What an idle worker queries, and what a stopping one leaves alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from queueing.engines import build
from queueing.models import Task, Worker
from queueing.states import State
from queueing.worker.background.heartbeat import Heartbeat
from queueing.worker.loop import WorkLoop
from queueing.worker.options import Options
from queueing.worker.process import PhaseWorker

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 20


@pytest.fixture
def idle(settings: Settings) -> Iterator[WorkLoop]:
    """A worker with the settings of a lab, and simulated engines, that has found nothing to do."""
    settings.STT_ENGINE = settings.LLM_PROTOCOL = "simulated"
    settings.BATCH_MAX_WAIT_SECONDS = 0.01
    worker = PhaseWorker("n", build.from_settings(settings), Options.from_settings(settings))
    loop = worker.register()
    loop._keep_up()  # the duties of every few minutes are done
    yield loop
    worker.engines.speech.unload()


def test_it_says_what_it_does_now_and_then_by_ids(idle: WorkLoop, enqueue: Callable[..., Task]) -> None:
    def said() -> list[MutableMapping[str, Any]]:
        with structlog.testing.capture_logs() as lines:
            idle._poll()
        return [line for line in lines if line["event"] == "status"]

    enqueue()
    (line,) = said()
    assert (line["node"], line["running"], line["due"], line["live"]) == ("n", [], 1, 1)
    assert said() == [], "not at every poll"
    idle._next_status = 0.0
    assert len(said()) == 1


def statements(of: Callable[[], object], times: int = 1) -> float:
    """How many each call costs, transactions included."""
    with CaptureQueriesContext(connection) as seen:
        for _ in range(times):
            of()
    return len(seen) / times


def test_an_idle_worker_queries_the_database_less_than_twice_a_second(idle: WorkLoop) -> None:
    heartbeat = Heartbeat(
        idle.row,
        every_seconds=settings.HEARTBEAT_SECONDS,
        lease_seconds=settings.LEASE_SECONDS,
        held=idle.jobs.held,
        on_tasks_lost=idle.jobs.stop,
        on_lost=idle.stopping.request,
    )

    def keep_up() -> None:
        idle._next_upkeep = 0.0
        idle._keep_up()

    per_round, per_heartbeat, per_upkeep = (
        statements(idle.run_once, ROUNDS),
        statements(heartbeat._send),
        statements(keep_up),
    )
    assert per_round == 1
    # The shortest that a rest and the time between two upkeeps can be: `rest`, `_keep_up`.
    shortest_rest, shortest_upkeep = settings.POLL_SECONDS * 0.8, settings.LEASE_SECONDS / 2 * 0.8
    per_second = per_round / shortest_rest + per_heartbeat / settings.HEARTBEAT_SECONDS + per_upkeep / shortest_upkeep
    assert per_second <= 2


def test_a_cancelled_task_is_stopped_by_the_next_poll(
    idle: WorkLoop, enqueue: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
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


def test_a_worker_that_was_stopped_claims_nothing_more(idle: WorkLoop, enqueue: Callable[..., Task]) -> None:
    enqueue()
    idle.stopping.request()
    for _ in range(5):
        idle.run_once()
    assert Task.objects.get().state == State.QUEUED
    assert Task.objects.get().epoch == 0


class Lingering(PhaseWorker):
    """Takes its time between the goodbye and the end."""

    def _leave(self, loop: WorkLoop) -> bool:
        left = super()._leave(loop)
        time.sleep(0.3)
        return left


def test_no_heartbeat_takes_a_workers_goodbye_back(idle: WorkLoop, settings: Settings, tmp_path: Path) -> None:
    settings.HEARTBEAT_SECONDS, settings.DATA_DIR = 0.02, tmp_path
    Lingering("another", build.from_settings(settings), Options.from_settings(settings)).run(until_idle=True)
    assert Worker.objects.get(node="another").stopped_at is not None
