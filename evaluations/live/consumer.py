"""The dashboard's socket: it authenticates and forwards; what to say is in live.py, when to look in lookout.py."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from evaluations.live import sessions
from evaluations.live.hub import lookout
from evaluations.live.messages import SentState, Update
from evaluations.pages import languages

log = structlog.get_logger(__name__)

SESSION_CHECK_SECONDS: Final = 60.0
SIGN_OUT_CHECK_SECONDS: Final = 0.1
SIGN_OUT_CHECKS: Final = 30
MAX_WINDOWS: Final = 20  # of one person, in this process
SIGNED_OUT: Final = 4401  # close code: reload, and be asked to sign in


class Allowance:
    """How much a socket may be sent, since the server holds in memory whatever a page does not take.

    A page that takes nothing is cut off by the server's pings after 50 s at most. What it was sent until then is at
    most BURST and 50 s of PER_SECOND.
    """

    BURST: Final = 512 * 1024
    PER_SECOND: Final = 16 * 1024

    def __init__(self, now: float) -> None:
        self._left: float = self.BURST
        self._at = now

    def take(self, size: int, now: float) -> bool:
        """Whether so many bytes may be sent now. What is larger than any allowance waits for a full one."""
        self._left = min(self.BURST, self._left + (now - self._at) * self.PER_SECOND)
        self._at = now
        if self._left < min(size, self.BURST):
            return False
        self._left -= size
        return True


class DashboardConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """`snapshot` on connect and whenever the page asks; then `task_update`, `tasks_summary` and `phase_change`.

    Messages are numbered by `seq`. A `heartbeat` comes when there is nothing else to say.
    """

    channel_layer_alias = ""  # none: the lookout listens for all, and connecting needs no broker

    async def connect(self) -> None:
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.close(SIGNED_OUT)
            return
        if lookout.windows_of(user.pk) >= MAX_WINDOWS:
            await self.close()  # it polls, and tries again
            return
        await self.accept()
        self.user_id, self.told = user.pk, SentState(languages.of_socket(self.scope["query_string"]))
        self._allowance = Allowance(asyncio.get_running_loop().time())
        self._guard = asyncio.create_task(self._check_session())
        lookout.join(self)

    async def disconnect(self, code: int) -> None:
        lookout.leave(self)
        if guard := getattr(self, "_guard", None):
            guard.cancel()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """The page has one thing to say: "snapshot". Anything else is ignored."""
        if text_data == "snapshot":
            self.told = SentState(self.told.language)
            lookout.wake()

    async def tell(self, telling: Update) -> None:
        """Send it if there is room; otherwise a later look tells what is true by then."""
        if self._allowance.take(sum(map(len, telling.texts)), asyncio.get_running_loop().time()):
            self.told = telling.told
            for text in telling.texts:
                await self.send(text)

    def end_session(self, mark: str) -> None:
        if mark == sessions.session_mark(self.scope["session"].session_key):
            lookout.leave(self)
            self._guard.cancel()
            self._guard = asyncio.create_task(self._sign_out())

    async def _sign_out(self) -> None:
        """Not before the session is gone, which it is soon after the news: a page that reloads too early stays in."""
        for _ in range(SIGN_OUT_CHECKS):
            if not await self._may_stay():
                break
            await asyncio.sleep(SIGN_OUT_CHECK_SECONDS)
        await self.close(SIGNED_OUT)

    async def _check_session(self) -> None:
        """Sessions end without a word, too: by time, or because somebody was switched off or has a new password."""
        is_signed_in = True
        while is_signed_in:
            # Spread out: thirty pages of one class must not ask all at once.
            await asyncio.sleep(SESSION_CHECK_SECONDS * random.uniform(0.5, 1))  # noqa: S311
            is_signed_in = await self._may_stay()
        lookout.leave(self)
        await self.close(SIGNED_OUT)

    async def _may_stay(self) -> bool:
        try:
            return await sessions.may_stay(self.user_id, self.scope["session"].session_key)
        except Exception as error:
            log.warning("session_not_checked", error=repr(error))
            return True
