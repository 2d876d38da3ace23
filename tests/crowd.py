"""Open dashboards by the dozen: real WebSockets on a thread of their own, each keeping what its page would show.

`python -m tests.crowd URL COOKIE TIMES` pings a server that often and prints how many seconds each answer took.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")
Message = dict[str, Any]

RECONNECT_SECONDS: Final = (1.0, 8.0)  # as evaluations/static/evaluations/dashboard/updates.js has it
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class CrowdWire:
    """One WebSocket, as much of RFC 6455 as a page needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str, cookie: str = "", *, origin: str = "", receive_buffer: int = 0) -> Self:
        """
        Raises:
            ConnectionError: the server is away or refuses.
        """
        site = urlsplit(url)
        raw = socket.socket()
        raw.setblocking(False)
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            await asyncio.get_running_loop().sock_connect(raw, (site.hostname, site.port))
        except OSError:
            raw.close()
            raise
        reader, writer = await asyncio.open_connection(sock=raw, limit=receive_buffer or 2**20)
        headers = {
            "Host": site.netloc,
            "Origin": origin or f"http://{site.netloc}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            "Sec-WebSocket-Version": "13",
            "Cookie": cookie,
        }
        lines = [f"GET {site.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items() if value)]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("hung up") from error
        if b" 101 " not in answer.splitlines()[0]:
            writer.close()
            raise ConnectionRefusedError(answer.splitlines()[0].decode())
        return cls(reader, writer)

    async def send(self, payload: bytes, kind: int = TEXT) -> None:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b""
        if not length:
            length = b"\xfe" + struct.pack("!H", size) if size <= 0xFFFF else b"\xff" + struct.pack("!Q", size)
        self._writer.write(bytes([0x80 | kind]) + length + bytes(4) + payload)  # masked with zeros
        await self._writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """The next frame; pings are answered here.

        Raises:
            ConnectionError: it is closed. `args` has the close code, if there was one.
        """
        try:
            while True:
                kind, size = (await self._reader.readexactly(2)) or b""
                if size == 126:
                    (size,) = struct.unpack("!H", await self._reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self._reader.readexactly(8))
                payload = await self._reader.readexactly(size)
                if kind & 0xF == CLOSE:
                    raise ConnectionError(*struct.unpack("!H", payload[:2]))
                if kind & 0xF != PING:
                    return kind & 0xF, payload
                await self.send(payload, PONG)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("hung up") from error

    def close(self) -> None:
        self._writer.transport.abort()


class Page:
    """What one dashboard shows by now, by the rules of the page's own script."""

    def __init__(self, url: str, cookie: str) -> None:
        self.url, self.cookie = url, cookie
        self.rows: dict[str, Message] = {}
        self.queue: dict[str, Message] = {}
        self.number = 0
        self.messages = self.bytes = self.snapshots = 0
        self.connected = False
        self.changed_at = 0.0  # of the monotonic clock
        self.closed: list[int | str] = []
        self.wire: CrowdWire | None = None

    async def live(self) -> None:
        """Follow the news, and come back whenever the connection is lost."""
        while True:
            try:
                self.wire = await CrowdWire.open(self.url, self.cookie)
                while True:
                    self._receive((await self.wire.receive())[1])
            except (ConnectionError, OSError) as error:
                self.connected = False
                self.closed += error.args[:1]
                if self.wire is not None:
                    self.wire.close()
            await asyncio.sleep(random.uniform(*RECONNECT_SECONDS))

    def _receive(self, payload: bytes) -> None:
        message = json.loads(payload)
        self.messages += 1
        self.bytes += len(payload)
        assert message["type"] == "snapshot" or message["seq"] == self.number + 1, "a gap"
        self.number = message["seq"]
        self.connected = True
        self.apply(message)
        if message["type"] != "heartbeat":
            self.changed_at = time.monotonic()

    def apply(self, message: Message) -> None:
        match message["type"]:
            case "snapshot":
                self.snapshots += 1
                self.rows = {row["submission_id"]: row for row in message["rows"]}
                self.queue = {each["type"]: each for each in (message["summary"], message["phase"])}
            case "task_update" if message["status"] == "deleted":
                self.rows.pop(message["submission_id"], None)
            case "task_update":
                self.rows[message["submission_id"]] = message
            case "tasks_summary" | "phase_change":
                self.queue[message["type"]] = message

    @property
    def shows(self) -> tuple[dict[str, str], dict[str, str]]:
        """Each row's fragment, and the words on the queue."""
        return (
            {key: str(row["html"]) for key, row in self.rows.items()},
            {key: str(message["words"]) for key, message in self.queue.items()},
        )


class Crowd:
    """Pages that live on a thread of their own while the block lasts."""

    def __init__(self, url: str, cookies: Iterable[str]) -> None:
        self.pages = [Page(url.replace("http", "ws", 1) + "/ws/dashboard", cookie) for cookie in cookies]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crowd", daemon=True)
        self._tasks: Sequence[asyncio.Future[None]] = ()

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _begin(self) -> None:
        self._tasks = [asyncio.ensure_future(page.live()) for page in self.pages]

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for page in self.pages:
            if page.wire is not None:
                page.wire.close()
        await asyncio.sleep(0.1)

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def seconds_until(self, condition: Callable[[Page], bool], *, most: float) -> float:
        """How long until it holds for every page.

        Raises:
            AssertionError: not within `most` seconds, or a page ended by a fault.
        """
        began = time.monotonic()
        while not all(condition(page) for page in self.pages):
            for task in self._tasks:
                assert not task.done(), task.exception()
            late = [number for number, page in enumerate(self.pages) if not condition(page)]
            assert time.monotonic() - began < most, f"{len(late)} of {len(self.pages)} are late: {late[:5]}"
            time.sleep(0.01)
        return time.monotonic() - began


async def lags(url: str, cookie: str, times: int) -> list[float]:
    """Seconds until the server answers a ping, which its event loop does and nobody else."""
    wire = await CrowdWire.open(url, cookie)
    found = []
    for _ in range(times):
        began = time.monotonic()
        await wire.send(b"?", PING)
        while (await wire.receive())[0] != PONG:
            pass
        found.append(time.monotonic() - began)
        await asyncio.sleep(0.05)
    wire.close()
    return found


if __name__ == "__main__":
    sys.stdout.write("\n".join(map(str, asyncio.run(lags(sys.argv[1], sys.argv[2], int(sys.argv[3]))))))
