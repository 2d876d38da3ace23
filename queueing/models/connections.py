"""The connection to the database, which others wait for while this thread does something slow without it."""

from __future__ import annotations

from django.db import connection


def give_back() -> None:
    """Return this thread's connection to the pool; the next query takes one again. Nothing is done in a transaction.

    Call it before what is slow and is not the database: hashing, fsync, a copy being made.
    A pool has few connections, and one slow disk or thirty logins would otherwise stop every page.
    """
    if not connection.in_atomic_block:
        connection.close()
