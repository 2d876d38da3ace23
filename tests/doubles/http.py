"""A small HTTP/1.1 server in raw asyncio: every byte, and every hang-up, is under a test's control."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Exchange:
    """One request, and the way to answer it. A handler is cancelled when its client hangs up."""

    def __init__(self, method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.method, self.path, self.body = method, path, body
        self._writer = writer
        self._chunked = False

    def json(self) -> dict[str, Any]:
        value = json.loads(self.body or b"{}")
        if not isinstance(value, dict):
            raise ValueError("not an object")  # noqa: TRY004 - the value is at fault
        return value

    async def reply(self, status: int, value: Any) -> None:
        """A whole answer in JSON."""
        body = json.dumps(value, ensure_ascii=False).encode()
        await self.head(status, "application/json; charset=utf-8", f"Content-Length: {len(body)}")
        await self.raw(body)

    async def begin(self, content_type: str = "application/x-ndjson") -> None:
        """The head of an answer that comes piece by piece."""
        self._chunked = True
        await self.head(200, content_type, "Transfer-Encoding: chunked")

    async def head(self, status: int, content_type: str, *more: str) -> None:
        lines = [f"HTTP/1.1 {status} Status", f"Content-Type: {content_type}", *more]
        await self.raw("\r\n".join([*lines, "", ""]).encode())

    async def send(self, data: bytes) -> None:
        """One piece."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def raw(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        if self._chunked:
            await self.raw(b"0\r\n\r\n")

    def cut(self) -> None:
        """End the connection at once, as a process does that dies."""
        self._writer.transport.abort()


Handler = Callable[[Exchange], Awaitable[None]]


class HttpDouble:
    """A handler on a port of loopback. `start` gives it a thread of its own; in a process of its own, await `open`."""

    def __init__(self, handle: Handler, port: int = 0) -> None:
        self.port = port
        self.drops_idle = False  # answers one request on each connection, and cuts it when the next one comes
        self._handle = handle
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=f"server {self.port}")
        self._thread.start()
        self.do(self.open())

    def stop(self) -> None:
        try:
            self.do(self._end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    async def _end(self) -> None:
        await self.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await _settled()  # and what was closed lets go of its socket

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def open(self) -> None:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Listen no more, and cut every connection."""
        if self._listener:
            await _settled()  # what was accepted a moment ago is lost, unclosed, if its listener closes first
            self._listener.close()
            self._listener = None
        connections = dict(self._connections)
        for task, writer in connections.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Not a coroutine: one that is cancelled before its first step would leave its connection open.
        task = asyncio.ensure_future(self._converse(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._hung_up)

    def _hung_up(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            early = await self._serve(await _request(reader, writer), reader)
            while not self.drops_idle:
                early = await self._serve(await _request(reader, writer, early), reader)
            if early or await reader.read(1):
                writer.transport.abort()

    async def _serve(self, exchange: Exchange, reader: asyncio.StreamReader) -> bytes:
        """Handle the request, for as long as the client is there; returns what came of the next one."""
        handling = asyncio.ensure_future(self._handle(exchange))
        next_byte = asyncio.ensure_future(reader.read(1))
        try:
            await asyncio.wait({handling, next_byte}, return_when=asyncio.FIRST_COMPLETED)
            if not handling.done() and not next_byte.result():
                raise ConnectionResetError  # it hung up
            await handling
            await exchange.finish()
        finally:
            handling.cancel()
            next_byte.cancel()
            _, early = await asyncio.gather(handling, next_byte, return_exceptions=True)
        return early if isinstance(early, bytes) else b""


async def _settled() -> None:
    """Some rounds of the loop: each step of a connection's life is a callback that waits for the next one."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes = b"") -> Exchange:
    head = (early + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, path, _version = head[0].split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Exchange(method, path, body, writer)
