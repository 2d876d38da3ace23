"""The heart of a worker: says that it lives and renews its leases, on a thread and a database connection of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from queueing.models import Task, Worker

log = structlog.get_logger()


class Heart:
    """Beats every `every_seconds` until stopped.

    After `trust_seconds` without a successful beat (two thirds of a lease) the leases can't be relied on any more:
    `on_lost` is called once, and the worker must stop by itself before anybody else takes its tasks over. Tasks it
    holds but no longer owns (cancelled, or rescued from it) go to `on_tasks_lost`.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        every_seconds: float,
        lease_seconds: float,
        held: Callable[[], set[int]],
        on_tasks_lost: Callable[[set[int]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.worker, self.every_seconds, self.lease_seconds = worker, every_seconds, lease_seconds
        self.trust_seconds = lease_seconds * 2 / 3
        self.held, self.on_tasks_lost, self.on_lost = held, on_tasks_lost, on_lost
        self._stop = Event()
        self._thread = Thread(target=self._run, name="heart", daemon=True)

    def __enter__(self) -> Heart:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        beaten_at = time.monotonic()
        while not self._stop.wait(self.every_seconds):
            if self._beat():
                beaten_at = time.monotonic()
            elif time.monotonic() - beaten_at > self.trust_seconds:
                log.error("no heartbeat for too long, stopping", seconds=self.trust_seconds)
                self.on_lost()
                break
        connection.close()

    def _beat(self) -> bool:
        held = self.held()  # before the renewal: what is claimed in between must not look lost
        try:
            # A beat also takes back that others had given the worker up for dead.
            Worker.objects.filter(pk=self.worker.pk).update(last_heartbeat_at=Now(), stopped_at=None)
            owned = Task.objects.extend_leases(self.worker, held, self.lease_seconds) if held else set()
        except (DatabaseError, InterfaceError) as error:
            log.warning("heartbeat failed", error=str(error).strip())
            connection.close()
            return False
        self.on_tasks_lost(held - owned)
        return True
