"""The hub by itself: fake sockets, a broker in memory, a fake reading of the database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from channels.layers import InMemoryChannelLayer

from evaluations.live import hub, messages
from evaluations.live.hub import DashboardHub
from evaluations.live.messages import SentState, Update

READ_SECONDS = 0.1


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "get_channel_layer", InMemoryChannelLayer)


@dataclass(eq=False)
class FakeSocket:
    user_id: int = 1
    sent: SentState = field(default_factory=SentState)
    received: list[str] = field(default_factory=list)

    async def send_update(self, update: Update) -> None:
        self.sent = update.sent
        self.received += update.texts

    def end_session(self, mark: str) -> None: ...


async def test_however_long_a_refresh_takes_half_of_the_time_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.0)
    refreshes: list[float] = []
    hub_under_test, socket = DashboardHub(), FakeSocket()

    def find_updates(audience: Sequence[object], now: float) -> list[None]:
        refreshes.append(now)
        hub_under_test.wake()  # something changes all the time
        time.sleep(READ_SECONDS)
        return [None] * len(audience)

    monkeypatch.setattr(messages, "find_updates", find_updates)
    hub_under_test.join(socket)
    await asyncio.sleep(15 * READ_SECONDS)
    hub_under_test.leave(socket)
    assert 0 < len(refreshes) <= 8


async def test_what_was_found_before_a_page_asked_for_everything_is_not_sent_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub_under_test, socket = DashboardHub(), FakeSocket()
    before = SentState(number=7)
    socket.sent = before

    def find_updates(audience: Sequence[tuple[int, SentState]], now: float) -> list[Update]:
        if audience[0][1] is before:
            socket.sent = SentState()  # as when the page sends "snapshot"
            hub_under_test.wake()
            return [Update(("the eighth",), SentState(number=8))]
        return [Update(("everything",), SentState(number=1))]

    monkeypatch.setattr(messages, "find_updates", find_updates)
    hub_under_test.join(socket)
    async with asyncio.timeout(10):
        while not socket.received:
            await asyncio.sleep(0.01)
    hub_under_test.leave(socket)
    assert socket.received == ["everything"]
