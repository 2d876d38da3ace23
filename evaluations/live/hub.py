"""Looks at the database for all dashboards of this process at once, and tells each what is new to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from evaluations.live import messages
from evaluations.live.broker import NEWS_GROUP
from evaluations.live.messages import SentState, Update

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.25  # between two looks, whatever happens
WATCH_SECONDS: Final = 2.0  # … without any news: so long may the broker's absence hide something


class DashboardSocket(Protocol):
    """One open dashboard."""

    user_id: int
    told: SentState

    async def tell(self, telling: Update) -> None: ...

    def end_session(self, mark: str) -> None:
        """The session named by `mark` is over: if it is this socket's, close."""


class DashboardHub:
    """One for all, so that three hundred open pages cost one look and not three hundred.

    News only say when to look. Without any it looks all the same, so pages are right while the broker is away.
    """

    def __init__(self) -> None:
        self._sockets: set[DashboardSocket] = set()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._news = asyncio.Event()

    def join(self, socket: DashboardSocket) -> None:
        self._sockets.add(socket)
        if all(task.done() for task in self._tasks):
            self._news = asyncio.Event()
            self._tasks = (asyncio.create_task(self._look_on()), asyncio.create_task(self._listen()))
        self.wake()

    def leave(self, socket: DashboardSocket) -> None:
        self._sockets.discard(socket)
        if not self._sockets:
            for task in self._tasks:
                task.cancel()
            self._tasks = ()

    def windows_of(self, user_id: int) -> int:
        return sum(socket.user_id == user_id for socket in self._sockets)

    def wake(self) -> None:
        self._news.set()

    async def _look_on(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), WATCH_SECONDS)
            self._news.clear()
            began = clock()
            try:
                await self._look(began)
            except Exception as error:
                # The database may be away. Nobody is told anything, not even a heartbeat: the pages say so.
                log.warning("look_failed", error=repr(error))
            # However large the class, half of the time is left to everything else.
            await asyncio.sleep(max(PAUSE_SECONDS, clock() - began))

    async def _look(self, now: float) -> None:
        sockets = list(self._sockets)
        audience = [(socket.user_id, socket.told) for socket in sockets]
        tellings = await database_sync_to_async(messages.look)(audience, now)
        for socket, (_, told), telling in zip(sockets, audience, tellings, strict=True):
            # One that asked for everything meanwhile gets that at the next look.
            if telling is not None and socket.told is told:
                await self._tell(socket, telling)
                await asyncio.sleep(0)  # three hundred in one go would hold up everybody else

    async def _tell(self, socket: DashboardSocket, telling: Update) -> None:
        try:
            await socket.tell(telling)
        except Exception as error:
            log.warning("socket_not_told", error=repr(error))
            self.leave(socket)

    async def _listen(self) -> None:
        layer = get_channel_layer()
        assert layer is not None
        while True:
            try:
                await self._hear_on(layer)
            except Exception as error:
                log.warning("news_not_heard", error=repr(error))
                with contextlib.suppress(Exception):
                    await layer.flush()
                await asyncio.sleep(WATCH_SECONDS)

    async def _hear_on(self, layer: Any) -> None:
        ear = await layer.new_channel()
        try:
            await layer.group_add(NEWS_GROUP, ear)
            while True:
                self._hear(await layer.receive(ear))
        finally:
            with contextlib.suppress(Exception):  # the layer forgets the channel by itself, but not its group
                await layer.group_discard(NEWS_GROUP, ear)

    def _hear(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "session.ended":
            for socket in list(self._sockets):  # those that it ends leave
                socket.end_session(message["session"])
        else:
            self.wake()


lookout = DashboardHub()
