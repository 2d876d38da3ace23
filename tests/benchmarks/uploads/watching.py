"""A dashboard's socket that is pinged: how long daphne's loop keeps its readers waiting.

Prints one JSON object when its standard input is closed: the round trips of the protocol's pings, and of the question
"snapshot", which goes through Django and the database (and rests for 250 ms between two looks, as the site has it).
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import struct
import sys
import time
from typing import Final

EVERY_SECONDS: Final = 0.05
SNAPSHOT_EVERY: Final = 20  # pings
TEXT, PING, PONG = 1, 9, 10


class WatchedSocket:
    """As much of RFC 6455 as this needs."""

    def __init__(self, port: int, cookie: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            "GET /ws/dashboard HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            f"Origin: http://127.0.0.1:{port}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
            f"Cookie: {cookie}",
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.file = self.socket.makefile("rb")
        if b" 101 " not in self.file.readline():
            raise RuntimeError("the dashboard's socket was refused")
        while self.file.readline().strip():
            pass

    def send(self, opcode: int, content: bytes) -> None:
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(content))
        self.socket.sendall(struct.pack("BB", 0x80 | opcode, 0x80 | len(content)) + mask + masked)

    def receive(self) -> tuple[int, bytes]:
        first, length = self.file.read(2)
        if length >= 126:
            wide = {126: ("!H", 2), 127: ("!Q", 8)}[length]
            (length,) = struct.unpack(wide[0], self.file.read(wide[1]))
        return first & 0x0F, self.file.read(length)


def watch(line: WatchedSocket) -> dict[str, list[float]]:
    """Seconds of each round trip, until standard input ends."""
    pings: list[float] = []
    snapshots: list[float] = []
    asked_at = 0.0
    while not select.select([sys.stdin], [], [], EVERY_SECONDS)[0]:
        if len(pings) % SNAPSHOT_EVERY == 0 and not asked_at:
            asked_at = time.perf_counter()
            line.send(TEXT, b"snapshot")
        sent_at, mark = time.perf_counter(), str(len(pings)).encode()
        line.send(PING, mark)
        while (heard := line.receive()) != (PONG, mark):
            if asked_at and heard[0] == TEXT and heard[1].startswith(b'{"type": "snapshot"'):
                snapshots.append(time.perf_counter() - asked_at)
                asked_at = 0.0
            elif heard[0] == PING:
                line.send(PONG, heard[1])
        pings.append(time.perf_counter() - sent_at)
    return {"pings": pings, "snapshots": snapshots}


if __name__ == "__main__":
    line = WatchedSocket(int(sys.argv[1]), sys.argv[2])
    line.receive()  # the first snapshot
    print("ready", flush=True)
    print(json.dumps(watch(line)))
