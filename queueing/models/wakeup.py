"""A notification to all workers that there may be something to do, sent with the transaction that made it so.

A hint: a worker polls in any case, so one that is lost costs at most a poll's interval. Equal ones of a transaction are
sent once; one that is rolled back sends none.
"""

from __future__ import annotations

from typing import Final

from django.db import connection

CHANNEL: Final = "introeval_work"


def wake_workers(payload: str = "") -> None:
    """Sent when the transaction commits. `payload` is for the listener's own use."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
