"""The worker's thread that runs the upkeep of other apps, receivers of `upkeep_due`.

Beside the loop, since it may take long, as a look at every stored file on a slow disk: no claim waits for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from threading import Event, Thread

import structlog
from django.db import connection

log = structlog.get_logger()

LEAVE_SECONDS = 5.0  # for what is under way; each of it can be done again


class AppUpkeep:
    """Runs it at once and then about every `every_seconds`; as a context it begins and ends."""

    def __init__(self, run: Callable[[], object], *, every_seconds: float) -> None:
        self.run, self.every_seconds = run, every_seconds
        # Its own: what the loop draws is the same for the same seed, whatever this thread does.
        self.chance = random.Random()  # noqa: S311 - jitter, not a secret
        self._stop = Event()
        self._thread = Thread(target=self._run, name="upkeep", daemon=True)

    def __enter__(self) -> AppUpkeep:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(LEAVE_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self.run()
            except Exception:
                log.exception("no upkeep")
            if connection.errors_occurred:  # also where a receiver kept the error to itself
                connection.close()
            self._stop.wait(self.every_seconds * self.chance.uniform(0.8, 1.2))
        connection.close()
