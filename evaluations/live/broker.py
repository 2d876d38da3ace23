"""Notifies the processes that have sockets. A message only says that something changed: a lost one costs time."""

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

UPDATES_GROUP: Final = "updates"
SEND_TIMEOUT_SECONDS: Final = 1.0
PAUSE_AFTER_FAILURE_SECONDS: Final = 5.0
COALESCE_SECONDS: Final = 0.02  # equal messages within it are sent once

Message = dict[str, Any]


class Broker:
    """Sends to every process that has sockets, on a thread of its own: neither the queue nor a request waits for it.

    A message that is published again before it was sent is sent once: it only asks to read the database.
    """

    def __init__(self) -> None:
        self.quiet_until = 0.0  # monotonic clock; nothing is sent before
        self._pending: dict[str, Message] = {}
        self._changed = Condition()
        self._thread: Thread | None = None

    def publish(self, message: Message) -> None:
        """Queue a message. One that is lost is made up for by the hubs, which read the database without notice, too."""
        with self._changed:
            self._pending[str(sorted(message.items()))] = message
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._send_forever, name="live", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, seconds: float = SEND_TIMEOUT_SECONDS) -> None:
        """Wait until everything published is sent or dropped, for at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._pending, seconds)

    def _send_forever(self) -> None:
        with asyncio.Runner() as runner:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: bool(self._pending))
                time.sleep(COALESCE_SECONDS)
                with self._changed:
                    batch = dict(self._pending)
                self._send(runner, batch.values())
                with self._changed:
                    for key, message in batch.items():
                        if self._pending[key] is message:
                            del self._pending[key]
                    self._changed.notify_all()

    def _send(self, runner: asyncio.Runner, messages: Iterable[Message]) -> None:
        if time.monotonic() < self.quiet_until:
            return
        try:
            runner.run(_send(messages))
        except Exception as error:
            self.quiet_until = time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS
            log.warning("update_not_sent", error=repr(error))


broker = Broker()
atexit.register(lambda: broker.flush())


async def _send(messages: Iterable[Message]) -> None:
    layer = get_channel_layer()
    assert layer is not None
    async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
        for message in messages:
            await layer.group_send(UPDATES_GROUP, message)
