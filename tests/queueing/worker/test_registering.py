"""A worker that can't register leaves within a lease: whoever starts it again may start the database, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Event
from unittest.mock import Mock

import pytest
from django.db import InterfaceError, OperationalError

from queueing import gpu
from queueing.exceptions import Infrastructure
from queueing.worker import process
from queueing.worker.process import PhaseWorker

Node = Callable[..., PhaseWorker]


@pytest.fixture
def hasty(node: Node, monkeypatch: pytest.MonkeyPatch) -> PhaseWorker:
    """With a lease of a third of a second."""
    monkeypatch.setattr(process, "DATABASE_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(process, "_leave_hung", lambda: None)  # of a machine that is slow for so long: this is pytest
    worker = node()
    worker.options = replace(worker.options, lease_seconds=0.3)
    return worker


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("connection refused"),
        OperationalError("the database system is starting up"),
        InterfaceError("connection already closed"),
    ],
)
def test_a_database_that_stays_away_is_not_waited_for_without_end(
    hasty: PhaseWorker, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    register = Mock(side_effect=error)
    monkeypatch.setattr(hasty, "register", register)
    with pytest.raises(Infrastructure, match="as long as a lease"):
        hasty.run()
    assert register.call_count > 1
    with gpu.node_lock(hasty.options.lock_dir, hasty.node):
        pass  # the next worker can have the node


def test_a_call_that_hangs_ends_the_process(hasty: PhaseWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()

    def hang() -> None:
        assert ended.wait(30)
        raise OperationalError("its process has ended by now")

    monkeypatch.setattr(process, "_leave_hung", ended.set)
    monkeypatch.setattr(hasty, "register", hang)
    with pytest.raises(Infrastructure):
        hasty.run()
    assert ended.is_set()


def test_a_worker_that_is_stopped_meanwhile_leaves_in_peace(
    hasty: PhaseWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        hasty.stop()
        raise OperationalError("connection refused")

    monkeypatch.setattr(hasty, "register", refuse)
    hasty.run()
