"""Sends uploads by raw sockets, as cheaply as can be: the server is measured, on the same two cores.

Reads a plan as JSON from standard input and prints a line when all is sent. Each upload's connection is killed in the
middle of a chunk as often as the plan says; then it asks where it was (HEAD) and goes on from there.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

CHUNK_BYTES: Final = 4 * 1024 * 1024
PATIENCE_SECONDS: Final = 120.0
BODY: Final = "application/offset+octet-stream"


@dataclass(frozen=True, slots=True)
class Sender:
    """One student's upload of `size` bytes; `number` makes its bytes its own."""

    number: int
    size: int
    cuts: int
    cookie: str
    token: str


def piece(number: int, offset: int, size: int) -> bytes:
    """The chunk of upload `number` at `offset`: no two are alike, and each costs a copy to make.

    The first one begins as a recording does, or the upload would be refused.
    """
    length = min(CHUNK_BYTES, size - offset)
    return ((b"" if offset else b"fLaC") + struct.pack(">QQ", number, offset) + _filler())[:length]


def _filler(cached: list[bytes] = []) -> bytes:  # noqa: B006 - made once
    if not cached:
        cached.append(b"".join(struct.pack(">I", value * 2654435761 % 2**32) for value in range(CHUNK_BYTES // 4)))
    return cached[0]


def send(port: int, sender: Sender) -> int:
    """Send it all, with its cuts; returns how many chunks were sent in vain."""
    with UploadConnection(port, sender) as connection:
        address = connection.ask("POST", "/api/uploads/", {"Upload-Length": str(sender.size)})["Location"]
    cut_at = list(_evenly(sender))
    offset, lost = 0, 0
    while offset < sender.size:
        with UploadConnection(port, sender) as connection:
            offset = int(connection.ask("HEAD", address)["Upload-Offset"])
            while offset < sender.size:
                if cut_at and offset >= cut_at[0]:
                    cut_at.pop(0)
                    connection.break_off(address, offset)
                    lost += 1
                    break
                offset = int(connection.patch(address, offset)["Upload-Offset"])
    return lost


def _evenly(sender: Sender) -> Iterator[int]:
    """The offsets behind which the connection is killed."""
    chunks = -(-sender.size // CHUNK_BYTES)
    return (chunks * turn // (sender.cuts + 1) * CHUNK_BYTES for turn in range(1, sender.cuts + 1))


class UploadConnection:
    """HTTP by hand: `http.client` reads the answers, the bodies go to the socket as they are."""

    def __init__(self, port: int, sender: Sender) -> None:
        self.sender = sender
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)

    def __enter__(self) -> UploadConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def patch(self, address: str, offset: int) -> dict[str, str]:
        chunk = piece(self.sender.number, offset, self.sender.size)
        return self.ask("PATCH", address, {"Upload-Offset": str(offset), "Content-Type": BODY}, chunk)

    def break_off(self, address: str, offset: int) -> None:
        """Half of a chunk, then a reset."""
        chunk = piece(self.sender.number, offset, self.sender.size)
        self._send("PATCH", address, chunk, {"Upload-Offset": str(offset), "Content-Type": BODY}, upto=len(chunk) // 2)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def ask(
        self, method: str, address: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> dict[str, str]:
        self._send(method, address, body, headers or {}, upto=len(body))
        answer = http.client.HTTPResponse(self.socket, method=method)
        answer.begin()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {address}: {answer.status} {said.decode(errors='replace')}")
        return dict(answer.getheaders())

    def _send(self, method: str, address: str, body: bytes, headers: dict[str, str], *, upto: int) -> None:
        always = {
            "Host": "127.0.0.1",
            "Tus-Resumable": "1.0.0",
            "Cookie": self.sender.cookie,
            "X-CSRFToken": self.sender.token,
            "Content-Length": str(len(body)),
        }
        lines = [f"{method} {address} HTTP/1.1", *(f"{name}: {value}" for name, value in (always | headers).items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.socket.sendall(memoryview(body)[:upto])


def main() -> None:
    plan = json.load(sys.stdin)
    senders = [Sender(**each) for each in plan["senders"]]
    with ThreadPoolExecutor(len(senders)) as pool:
        lost = sum(pool.map(lambda sender: send(plan["port"], sender), senders))
    print(json.dumps({"lost": lost}))


if __name__ == "__main__":
    main()
