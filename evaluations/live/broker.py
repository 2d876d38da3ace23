"""Sends news to the sockets' processes. A message only says "look", so a lost one costs nothing but time."""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Iterable
from threading import Condition, Thread
from typing import Any, Final

import structlog
from channels.layers import get_channel_layer

log = structlog.get_logger(__name__)

NEWS_GROUP: Final = "news"
SEND_TIMEOUT_SECONDS: Final = 1.0
PAUSE_AFTER_FAILURE_SECONDS: Final = 5.0
COALESCE_SECONDS: Final = 0.02  # what happens within it is told once

Message = dict[str, Any]


class Broker:
    """Sends to every process that has sockets, on a thread of its own: neither the queue nor a request waits for it.

    What is said again before it was sent is sent once: a message only asks to look.
    """

    def __init__(self) -> None:
        self.quiet_until = 0.0  # of the monotonic clock
        self._waiting: dict[str, Message] = {}
        self._news = Condition()
        self._thread: Thread | None = None

    def publish(self, message: Message) -> None:
        """Whatever does not get through is found by those who look."""
        with self._news:
            self._waiting[str(sorted(message.items()))] = message
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._send_on, name="live", daemon=True)
                self._thread.start()
            self._news.notify_all()

    def flush(self, seconds: float = SEND_TIMEOUT_SECONDS) -> None:
        """Wait until all that was said is sent, or given up."""
        with self._news:
            self._news.wait_for(lambda: not self._waiting, seconds)

    def _send_on(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                with self._news:
                    self._news.wait_for(lambda: bool(self._waiting))
                time.sleep(COALESCE_SECONDS)
                with self._news:
                    batch = dict(self._waiting)
                self._send(runner, batch.values())
                with self._news:
                    for key, message in batch.items():
                        if self._waiting[key] is message:
                            del self._waiting[key]
                    self._news.notify_all()

    def _send(self, runner: asyncio.Runner, messages: Iterable[Message]) -> None:
        if time.monotonic() < self.quiet_until:
            return
        try:
            runner.run(_send(messages))
        except Exception as error:
            self.quiet_until = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
            log.warning("news_not_sent", error=repr(error))


broker = Broker()
atexit.register(lambda: broker.flush())


async def _send(messages: Iterable[Message]) -> None:
    layer = get_channel_layer()
    assert layer is not None
    async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
        for message in messages:
            await layer.group_send(NEWS_GROUP, message)
