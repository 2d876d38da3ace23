"""Children that are there and do nothing: stopped, in an endless loop, waiting for what never comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

__all__ = ["HangWatch"]


Ask = Callable[[int], bool | None]


class HangWatch:
    """Asks one child whether it answers, in a thread of its own, since that may take long.

    A child hangs when it has answered since it was started, and then not for `seconds`. Whether one comes up at all is
    the supervisor's business. Time in which this process itself was stopped does not count.

    A question costs a request to the site or a look into the database: one that answers is asked twice in `seconds`,
    one that does not, or has not yet, twice as often.
    """

    def __init__(
        self,
        ask: Ask,
        seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask` is given a process id; None means that nobody can say now, which counts as an answer."""
        self._ask, self._seconds, self._clock = ask, seconds, clock
        self._ended = Event()
        self._pid: int | None = None  # of the child that has answered
        self._answered_at = self._asked_at = 0.0

    def start(self, pid: Callable[[], int | None]) -> None:
        """Ask the child that `pid` names at the time, until `stop`."""
        Thread(target=self._run, args=(pid,), name="hang watch", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def look(self, pid: int | None) -> float:
        """Ask once; returns the seconds until it is asked again."""
        now = self._clock()
        if now - self._asked_at > self._seconds * 3 / 4:  # nobody asked in between: it could not answer
            self._answered_at = now
        answer = self._ask(pid) if pid is not None else None
        self._asked_at = self._clock()
        if answer or (answer is None and pid == self._pid):
            self._pid, self._answered_at = pid, self._asked_at
        return self._seconds / (2 if answer else 4)

    def hangs(self, pid: int | None) -> bool:
        return pid is not None and pid == self._pid and self._asked_at - self._answered_at >= self._seconds

    def _run(self, pid: Callable[[], int | None]) -> None:
        pause = self._seconds / 4
        while not self._ended.wait(pause):
            pause = self.look(pid())
