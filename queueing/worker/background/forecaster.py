"""The worker's thread that estimates how long everybody still has to wait, and stores it for pages and commands.

On a database connection of its own, beside the loop: nothing waits for it, and nothing is lost when it fails. Of
several workers the one that comes first does it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import structlog
from django.db import DatabaseError, InterfaceError, connection

from queueing.forecast import published
from queueing.forecast.published import Published
from queueing.forecast.simulation import simulate
from queueing.models import Forecast
from queueing.worker.background import line_facts
from queueing.worker.background.line_facts import LineFacts, NodeCapacity

log = structlog.get_logger()


class Forecaster:
    """Every `every_seconds`, as long as it `has_work`; as a context it begins and ends."""

    def __init__(
        self, *, every_seconds: float, capacity: Callable[[], NodeCapacity], has_work: Callable[[], bool]
    ) -> None:
        self.every_seconds, self.capacity, self.has_work = every_seconds, capacity, has_work
        self._stop = Event()
        self._thread = Thread(target=self._run, name="forecast", daemon=True)

    def __enter__(self) -> Forecaster:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(self.every_seconds)

    def _run(self) -> None:
        while not self._stop.wait(self.every_seconds):
            if not self.has_work():
                continue
            try:
                forecast(self.capacity(), every_seconds=self.every_seconds)
            except (DatabaseError, InterfaceError) as error:
                log.warning("forecast failed", error=str(error).strip())
                connection.close()
            except Exception:
                log.exception("no forecast")  # pages then show no estimate
        connection.close()


def forecast(capacity: NodeCapacity, *, every_seconds: float = 0.0) -> None:
    """Update the estimates of everybody in line, unless another worker has done so just now."""
    with Forecast.objects.renew(every_seconds) as row:
        if row is None:
            return
        if line_facts.standstill():
            row.publish(published.standstill(row.published), which_lab="")
            return
        found = line_facts.read(capacity)
        row.publish(_published(found, row), which_lab=found.which_lab)


def _published(found: LineFacts, row: Forecast) -> dict[int, Published]:
    soonest = simulate(found.line, found.nodes, found.lab)
    latest = simulate([*found.line, *found.expected], found.nodes, found.lab) if found.expected else soonest
    fresh = {task: published.estimate(moment, latest[task]) for task, moment in soonest.items()}
    return published.publish(fresh, found.places, row.published, same_lab=found.which_lab == row.which_lab)
