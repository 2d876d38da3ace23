"""The heartbeat of a worker: it marks the worker alive and renews its leases, on a thread and a connection of its own.

A second thread, which needs no database, watches the first one: a heartbeat may also hang, on a connection whose other
end vanished without closing it.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Thread

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from queueing.models import Claim, Task, Worker

log = structlog.get_logger()

TICKS = 20  # checks of the watch before it gives the connection up


class Heartbeat:
    """Sent every `every_seconds` until stopped.

    After `trust_seconds` without a successful heartbeat (two thirds of a lease) the leases can't be relied on any more:
    `on_lost` is called once, and the worker must stop by itself before another worker takes its tasks over. Tasks it
    holds but no longer owns (cancelled, or rescued from it) go to `on_tasks_lost`.

    The time is counted in the watch's own ticks: a process that was stopped as a whole, and goes on, gets to send one.
    """

    def __init__(
        self,
        worker: Worker,
        *,
        every_seconds: float,
        lease_seconds: float,
        held: Callable[[], set[Claim]],
        on_tasks_lost: Callable[[set[Claim]], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.worker, self.every_seconds, self.lease_seconds = worker, every_seconds, lease_seconds
        self.trust_seconds = lease_seconds * 2 / 3
        self.held, self.on_tasks_lost, self.on_lost = held, on_tasks_lost, on_lost
        self._stop, self._sent = Event(), Event()
        self._threads = [Thread(target=work, name="heartbeat", daemon=True) for work in (self._run, self._watch)]

    def __enter__(self) -> Heartbeat:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self.every_seconds)  # no longer: one that hangs must not keep the worker from leaving

    def _run(self) -> None:
        while not self._stop.wait(self.every_seconds):
            if self._send():
                self._sent.set()
        connection.close()

    def _watch(self) -> None:
        silent, tick = 0.0, self.trust_seconds / TICKS
        while silent < self.trust_seconds:
            if self._stop.wait(tick):
                return
            silent = 0.0 if self._sent.is_set() else silent + tick
            self._sent.clear()
        log.error("no heartbeat for too long, stopping", seconds=self.trust_seconds)
        self._stop.set()
        self.on_lost()

    def _send(self) -> bool:
        held = self.held()  # before the renewal: what is claimed in between must not look lost
        try:
            # Also clears `stopped_at`, if others have marked the worker as dead.
            Worker.objects.filter(pk=self.worker.pk).update(last_heartbeat_at=Now(), stopped_at=None)
            ids = {pk for pk, _ in held}
            owned = Task.objects.extend_leases(self.worker, ids, self.lease_seconds) if held else set()
        except (DatabaseError, InterfaceError) as error:
            log.warning("heartbeat failed", error=str(error).strip())
            connection.close()
            return False
        # Named with their epochs: by now the worker may have finished one of them and claimed its next stage.
        self.on_tasks_lost({(pk, epoch) for pk, epoch in held if pk not in owned})
        return True
