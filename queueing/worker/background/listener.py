"""Ends the loop's rest as soon as somebody adds work, on a thread and a database connection of its own.

Polling stays the truth: whatever happens here, a worker looks into the database every `POLL_SECONDS`.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from selectors import EVENT_READ, DefaultSelector
from threading import Thread
from typing import Any

import psycopg
import structlog
from django.db import DatabaseError, InterfaceError, connection

from queueing.models.connections import WORK_CHANNEL, wake_workers

log = structlog.get_logger()

PROOF_SECONDS = 5.0  # for the listener's own notification to come back
RECONNECT_SECONDS = 1.0
DEAF_SECONDS = 600.0  # until a pooler that passes no notifications on is tried again


class WorkListener:
    """Calls `wake` for every notification (`models.connections`), and whenever some may have been missed.

    As a context it begins and ends. Its connection is not one of the pool, which it would never give back.

    A pooler that shares sessions out by transaction accepts LISTEN and passes nothing on. So the first notification is
    one of its own, sent by another session; unless that arrives, the connection is given back.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self.hears = False
        self._ended, self._end = socket.socketpair()
        self._thread = Thread(target=self._run, name="listener", daemon=True)

    def __enter__(self) -> WorkListener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()  # readable on the other side
        self._thread.join(RECONNECT_SECONDS)  # no longer: one that hangs must not keep the worker from leaving

    def _run(self) -> None:
        with self._ended, DefaultSelector() as selector:
            selector.register(self._ended, EVENT_READ)
            pause = 0.0
            while not selector.select(pause):
                pause = self._listen()
                self.hears = False

    def _listen(self) -> float:
        """Until the connection breaks or the listener ends; returns how many seconds to wait before the next one."""
        try:
            with _session() as session, DefaultSelector() as selector:
                selector.register(self._ended, EVENT_READ)
                selector.register(session, EVENT_READ)
                session.execute(f"LISTEN {WORK_CHANNEL}")
                if not self._proves_itself(session, selector):
                    log.info("no notifications come through this connection: new work is found by polling")
                    return DEAF_SECONDS
                self.hears = True
                while True:
                    self.wake()  # at first for what came before it listened
                    if any(key.fileobj is self._ended for key, _ in selector.select()):
                        return 0.0
                    _payloads(session)
        except (psycopg.Error, DatabaseError, InterfaceError) as error:
            log.info("the listener's connection broke off", error=str(error).strip())
            return RECONNECT_SECONDS
        finally:
            connection.close()

    def _proves_itself(self, session: psycopg.Connection[Any], selector: DefaultSelector) -> bool:
        proof = secrets.token_hex(8)
        wake_workers(proof)
        connection.close()
        give_up = time.monotonic() + PROOF_SECONDS
        while (left := give_up - time.monotonic()) > 0:
            if any(key.fileobj is self._ended for key, _ in selector.select(left)):
                return True  # it ends: no word about notifications
            if proof in _payloads(session):
                return True
        return False


@contextmanager
def _session() -> Iterator[psycopg.Connection[Any]]:
    # Without Django's cursors and adapters, which are for its own use.
    params = {key: value for key, value in connection.get_connection_params().items() if key != "cursor_factory"}
    session: psycopg.Connection[Any] = psycopg.connect(**params, autocommit=True)
    try:
        yield session
    finally:
        with suppress(psycopg.Error):
            session.close()


def _payloads(session: psycopg.Connection[Any]) -> list[str]:
    """What has come; raises `psycopg.OperationalError` if the connection is gone."""
    return [notification.payload for notification in session.notifies(timeout=0)]
