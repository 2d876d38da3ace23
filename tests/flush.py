"""Empties the test database after a test that committed, for a tenth of what Django's `flush` costs.

That one truncates every table, so makes each of its files anew, and then writes content types, permissions and groups
again. Here they stay, and the few tables that have rows lose them by DELETE. If a test changed what stays, or wrote so
much that dead rows would slow down those after it, Django's is run.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from django.core.management import call_command
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from django.test import TransactionTestCase

LARGE_BYTES: Final = 1 << 20
_kept: dict[str, str] = {}  # by table: a checksum of what Django's flush leaves in it


def install() -> None:
    """For every test with transactions of its own; pytest-django's are TransactionTestCases, too."""
    setattr(TransactionTestCase, "_fixture_teardown", lambda case: flush())  # noqa: B010 - mypy refuses the assignment


def flush() -> None:
    if not _kept or not _emptied():
        call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=False, reset_sequences=False)
        with connection.cursor() as cursor:
            _kept.update({table: _checksum(cursor, table) for table in _with_rows(cursor)})


def _emptied() -> bool:
    """Delete all rows but those that stay; False if that would not do, and nothing was done."""
    with transaction.atomic(), connection.cursor() as cursor:
        # As TRUNCATE does: whoever still writes is waited for, and what they wrote goes, too.
        cursor.execute(f"LOCK TABLE {', '.join(map(_quoted, _tables()))} IN ACCESS EXCLUSIVE MODE")
        emptied = [table for table in _with_rows(cursor) if table not in _kept]
        if any(_checksum(cursor, table) != checksum for table, checksum in _kept.items()):
            return False
        for table in emptied:
            cursor.execute("SELECT pg_relation_size(%s::regclass)", [_quoted(table)])
            if cursor.fetchone()[0] > LARGE_BYTES:
                return False
        cursor.execute("SET LOCAL session_replication_role TO replica")  # no foreign key and no trigger minds
        for table in emptied:
            cursor.execute(f"DELETE FROM {_quoted(table)}")  # noqa: S608 - a name of ours
    return True


@cache
def _tables() -> list[str]:
    return connection.introspection.django_table_names(only_existing=True, include_views=False)


def _with_rows(cursor: CursorWrapper) -> list[str]:
    asked = (f"SELECT '{table}' WHERE EXISTS (SELECT FROM {_quoted(table)})" for table in _tables())  # noqa: S608
    cursor.execute(" UNION ALL ".join(asked))
    return [name for (name,) in cursor.fetchall()]


def _checksum(cursor: CursorWrapper, table: str) -> str:
    cursor.execute(f"SELECT md5(string_agg(row::text, ';' ORDER BY row::text)) FROM {_quoted(table)} AS row")  # noqa: S608
    return str(cursor.fetchone()[0])


def _quoted(table: str) -> str:
    return connection.ops.quote_name(table)
