"""What an idle worker queries, and what a stopping one leaves alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from queueing.engines import build
from queueing.models import Task, Worker
from queueing.report import samples
from queueing.states import State
from queueing.worker.background import watchdog
from queueing.worker.background.heartbeat import Heartbeat
from queueing.worker.loop import IDLE_RESTS, WorkLoop
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


def test_an_idle_worker_asks_little_of_the_database(idle: WorkLoop) -> None:
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

    def look() -> None:
        watchdog.look(idle.node_facts)

    look()  # that of the first time, which asks for what changes in hours
    per_round, per_heartbeat, per_upkeep, per_look, per_sample = (
        statements(idle.run_once, ROUNDS),
        statements(heartbeat._send),
        statements(keep_up),
        statements(look),
        statements(lambda: samples.take(idle.node_facts())),
    )
    assert per_round == 1
    # The shortest that a rest and the time between two upkeeps can be: `rest`, `_keep_up`.
    shortest_rest, shortest_upkeep = settings.POLL_SECONDS * 0.8, settings.LEASE_SECONDS / 2 * 0.8
    others = {
        "heartbeat": 60 * per_heartbeat / settings.HEARTBEAT_SECONDS,
        "upkeep": 60 * per_upkeep / shortest_upkeep,
        "alerts": 60 * per_look / settings.ALERT_SECONDS,
        "sample": per_sample,
    }
    deaf = 60 * per_round / shortest_rest + sum(others.values())
    hears = 60 * per_round / shortest_rest / IDLE_RESTS + sum(others.values())
    assert deaf <= 135, others
    assert hears <= 80, others


class CountedRests:
    """In place of the event that ends a rest: never, but for what it is told."""

    def __init__(self) -> None:
        self.rests = 0
        self.woken_at = 0

    def wait(self, seconds: float) -> bool:
        self.rests += 1
        return self.rests == self.woken_at

    def clear(self) -> None:
        pass


@pytest.fixture
def rests(idle: WorkLoop, monkeypatch: pytest.MonkeyPatch) -> CountedRests:
    counted = CountedRests()
    monkeypatch.setattr(idle.stopping, "wake", counted)
    return counted


def test_an_idle_worker_that_hears_of_new_work_polls_more_seldom(idle: WorkLoop, rests: CountedRests) -> None:
    idle.run_once()
    idle.rest(hears=True)
    assert rests.rests == IDLE_RESTS
    idle.rest(hears=False)
    assert rests.rests == IDLE_RESTS + 1


def test_what_it_hears_ends_its_rest(idle: WorkLoop, rests: CountedRests) -> None:
    idle.run_once()
    rests.woken_at = 1
    idle.rest(hears=True)
    assert rests.rests == 1


def test_the_gpu_is_looked_at_as_often_as_ever(
    idle: WorkLoop, rests: CountedRests, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    monkeypatch.setattr(idle.watch, "sample", looks.append)
    for _ in range(2):
        idle.run_once()
        idle.rest(hears=True)
    assert len(looks) == rests.rests


def test_a_worker_that_waits_for_somebodys_task_polls_as_ever(
    idle: WorkLoop, rests: CountedRests, enqueue: Callable[..., Task]
) -> None:
    """Its lease may end, or its delay, and nobody says so."""
    enqueue()
    Task.objects.update(not_before=timezone.now() + timedelta(seconds=5))
    idle.run_once()
    idle.rest(hears=True)
    assert rests.rests == 1


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
