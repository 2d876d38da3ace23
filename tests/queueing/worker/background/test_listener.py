"""New work ends a worker's rest, by a notification that may get lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

import psycopg
import pytest
from django.db import connection, transaction

from queueing.actions import cancel, retry
from queueing.exceptions import Permanent
from queueing.models import Pause, Phase, Task
from queueing.models.connections import WORK_CHANNEL, wake_workers
from queueing.states import PhaseName, State
from queueing.worker.background import listener
from queueing.worker.background.listener import WorkListener
from tests.queueing.worker.working import Enqueue

pytestmark = pytest.mark.django_db(transaction=True)

SOON = 10.0  # the bound only ends a broken test


class Woken:
    """Whether it was woken since it was last asked."""

    def __init__(self) -> None:
        self.event = Event()

    def __call__(self) -> bool:
        came = self.event.wait(SOON)
        self.event.clear()
        return came

    def none(self) -> bool:
        return not self.event.wait(0.2)


@pytest.fixture
def woken() -> Iterator[Woken]:
    woken = Woken()
    with WorkListener(woken.event.set) as listening:
        assert woken(), "it looks once for what came before it listened"
        assert listening.hears
        yield woken


def pause(_: Task) -> object:
    return Pause.objects.start(Pause.What.EVERYTHING, by="Ann", reason="a talk")


def drained(task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(state=State.RUNNING, lease_until="2100-01-01T00:00Z", epoch=1)
    task.refresh_from_db()


def test_what_is_handed_in_wakes_the_worker_when_it_is_committed(woken: Woken, enqueue: Enqueue) -> None:
    with transaction.atomic():
        enqueue()
        assert woken.none()
    assert woken()


def test_what_is_rolled_back_wakes_nobody(woken: Woken) -> None:
    with transaction.atomic():
        wake_workers()
        transaction.set_rollback(True)
    assert woken.none()


@pytest.mark.parametrize(
    "act",
    [
        lambda task: cancel(tasks=[task], by="Ann"),
        pause,
        lambda task: Phase.request(PhaseName.EVAL, node="n", hold_seconds=5, by="Ann"),
    ],
    ids=["cancel", "pause", "switch"],
)
def test_what_a_person_decides_wakes_it(woken: Woken, enqueue: Enqueue, act: Callable[[Task], object]) -> None:
    Phase.objects.create(node="n")
    task = enqueue()
    assert woken()
    act(task)
    assert woken()


def test_work_that_is_tried_again_and_a_pause_that_ends_wake_it(woken: Woken, enqueue: Enqueue) -> None:
    task = enqueue()
    cancel(tasks=[task], by="Ann")
    pause(task)
    assert woken()
    time.sleep(0.05)
    woken.event.clear()
    retry(tasks=[Task.objects.get(pk=task.pk)], by="Ann")
    assert woken()
    Pause.objects.all().end(by="Ann")
    assert woken()


def test_what_a_worker_does_itself_wakes_nobody(woken: Woken, enqueue: Enqueue) -> None:
    task = enqueue()
    assert woken()
    drained(task)
    task.fail(Permanent("no sound", code="no_sound"), took=0.1)
    Phase.objects.create(node="n").note_plan("alone")
    assert woken.none()


def test_a_connection_that_breaks_is_made_again_and_nothing_is_missed(
    woken: Woken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "RECONNECT_SECONDS", 0.05)
    for _ in range(3):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = %s", [f"LISTEN {WORK_CHANNEL}"]
            )
            assert cursor.fetchall() == [(True,)]
        assert woken(), "what came meanwhile would be missed"
        wake_workers()
        assert woken()


def test_a_pooler_that_passes_nothing_on_leaves_it_to_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    # As PgBouncer does with `pool_mode = transaction`: LISTEN is answered, in a session that somebody else has next.
    monkeypatch.setattr(listener, "_payloads", lambda session: [])
    monkeypatch.setattr(listener, "PROOF_SECONDS", 0.2)
    woken, deaf = Woken(), Event()
    monkeypatch.setattr(listener, "log", type("Log", (), {"info": lambda *_, **__: deaf.set()}))
    with WorkListener(woken.event.set) as listening:
        assert deaf.wait(SOON)
        assert not listening.hears
        wake_workers()
        assert woken.none()
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
            assert cursor.fetchone() == (0,)


def test_it_ends_at_once_whatever_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_session", lambda: (_ for _ in ()).throw(psycopg.OperationalError("gone")))
    monkeypatch.setattr(listener, "RECONNECT_SECONDS", SOON)
    with WorkListener(Event().set) as listening:
        time.sleep(0.05)
    assert not listening._thread.is_alive()
