"""The connection to the database itself: given back while something slow goes on, and notifications sent through it."""

from __future__ import annotations

from typing import Final

from django.db import connection

WORK_CHANNEL: Final = "introeval_work"


def give_back() -> None:
    """Return this thread's connection to the pool; the next query takes one again. Nothing is done in a transaction.

    Call it before what is slow and is not the database: hashing, fsync, a copy being made.
    A pool has few connections, and one slow disk or thirty logins would otherwise stop every page.
    """
    if not connection.in_atomic_block:
        connection.close()


def wake_workers(payload: str = "") -> None:
    """Notify all workers that there may be something to do, when this transaction commits.

    A hint: a worker polls in any case, so one that is lost costs at most the intervals of three polls. Equal ones of a
    transaction are sent once; one that is rolled back sends none. `payload` is for the listener's own use.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (WORK_CHANNEL, payload))
