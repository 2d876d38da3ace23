"""The dashboard's socket: authentication and sending. What is sent is in messages.py, when in hub.py."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from typing import Any, Final
from urllib.parse import parse_qs

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from evaluations.access.sessions import is_owner
from evaluations.live import answers, messages, sessions
from evaluations.live.answers import AnswerWatch, answer_hub
from evaluations.live.hub import dashboard_hub
from evaluations.live.messages import SentState, Update
from evaluations.pages import languages

log = structlog.get_logger(__name__)

SESSION_CHECK_SECONDS: Final = 60.0
SIGN_OUT_CHECK_SECONDS: Final = 0.1
SIGN_OUT_CHECKS: Final = 30
FOLLOW: Final = "answer "
MAX_FOLLOWED: Final = 8  # answers at once: more than a student may have under way
MAX_WINDOWS: Final = 20  # of one user, in this process
SIGNED_OUT: Final = 4401  # close code: the page polls, and is told why by a 401


class Allowance:
    """A token bucket, in bytes: the server holds in memory whatever a page does not read.

    A page that reads nothing is cut off by the server's pings after 50 s at most. What it was sent until then is at
    most BURST and 50 s of PER_SECOND.
    """

    BURST: Final = 512 * 1024  # bytes
    PER_SECOND: Final = 16 * 1024  # bytes

    def __init__(self, now: float) -> None:
        self._left: float = self.BURST
        self._at = now

    def take(self, size: int, now: float) -> bool:
        """Whether `size` bytes may be sent at `now`, which uses them up. More than BURST needs a full bucket."""
        self._left = min(self.BURST, self._left + (now - self._at) * self.PER_SECOND)
        self._at = now
        if self._left < min(size, self.BURST):
            return False
        self._left -= size
        return True


class DashboardConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """`snapshot` on connect and whenever the page asks; then `task_update`, `tasks_summary`, `phase_change` and
    `processing_status`.

    Messages are numbered by `seq`. A `heartbeat` is sent when nothing changed for a while.

    A page that says "answer ID" is sent the answer to that question of its own as it is written: `answer` messages,
    without a number, each with all of it so far.
    """

    channel_layer_alias = ""  # none: the hub listens for all sockets, and connecting needs no broker

    async def connect(self) -> None:
        user = self.scope["user"]
        owner = parse_qs(self.scope["query_string"].decode("latin1")).get("user", [""])[0]
        if not user.is_authenticated or not is_owner(owner, user):
            await self.close(SIGNED_OUT)
            return
        if dashboard_hub.windows_of(user.pk) >= MAX_WINDOWS:
            await self.close()  # it polls, and tries again
            return
        await self.accept()
        language, zone = (
            languages.of_socket(self.scope["query_string"]),
            languages.zone_of(self.scope.get("cookies", {})),
        )
        self.user_id, self.sent = user.pk, SentState(language, zone=zone)
        self._allowance = Allowance(asyncio.get_running_loop().time())
        self._followed: dict[uuid.UUID, asyncio.Task[None]] = {}
        self._guard = asyncio.create_task(self._check_session())
        dashboard_hub.join(self)

    async def disconnect(self, code: int) -> None:
        dashboard_hub.leave(self)
        if guard := getattr(self, "_guard", None):
            guard.cancel()
            self._follow_nothing()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any) -> None:
        """A page sends "snapshot", to get everything again, or "answer ID". Anything else is ignored."""
        if text_data == "snapshot":
            self.sent = SentState(self.sent.language, zone=self.sent.zone)
            dashboard_hub.wake()
        elif text_data and text_data.startswith(FOLLOW):
            with contextlib.suppress(ValueError):
                await self._follow(uuid.UUID(text_data.removeprefix(FOLLOW)))

    async def _follow(self, question_id: uuid.UUID) -> None:
        self._followed = {key: task for key, task in self._followed.items() if not task.done()}
        if question_id in self._followed or len(self._followed) >= MAX_FOLLOWED:
            return
        if await database_sync_to_async(answers.is_of)(question_id, self.user_id):
            watch = AnswerWatch(question_id, self.user_id)
            self._followed[question_id] = asyncio.create_task(self._send_answer(watch))

    async def _send_answer(self, watch: AnswerWatch) -> None:
        """Until it has ended. What the allowance does not permit comes with a later piece, or by the page's poll."""
        answer_hub.join(watch)
        try:
            while True:
                found = await watch.next()
                text = messages.answer(found)
                if self._allowance.take(len(text), asyncio.get_running_loop().time()):
                    await self.send(text)
                if found.has_ended:
                    return
        finally:
            answer_hub.leave(watch)

    def _follow_nothing(self) -> None:
        for task in self._followed.values():
            task.cancel()

    async def send_update(self, update: Update) -> None:
        """Send it if the allowance permits; otherwise a later refresh sends what is true by then."""
        if self._allowance.take(sum(map(len, update.texts)), asyncio.get_running_loop().time()):
            self.sent = update.sent
            for text in update.texts:
                await self.send(text)

    def end_session(self, mark: str) -> None:
        if mark == sessions.session_mark(self.scope["session"].session_key):
            dashboard_hub.leave(self)
            self._follow_nothing()
            self._guard.cancel()
            self._guard = asyncio.create_task(self._sign_out())

    async def _sign_out(self) -> None:
        """Close once the session is gone, soon after the signal: a page that reloads before that stays signed in."""
        for _ in range(SIGN_OUT_CHECKS):
            if not await self._may_stay():
                break
            await asyncio.sleep(SIGN_OUT_CHECK_SECONDS)
        await self.close(SIGNED_OUT)

    async def _check_session(self) -> None:
        """Sessions end without a signal, too: by time, or because a user was deactivated or has a new password."""
        is_signed_in = True
        while is_signed_in:
            # Spread out: thirty pages of one class must not ask all at once.
            await asyncio.sleep(SESSION_CHECK_SECONDS * random.uniform(0.5, 1))  # noqa: S311
            is_signed_in = await self._may_stay()
        dashboard_hub.leave(self)
        await self.close(SIGNED_OUT)

    async def _may_stay(self) -> bool:
        try:
            return await sessions.may_stay(self.user_id, self.scope["session"].session_key)
        except Exception as error:
            log.warning("session_not_checked", error=repr(error))
            return True
