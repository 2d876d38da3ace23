"""Servers at a database's address that are none which can be used: silent ones, strangers, refusing and old ones."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread

WANTS_ENCRYPTION = (80877103, 80877104)  # the numbers of SSLRequest and GSSENCRequest
READY = b"Z" + struct.pack("!ic", 5, b"I")


def message(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content


def error(code: str, words: str) -> bytes:
    """An ErrorResponse, the end of a login."""
    return message(b"E", b"SFATAL\0VFATAL\0C" + code.encode() + b"\0M" + words.encode() + b"\0\0")


def login(version: str) -> bytes:
    """A login that works, on a server of that version."""
    return message(b"R", struct.pack("!i", 0)) + message(b"S", b"server_version\0" + version.encode() + b"\0") + READY


@dataclass
class WrongServer:
    """What listens at `port`; `tries` are the connections that were made to it."""

    port: int
    tries: int = 0
    held: list[socket.socket] = field(default_factory=list)


@contextmanager
def answering(said: bytes | None, *, raw: bool = False) -> Iterator[WrongServer]:
    """A server that says this to whoever wants to log in, without encryption; None: nothing at all.

    `raw`: to whatever is sent first.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = WrongServer(listener.getsockname()[1])
        thread = Thread(target=_serve, args=(listener, found, said, raw), daemon=True)
        thread.start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)  # ends the wait for the next one
        thread.join()
        for each in found.held:
            each.close()


def _serve(listener: socket.socket, found: WrongServer, said: bytes | None, raw: bool) -> None:
    with suppress(OSError):
        while True:
            asked, _ = listener.accept()
            found.tries += 1
            found.held.append(asked)
            if said is not None:
                with suppress(OSError):
                    while not raw and _number(asked.recv(4096)) in WANTS_ENCRYPTION:
                        asked.sendall(b"N")
                    asked.sendall(said)


def _number(packet: bytes) -> int:
    return int.from_bytes(packet[4:8], "big")
