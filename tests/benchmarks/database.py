"""The benchmark's own connection: it looks at what the contenders did, and lays out the tables they work on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg import sql


class Database:
    """One connection in autocommit, outside Django's."""

    def __init__(self, conninfo: str, log: Path) -> None:
        self.conninfo, self.log = conninfo, log
        self._connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def run(self, text: str, *params: object) -> None:
        self._connection.execute(sql.SQL(text), params or None)

    def row(self, text: str, *params: object) -> tuple[Any, ...]:
        found = self._connection.execute(sql.SQL(text), params or None).fetchone()
        assert found is not None
        return found

    def now(self) -> datetime:
        moment: datetime = self.row("SELECT clock_timestamp()")[0]
        return moment

    def truncate(self, *tables: str) -> None:
        self.run(f"TRUNCATE {', '.join(tables)} CASCADE")

    def settle(self, *tables: str) -> None:
        """Statistics, visibility and a checkpoint, so that none of them falls into somebody's measured time."""
        self.run(f"VACUUM ANALYZE {', '.join(tables)}")
        self.run("CHECKPOINT")

    def multiply(self, table: str, times: int, *, without: Collection[str] = (), **values: str) -> None:
        """Copy each row of `table` `times` times, copy number g a minute older than copy g - 1.

        Args:
            without: columns that are left to their defaults.
            values: what a column of the copy gets, in SQL over the original `t` and the number `g`; the rest is copied.
        """
        types = self._connection.execute(
            "SELECT attname, atttypid::regtype::text FROM pg_attribute"
            " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
            (table,),
        ).fetchall()
        older = "t.{} - g * interval '1 minute'"
        copied = {
            name: values.get(name, (older if kind == "timestamp with time zone" else "t.{}").format(name))
            for name, kind in types
            if name not in without
        }
        self.run(
            f"INSERT INTO {table} ({', '.join(copied)}) SELECT {', '.join(copied.values())}"  # noqa: S608 - ours, all
            f" FROM generate_series(1, {times:d}) AS g CROSS JOIN {table} AS t ORDER BY g"
        )

    def catch_up_sequence(self, table: str) -> None:
        """Ids given by `multiply` are not given again."""
        self.run(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608

    @contextmanager
    def logging_statements(self) -> Iterator[None]:
        """Sessions that begin meanwhile have each statement logged. The wheel has no pg_stat_statements."""
        name = self._connection.info.dbname
        self.run(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
        try:
            yield
        finally:
            self.run(f'ALTER DATABASE "{name}" RESET log_statement')

    def log_bytes(self) -> int:
        return self.log.stat().st_size

    def statements_since(self, offset: int) -> Statements:
        return Statements.read(self.log_since(offset))

    def log_since(self, offset: int) -> str:
        """What was logged after the log had `offset` bytes."""
        with self.log.open("rb") as file:
            file.seek(offset)
            return file.read().decode(errors="replace")


# A statement's further lines begin with a tab.
LOGGED = re.compile(r"\[(\d+)\] LOG:  (?:statement|execute \S+): ?(.*(?:\n\t.*)*)")


@dataclass(frozen=True, slots=True)
class Statements:
    """How often a client asked something of the server, and how often that was a transaction."""

    statements: int
    transactions: int

    @classmethod
    def read(cls, log: str) -> Statements:
        """From lines of the server's log: `… [PID] LOG:  statement: BEGIN`.

        A statement outside BEGIN and COMMIT is a transaction of its own, an empty one (a connection's check) is none.
        """
        statements = transactions = 0
        inside: set[str] = set()
        for pid, text in LOGGED.findall(log):
            statements += 1
            verb = text.split(maxsplit=1)[0].rstrip(";").upper() if text.strip() else ""
            if verb == "BEGIN":
                inside.add(pid)
                transactions += 1
            elif verb in ("COMMIT", "ROLLBACK") and "TO SAVEPOINT" not in text.upper():
                inside.discard(pid)
            elif verb and pid not in inside:
                transactions += 1
        return cls(statements, transactions)
