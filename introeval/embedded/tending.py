"""An embedded server that died, hangs or lost its socket is started again while somebody lasting uses it (`up`)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector
from threading import Event, Thread

from introeval.embedded.server import EmbeddedServer, starting

# Between two questions whether it answers, each of which makes PostgreSQL start a process. That its process has ended
# the kernel tells at once.
ASK_SECONDS = 10.0
UNWATCHED_SECONDS = 0.5  # the same where the kernel has no process to tell of: it may have ended since it answered
PAUSES_SECONDS = (0.5, 2.0, 5.0, 10.0, 15.0)  # after starts that failed, on end: a full disk may take hours
STOP_SECONDS = 5.0


class Tender:
    """Looks after one server on a thread of its own, so that neither the other server nor a child of `up` delays it."""

    def __init__(self, server: EmbeddedServer, *, say: Callable[[str], None]) -> None:
        self.server, self.say = server, say
        self.failures = 0
        self._stop = Event()
        self._thread = Thread(target=self._run, name=f"tends {server.name}", daemon=True)

    def start(self) -> None:
        self._stopped, self._stopping = socket.socketpair()  # closing the one makes the other readable
        self._thread.start()

    def stop(self) -> None:
        """Start it no more, from now on; a start that is going on may come to its end."""
        self._stop.set()
        self._stopping.close()
        self._thread.join(STOP_SECONDS)

    def look(self) -> float:
        """Start it again if it is not well. Returns the seconds until the next look."""
        try:
            if not self.failures and self.server.answers():
                return ASK_SECONDS
            with starting(self.server.place):
                if not self._stop.is_set():
                    self.server.place.open_sockets()
                    self.server.ensure_running()
        except Exception as error:  # whatever it is may pass, and nobody else would try again
            return self._failed(error)
        if not self._stop.is_set():
            self.say(f"{self.server.name} had ended and was started again.")
        self.failures = 0
        return ASK_SECONDS

    def _run(self) -> None:
        with self._stopped:
            while not self._stop.is_set():
                self._rest(self.look())

    def _rest(self, seconds: float) -> None:
        """Until then, or until its process ends or this one is to stop."""
        try:
            with DefaultSelector() as selector, self.server.watched() as process:
                selector.register(self._stopped, EVENT_READ)
                if process is not None:
                    selector.register(process, EVENT_READ)
                elif not self.failures:
                    seconds = UNWATCHED_SECONDS
                selector.select(seconds)
        except OSError:  # no descriptor left
            self._stop.wait(seconds)

    def _failed(self, error: Exception) -> float:
        pause = PAUSES_SECONDS[min(self.failures, len(PAUSES_SECONDS) - 1)]
        if not self.failures:  # once: the next ones would say the same
            self.say(f"ALERT: {self.server.name} has ended and can't be started; it is tried again and again. {error}")
        self.failures += 1
        return pause
