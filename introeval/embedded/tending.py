"""An embedded server that died, hangs or lost its socket is started again while somebody lasting uses it (`up`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

from introeval.embedded.server import EmbeddedServer, starting

LOOK_SECONDS = 0.25  # whether its process is there
ASK_SECONDS = 5.0  # whether it answers, too: that makes PostgreSQL start a process
PAUSES_SECONDS = (0.5, 2.0, 5.0, 10.0, 15.0)  # after starts that failed, on end: a full disk may take hours
STOP_SECONDS = 5.0


class Tender:
    """Looks after one server on a thread of its own, so that neither the other server nor a child of `up` delays it."""

    def __init__(self, server: EmbeddedServer, *, say: Callable[[str], None]) -> None:
        self.server, self.say = server, say
        self.failures = 0
        self._stop = Event()
        self._asked_at = 0.0
        self._thread = Thread(target=self._run, name=f"tends {server.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start it no more, from now on; a start that is going on may come to its end."""
        self._stop.set()
        self._thread.join(STOP_SECONDS)

    def look(self) -> float:
        """Start it again if it is not well. Returns the seconds until the next look."""
        try:
            if self._is_well():
                return LOOK_SECONDS
            with starting(self.server.place):
                if not self._stop.is_set():
                    self.server.place.open_sockets()
                    self.server.ensure_running()
        except Exception as error:  # whatever it is may pass, and nobody else would try again
            return self._failed(error)
        if not self._stop.is_set():
            self.say(f"{self.server.name} had ended and was started again.")
        self.failures = 0
        return LOOK_SECONDS

    def _run(self) -> None:
        seconds = LOOK_SECONDS
        while not self._stop.wait(seconds):
            seconds = self.look()

    def _is_well(self) -> bool:
        if self.failures or not self.server.is_alive():
            return False
        now = time.monotonic()
        if now - self._asked_at < ASK_SECONDS:
            return True
        self._asked_at = now
        return self.server.answers()

    def _failed(self, error: Exception) -> float:
        pause = PAUSES_SECONDS[min(self.failures, len(PAUSES_SECONDS) - 1)]
        if not self.failures:  # once: the next ones would say the same
            self.say(f"ALERT: {self.server.name} has ended and can't be started; it is tried again and again. {error}")
        self.failures += 1
        return pause
