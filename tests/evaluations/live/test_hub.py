"""The lookout by itself, with windows and looks that are made up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from evaluations.live import hub, messages
from evaluations.live.hub import DashboardHub
from evaluations.live.messages import SentState, Update

LOOK_SECONDS = 0.1


@dataclass(eq=False)
class Window:
    user_id: int = 1
    told: SentState = field(default_factory=SentState)
    heard: list[str] = field(default_factory=list)

    async def tell(self, telling: Update) -> None:
        self.told = telling.told
        self.heard += telling.texts

    def end_session(self, mark: str) -> None: ...


async def test_however_long_a_look_takes_half_of_the_time_is_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.0)
    looks: list[float] = []
    watched, window = DashboardHub(), Window()

    def look(audience: Sequence[object], now: float) -> list[None]:
        looks.append(now)
        watched.wake()  # there is always more
        time.sleep(LOOK_SECONDS)
        return [None] * len(audience)

    monkeypatch.setattr(messages, "look", look)
    watched.join(window)
    await asyncio.sleep(15 * LOOK_SECONDS)
    watched.leave(window)
    assert 0 < len(looks) <= 8


async def test_what_was_found_before_a_page_asked_for_everything_is_not_told_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched, window = DashboardHub(), Window()
    before = SentState(number=7)
    window.told = before

    def look(audience: Sequence[tuple[int, SentState]], now: float) -> list[Update]:
        if audience[0][1] is before:
            window.told = SentState()  # as when the page says "snapshot"
            watched.wake()
            return [Update(("the eighth",), SentState(number=8))]
        return [Update(("everything",), SentState(number=1))]

    monkeypatch.setattr(messages, "look", look)
    watched.join(window)
    async with asyncio.timeout(10):
        while not window.heard:
            await asyncio.sleep(0.01)
    watched.leave(window)
    assert window.heard == ["everything"]
