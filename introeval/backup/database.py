"""The database by PostgreSQL's own programs: out of it into a file, and back."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from django.db import connection
from psycopg import pq
from psycopg.conninfo import make_conninfo

from introeval.backup.manifest import BackupError
from introeval.embedded import postgres
from introeval.embedded.errors import EmbeddedError

LAST_LINES: Final = 5


def dump(path: Path, *, snapshot: str, server: int) -> int:
    """Write the database as it is in `snapshot` (of `pg_export_snapshot`); `server`: its major version.

    Returns the program's own, below which no `pg_restore` reads what it wrote.

    Raises:
        BackupError: no program for that server is there, or it failed.
    """
    program = _program("pg_dump", least=server)
    _run(program, "--format=custom", f"--snapshot={snapshot}", f"--file={path}")
    return _version(program)


def restore(path: Path, *, version: int) -> None:
    """Fill the empty database from a dump: all of it, or nothing.

    Raises:
        BackupError: as `dump`.
    """
    whole = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
    _run(_program("pg_restore", least=version), *whole, str(path))


def is_empty() -> bool:
    """Whether nobody has made a table in it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT NOT EXISTS (
                SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND nspname NOT LIKE 'pg\\_%'
            )
            """
        )
        row = cursor.fetchone()
        assert row is not None
        return bool(row[0])


def _program(name: str, *, least: int) -> str:
    """The system's, if it is new enough; else that of the wheel, which is what the embedded server runs."""
    found = []
    for program in _programs(name):
        version = _version(program)
        if version >= least:
            return program
        found.append(f"{program} is of version {version}")
    raise BackupError(
        f"There is no {name} of PostgreSQL {least} or later" + (f": {', '.join(found)}." if found else "."),
        fix=f"install PostgreSQL's client programs of version {least}, or `make setup` for those of the wheel",
    )


def _programs(name: str) -> Iterator[str]:
    if on_path := shutil.which(name):
        yield on_path
    try:
        yield str(postgres.binary(name))
    except EmbeddedError:
        return


def _version(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(\d+)(\.|\s|$)", said)
    return int(found[1]) if found else 0


def _run(program: str, *arguments: str) -> None:
    parameters = connection.get_connection_params()
    where, secret = _conninfo(parameters), str(parameters.get("password") or "")
    env = os.environ | ({"PGPASSWORD": secret} if secret else {})  # an argument could be read by everybody
    done = subprocess.run(
        [program, *arguments, "--no-password", f"--dbname={where}"],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        name = Path(program).name
        if "No space left on device" in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
        last = "\n".join(f"    {line}" for line in done.stderr.strip().splitlines()[-LAST_LINES:])
        raise BackupError(f"`{name}` failed. It said:\n{last}", fix="`manage.py doctor` tells how the database is")


def _conninfo(parameters: Mapping[str, Any]) -> str:
    """What libpq knows of the settings; not the password, and nothing that is for Python."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} - {"password"}
    given = {key: value for key, value in parameters.items() if key in known and isinstance(value, str | int)}
    return make_conninfo("", **given)
