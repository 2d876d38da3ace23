"""HTTP to a model server, from a thread that must get its answer or its error in bounded time.

httpx bounds each read, not the call: a server that sends a byte every few seconds is never late for it. So every call
runs in an event loop of its own, where a deadline and the caller's `stop` can end it at any await.
"""

from __future__ import annotations

import asyncio
import errno
import json
import ssl
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Event
from typing import Any, TypeVar

import httpx

from queueing.engines.llm.faults import unavailable
from queueing.exceptions import Interrupted, Transient

CONNECT_SECONDS = 5.0
MAX_PORT = 65535
STOP_POLL_SECONDS = 0.05
MAX_LINE_BYTES = 1024 * 1024
MAX_BODY_BYTES = 8 * 1024 * 1024  # LM Studio lists every model it has

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], *, seconds: float | None = None, stop: Event | None = None) -> T:
    """Do `work` in this thread, for at most `seconds`; None leaves it to the work.

    Raises:
        TimeoutError: it was not done in time.
        Interrupted: `stop` was set first.
    """
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(_bounded(work, seconds, stop or Event()))
    finally:
        # Not asyncio.run: it would wait for a name lookup that hangs in a thread.
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _bounded(work: Coroutine[Any, Any, T], seconds: float | None, stop: Event) -> T:
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(_set(stop))
    try:
        await asyncio.wait({task, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Interrupted if stopped.done() else TimeoutError
    finally:
        task.cancel()
        stopped.cancel()
        # Errors of an abandoned call are retrieved, so that they aren't logged as lost.
        await asyncio.gather(task, stopped, return_exceptions=True)


async def _set(stop: Event) -> None:
    while not stop.is_set():
        await asyncio.sleep(STOP_POLL_SECONDS)


def client(url: str, key: str = "") -> httpx.AsyncClient:
    """A client for one call.

    It takes no proxy from the environment: what a student said goes to the configured server and nowhere else.
    """
    if (
        httpx.URL(url).port or 0
    ) > MAX_PORT:  # httpx finds out only when it connects, and then not as one of its errors
        raise httpx.InvalidURL("there is no such port")
    return httpx.AsyncClient(
        base_url=url,
        headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        # A connection for each request: servers close idle ones without a word, at the moment one is used again, too.
        limits=httpx.Limits(max_keepalive_connections=0),
        trust_env=False,
        verify=_trusted(),
    )


@lru_cache(maxsize=1)
def _trusted() -> ssl.SSLContext:
    # The system's authorities, so a school's own counts; kept, because reading them takes longer than a local call.
    return ssl.create_default_context()


@contextmanager
def naming_faults(url: str) -> Iterator[None]:
    """What httpx raises, as Infrastructure with a message that helps."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as fault:
        raise unavailable(f"No language model server answers at {url} ({_reason(fault)}): is it running?") from fault
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as fault:
        raise unavailable(f"{url!r} is not the address of a server: {fault}.") from fault
    except httpx.TransportError as fault:
        raise unavailable(f"The language model server at {url} broke off ({_reason(fault)}).") from fault


def refused(error: BaseException) -> bool:
    """Whether the root cause is that nothing listens at the address: the server is not running."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError) or getattr(cause, "errno", None) == errno.ECONNREFUSED:
            return True
        inner = getattr(cause, "exceptions", ())
        if inner:
            return all(refused(one) for one in inner)
        cause = cause.__cause__ or cause.__context__
    return False


def _reason(fault: Exception) -> str:
    return str(fault) or type(fault).__name__


async def lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body's lines as they come, without their ends and without the empty ones.

    Not httpx's own: it also breaks lines at U+2028 and its like, which a JSON string may hold as they are.
    """
    rest = b""
    async for chunk in response.aiter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line := line.strip():
                yield line
        if len(rest) > MAX_LINE_BYTES:
            raise Transient("The language model server sent a line without end.")
    if rest := rest.strip():
        yield rest


async def body(response: httpx.Response) -> str:
    """The whole body of a streamed response, cut at MAX_BODY_BYTES."""
    read = b""
    async for chunk in response.aiter_bytes():
        read += chunk
        if len(read) > MAX_BODY_BYTES:
            break
    return read[:MAX_BODY_BYTES].decode("utf-8", "replace")


def json_object(text: str | bytes) -> dict[str, Any]:
    """What a server reports about itself or its work (not what a model wrote: that is `answers.check`).

    Raises:
        Infrastructure: it is not a JSON object, so this is not the kind of server it was taken for.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise unavailable(f"The server's reply is not the protocol's: {text[:200]!r}.")
    return value
