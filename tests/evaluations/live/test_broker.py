"""The broker: equal messages are sent once, or again if published after that; a failed layer rests for a while."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest

from evaluations.live import broker as module
from evaluations.live.broker import Broker, Message

REFRESH: Message = {"type": "refresh"}


def test_what_is_said_while_it_is_being_sent_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hub may have read the database already when the second change came."""
    sent: list[Message] = []
    sending, may_end = threading.Event(), threading.Event()

    async def send(messages: Iterable[Message]) -> None:
        sent.extend(messages)
        sending.set()
        may_end.wait(10)

    monkeypatch.setattr(module, "_send", send)
    broker = Broker()
    broker.publish(dict(REFRESH))
    assert sending.wait(10)
    broker.publish(dict(REFRESH))
    may_end.set()
    broker.flush(10)
    assert sent == [REFRESH, REFRESH]


def test_a_broker_that_failed_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Message] = []

    async def send(messages: Iterable[Message]) -> None:
        tried.extend(messages)
        raise ConnectionError

    monkeypatch.setattr(module, "_send", send)
    broker = Broker()
    for _ in range(3):
        broker.publish(dict(REFRESH))
        broker.flush(10)
    assert tried == [REFRESH]
    broker.quiet_until = 0.0
    broker.publish(dict(REFRESH))
    broker.flush(10)
    assert len(tried) == 2
