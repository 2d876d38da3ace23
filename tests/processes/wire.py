"""A proxy between a worker and PostgreSQL that can fall silent: what is sent then waits in it, and no answer comes."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread

SOCKET_NAME = ".s.PGSQL.5432"
Wanted = Callable[[bytes], bool]


class Connection:
    """One client's connection: two threads that pass on what they read, unless it is held."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.open = Event()
        self.open.set()

    def pass_on(self, source: socket.socket, target: socket.socket, hold: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                hold(data)
                self.open.wait()
                target.sendall(data)
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Proxy:
    """Listens in `folder` as PostgreSQL does, for the one whose socket lies in `behind`."""

    def __init__(self, folder: Path, behind: Path) -> None:
        self.behind = behind
        self._silent_from: Wanted = lambda data: False
        self._connections: list[Connection] = []
        self._lock = Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / SOCKET_NAME))
        self._listener.listen()
        Thread(target=self._accept, daemon=True).start()

    def silence(self, wanted: Wanted) -> None:
        """From now on, a connection over which the worker sends what is `wanted` is held, that message included."""
        self._silent_from = wanted

    def speak(self) -> None:
        """Pass on whatever was held."""
        self._silent_from = lambda data: False
        with self._lock:
            for each in self._connections:
                each.open.set()

    def held(self) -> int:
        with self._lock:
            return sum(not each.open.is_set() for each in self._connections)

    def close(self) -> None:
        self.speak()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self.behind / SOCKET_NAME))
                self._join(Connection(client, server))

    def _join(self, connection: Connection) -> None:
        def hold(data: bytes) -> None:
            if self._silent_from(data):
                connection.open.clear()

        with self._lock:
            self._connections.append(connection)
        ends = (connection.client, connection.server)
        Thread(target=connection.pass_on, args=(*ends, hold), daemon=True).start()
        Thread(target=connection.pass_on, args=(*reversed(ends), lambda data: None), daemon=True).start()
