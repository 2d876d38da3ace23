"""The way between a browser and the site, which can be cut: what is open breaks, and nothing new gets through."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Thread


class Network:
    """A TCP proxy on a port of its own, for the site on port `behind`."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.port = 0  # any, and then always the same
        self._bytes_left: int | None = None
        self._open: set[socket.socket] = set()
        self._lock = Lock()
        self._listener: socket.socket
        self.restore()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def restore(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=False)
        self.port = self._listener.getsockname()[1]
        Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        with self._lock:
            ends, self._open = [self._listener, *self._open], set()
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut_after(self, count: int) -> None:
        """Cut it when the browser has sent so many bytes more."""
        self._bytes_left = count

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                browser, _ = listener.accept()
                site = socket.create_connection(("127.0.0.1", self.behind))
                with self._lock:
                    self._open |= {browser, site}
                Thread(target=self._pass_on, args=(browser, site), daemon=True).start()
                Thread(target=self._pass_on, args=(site, browser, False), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, counted: bool = True) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if counted and self._is_over(len(data)):
                    return self.cut()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return None

    def _is_over(self, count: int) -> bool:
        with self._lock:
            if self._bytes_left is None:
                return False
            self._bytes_left -= count
            if self._bytes_left > 0:
                return False
            self._bytes_left = None
            return True


@contextmanager
def network(behind: int) -> Iterator[Network]:
    way = Network(behind)
    try:
        yield way
    finally:
        way.cut()
