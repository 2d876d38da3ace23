"""A heartbeat that can't be sent is noticed, whether it fails or hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from queueing.models import Worker
from queueing.worker.background.heartbeat import Heartbeat


def heartbeat(beat: Callable[[], bool], lost: threading.Event, monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    monkeypatch.setattr(Heartbeat, "_send", lambda self: beat())
    return Heartbeat(
        Worker(node="n", pid=1),
        every_seconds=0.05,
        lease_seconds=0.6,
        held=set,
        on_tasks_lost=lambda claims: None,
        on_lost=lost.set,
    )


@pytest.mark.django_db
def test_heartbeats_that_fail_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = threading.Event()
    with heartbeat(lambda: False, lost, monkeypatch):
        assert lost.wait(10)


@pytest.mark.django_db
def test_a_heartbeat_that_hangs_is_noticed_and_keeps_nobody_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    lost, for_ever = threading.Event(), threading.Event()
    with heartbeat(lambda: for_ever.wait(60), lost, monkeypatch):
        assert lost.wait(10)
    for_ever.set()


@pytest.mark.django_db
def test_a_worker_whose_heartbeat_is_sent_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lost, beats = threading.Event(), threading.Semaphore(0)

    def beat() -> bool:
        beats.release()
        return True

    with heartbeat(beat, lost, monkeypatch):
        for _ in range(15):  # longer than it would be trusted in silence
            assert beats.acquire(timeout=10)
    assert not lost.is_set()
