"""Reads the database for all dashboards of this process at once, and sends each what has changed for it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Generic, Protocol, TypeVar

import structlog
from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from evaluations.live import messages
from evaluations.live.broker import UPDATES_GROUP
from evaluations.live.messages import SentState, Update

log = structlog.get_logger(__name__)

PAUSE_SECONDS: Final = 0.25  # between two refreshes, whatever happens
WATCH_SECONDS: Final = 2.0  # … without any notice: for at most so long an absent broker hides a change


class DashboardSocket(Protocol):
    """One open dashboard."""

    user_id: int
    sent: SentState

    async def send_update(self, update: Update) -> None: ...

    def end_session(self, mark: str) -> None:
        """The session named by `mark` is over: if it is this socket's, close."""


T = TypeVar("T")


class Hub(ABC, Generic[T]):
    """One per process, so that three hundred who wait for news cost one reading of the database and not three hundred.

    Notices of the broker only say when to refresh. Without any it refreshes all the same, so readers are right while
    the broker is away.
    """

    pause_seconds: ClassVar[float | None] = None  # None: PAUSE_SECONDS
    watch_seconds: ClassVar[float | None] = None  # None: WATCH_SECONDS

    def __init__(self) -> None:
        self.members: set[T] = set()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._changed = asyncio.Event()

    def join(self, member: T) -> None:
        self.members.add(member)
        if all(task.done() for task in self._tasks):
            self._changed = asyncio.Event()
            self._tasks = (
                asyncio.create_task(self._refresh_forever()),
                asyncio.create_task(self._listen_forever()),
            )
        self.wake()

    def leave(self, member: T) -> None:
        self.members.discard(member)
        if not self.members:
            for task in self._tasks:
                task.cancel()
            self._tasks = ()

    def wake(self) -> None:
        self._changed.set()

    async def _refresh_forever(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self.watch_seconds or WATCH_SECONDS)
            self._changed.clear()
            began = clock()
            try:
                await self._refresh(began)
            except Exception as error:
                # The database may be away. Nothing is sent, not even a heartbeat, so the pages show how old they are.
                log.warning("refresh_failed", error=repr(error))
            # However large the class, half of the time is left to everything else.
            await asyncio.sleep(max(self.pause_seconds or PAUSE_SECONDS, clock() - began))

    @abstractmethod
    async def _refresh(self, now: float) -> None:
        """Read, and tell each member what is new to it."""

    @abstractmethod
    def _handle(self, message: Mapping[str, Any]) -> None:
        """A message of the broker."""

    async def _listen_forever(self) -> None:
        layer = get_channel_layer()
        assert layer is not None
        while True:
            try:
                await self._listen(layer)
            except Exception as error:
                log.warning("channel_lost", error=repr(error))
                with contextlib.suppress(Exception):
                    await layer.flush()
                await asyncio.sleep(WATCH_SECONDS)

    async def _listen(self, layer: Any) -> None:
        channel = await layer.new_channel()
        try:
            await layer.group_add(UPDATES_GROUP, channel)
            while True:
                self._handle(await layer.receive(channel))
        finally:
            with contextlib.suppress(Exception):  # the layer forgets the channel by itself, but not its group
                await layer.group_discard(UPDATES_GROUP, channel)


class DashboardHub(Hub[DashboardSocket]):
    """Of the open dashboards."""

    def windows_of(self, user_id: int) -> int:
        return sum(socket.user_id == user_id for socket in self.members)

    async def _refresh(self, now: float) -> None:
        sockets = list(self.members)
        audience = [(socket.user_id, socket.sent) for socket in sockets]
        updates = await database_sync_to_async(messages.find_updates)(audience, now)
        for socket, (_, sent), update in zip(sockets, audience, updates, strict=True):
            # One that asked for everything meanwhile gets that at the next refresh.
            if update is not None and socket.sent is sent:
                await self._send(socket, update)
                await asyncio.sleep(0)  # three hundred in one go would block everything else

    async def _send(self, socket: DashboardSocket, update: Update) -> None:
        try:
            await socket.send_update(update)
        except Exception as error:
            log.warning("socket_not_updated", error=repr(error))
            self.leave(socket)

    def _handle(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "session.ended":
            for socket in list(self.members):  # those that it ends leave
                socket.end_session(message["session"])
        elif message["type"] == "operation.skipped":
            for socket in self.members:
                socket.sent = socket.sent.without_processing(uuid.UUID(message["submission"]))
            self.wake()
        elif message["type"] == "refresh":
            self.wake()


dashboard_hub = DashboardHub()
