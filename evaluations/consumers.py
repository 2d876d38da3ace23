"""The dashboard's socket: it authenticates and forwards; what to say is in live.py."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer

from evaluations import live, rows

log = structlog.get_logger(__name__)

OWN_PAUSE_SECONDS: Final = 0.25  # between two looks after news of the user's own work
QUEUE_PAUSE_SECONDS: Final = 1.0  # … after others' work moved
WATCH_SECONDS: Final = 2.0
SESSION_CHECK_SECONDS: Final = 60.0
SIGNED_OUT: Final = 4401  # close code: reload, and be asked to sign in


class Watch:
    """Looks at the database for all sockets of this process, so that they are right even while the broker is away."""

    def __init__(self) -> None:
        self._sockets: set[DashboardConsumer] = set()
        self._task: asyncio.Task[None] | None = None

    def join(self, socket: DashboardConsumer) -> None:
        self._sockets.add(socket)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def leave(self, socket: DashboardConsumer) -> None:
        self._sockets.discard(socket)
        if not self._sockets and self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        seen = None
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                now = await database_sync_to_async(rows.last_change)()
            except Exception as error:
                log.warning("watch_failed", error=repr(error))
                continue
            for socket in self._sockets if now != seen else ():
                socket.wake()
            seen = now


watch = Watch()


class DashboardConsumer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """`snapshot` on connect and whenever the page asks; then `task_update`, `tasks_summary` and `phase_change`."""

    async def connect(self) -> None:
        self._user = self.scope["user"]
        if not self._user.is_authenticated:
            await self.close(SIGNED_OUT)
            return
        # Groups first: what happens between them and the snapshot is then looked at once more, never missed.
        for group in self._groups():
            await self.channel_layer.group_add(group, self.channel_name)
        await self.accept()
        self._news = asyncio.Event()
        self._begin()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._told = live.Told()
        self._later: asyncio.TimerHandle | None = None
        self._snapshot_wanted = True
        self._looked_at = loop.time()
        self._session_checked_at = loop.time()
        self._is_signed_out = False
        self._pump = asyncio.create_task(self._serve())
        watch.join(self)
        self.wake()

    def _groups(self) -> tuple[str, ...]:
        return live.student_group(self._user.pk), live.QUEUE_GROUP

    async def disconnect(self, code: int) -> None:
        watch.leave(self)
        if pump := getattr(self, "_pump", None):
            pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pump
            for group in self._groups():
                await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """The page has one thing to say: "snapshot". Anything else is ignored."""
        if text_data == "snapshot":
            self._snapshot_wanted = True
            self.wake()

    # Messages of the groups. They are only noted here: bursts become one look.

    async def look(self, event: dict[str, Any]) -> None:
        self.wake()

    async def queue_moved(self, event: dict[str, Any]) -> None:
        if self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_at(max(self._looked_at + QUEUE_PAUSE_SECONDS, loop.time()), self.wake)

    async def session_ended(self, event: dict[str, Any]) -> None:
        if event["session"] == live.session_mark(self.scope["session"].session_key):
            self._is_signed_out = True
            self.wake()

    def wake(self) -> None:
        self._later = None
        self._news.set()

    async def _serve(self) -> None:
        """One look after another, never faster than OWN_PAUSE_SECONDS."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), SESSION_CHECK_SECONDS)
            self._news.clear()
            try:
                if not await self._may_stay():
                    await self.close(SIGNED_OUT)
                    return
                await self._look()
            except Exception as error:
                # The database may be away: the next look starts from scratch.
                log.warning("look_failed", error=repr(error))
                self._snapshot_wanted = True
            await asyncio.sleep(OWN_PAUSE_SECONDS)

    async def _look(self) -> None:
        self._looked_at = asyncio.get_running_loop().time()
        if self._snapshot_wanted:
            self._snapshot_wanted = False
            self._told = live.Told()
            await self.send_json(await database_sync_to_async(live.snapshot)(self._user, self._told))
            return
        for message in await database_sync_to_async(live.news)(self._user, self._told):
            await self.send_json(message)

    async def _may_stay(self) -> bool:
        now = asyncio.get_running_loop().time()
        if self._is_signed_out or now - self._session_checked_at < SESSION_CHECK_SECONDS:
            return not self._is_signed_out
        self._session_checked_at = now
        return bool(await database_sync_to_async(live.may_stay)(self._user.pk, self.scope["session"].session_key))
