"""A thread for each request, as Django wants it, that is there already.

Django starts a thread for each request and another one to end it, and its loop, so every socket, waits for both to
start: on a busy machine longer than for all else. Here those that are done wait for the next request.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

Application = Callable[[dict[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[Any]]], Awaitable[Any]]

MAX_IDLE: Final = 32  # a class


class ThreadPerRequest:
    """Runs an ASGI application, each of its requests on one thread that no other request has meanwhile."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self._idle: deque[ThreadPoolExecutor] = deque()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        thread = self._idle.pop() if self._idle else ThreadPoolExecutor(1, "request")

        async def send_freely(message: dict[str, Any]) -> None:
            # No connection to the database is held while somebody reads an answer, however slowly.
            if message["type"] == "http.response.start":
                thread.submit(connections.close_all)
            await send(message)

        try:
            async with ThreadSensitiveContext(executor=thread):
                return await self.application(scope, receive, send_freely)
        finally:
            # Behind what it still does: a request may end before its work, when whoever asked has hung up. Connections
            # that it left open are closed, as they are when a thread ends.
            thread.submit(connections.close_all).add_done_callback(lambda _: self._put_back(thread))

    def _put_back(self, thread: ThreadPoolExecutor) -> None:
        if len(self._idle) < MAX_IDLE:
            self._idle.append(thread)
        else:
            thread.shutdown(wait=False)
