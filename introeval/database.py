"""The database as DATABASE_URL describes it, whether it can be used, and the limits that each of its sessions gets."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Any
from weakref import WeakSet

import psycopg
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from introeval.environment import refusal

NAME = "DATABASE_URL"
LIKE = "postgresql://user:password@host/name"
# A server that is gone is noticed within ten seconds, also by a connection that waits for an answer.
OPTIONS: Mapping[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "application_name": "introeval",
}
# What libpq reads only when it is connecting, some of it for TCP only.
WHOLE_NUMBERS = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"}
)
ELSEWHERE = frozenset({"user", "password", "host", "hostaddr", "port", "dbname", "service"})

OLDEST_VERSION = 14  # that Django works with (tests compare the two)
ANSWER_SECONDS = 2.0  # with the start of Python a command on a wrong address has ended after three

_bounded: WeakSet[psycopg.Connection[Any]] = WeakSet()


def configuration(url: str) -> dict[str, Any]:
    """DATABASE_URL as an entry of Django's DATABASES, read by libpq as psql would read it.

    Its own options come before those of OPTIONS. A socket's folder is a percent-encoded host, or stands before the
    name: `postgresql://user@//run/postgresql/name`.

    Raises:
        ImproperlyConfigured: it can't be read whole.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise refusal(NAME, f"an address like {LIKE}", url)
    try:
        found = {key: str(value) for key, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError as error:
        raise refusal(NAME, f"an address like {LIKE} ({str(error).strip()})", url) from None
    name, host = found.pop("dbname", ""), found.pop("host", "")
    if name.startswith("/") and not host:
        host, _, name = name.rpartition("/")
    port = found.pop("port", "")
    if not name and "service" not in found:
        raise refusal(NAME, f"an address with a database's name, like {LIKE}", url)
    if not all(re.fullmatch(r"\d{0,5}", each) and int(each or 1) in range(1, 65_536) for each in port.split(",")):
        raise refusal(NAME, f"an address whose port is a number, like {LIKE}", url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": found.pop("user", ""),
        "PASSWORD": found.pop("password", ""),
        "HOST": host,
        "PORT": port,
        "OPTIONS": {**OPTIONS, **_options(found, url)},
    }


def _options(given: Mapping[str, str], url: str) -> dict[str, Any]:
    """The URL's own options, with what is wrong about them said by the library that will read them."""
    for key in given.keys() & WHOLE_NUMBERS:
        if not re.fullmatch(r"\d{1,9}", given[key]):
            raise refusal(NAME, f"an address whose {key} is a whole number", url)
    # It looks at the options before it looks for the server, of which there is none behind this socket.
    nowhere = {key: value for key, value in given.items() if key not in ELSEWHERE} | {"host": "/dev/null"}
    tried = pq.PGconn.connect_start(make_conninfo(**nowhere).encode())
    said = tried.error_message.decode(errors="replace").strip()
    tried.finish()
    if not said.startswith("connection to server on socket"):
        raise refusal(NAME, f"an address with options that libpq knows ({said})", url)
    return {key: int(value) if key in WHOLE_NUMBERS else value for key, value in given.items()}


class UnusableDatabaseError(Exception):
    """The database can't be used as it is. `what` is said of it, `fix` is what to do about it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix

    def __str__(self) -> str:
        return f"The database {name()} {self.what}.\n  To fix it: {self.fix}"


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """What answers at DATABASE_URL."""

    version: int  # the major one
    is_local: bool  # behind a Unix socket
    is_encrypted: bool


def ask(parameters: Mapping[str, Any], *, seconds: float = ANSWER_SECONDS) -> DatabaseServer:
    """Connect as libpq does, past the pool, whose only complaint is that time ran out.

    `seconds` is for all addresses that the host's name has, and for looking that name up.

    Raises:
        UnusableDatabaseError: it does not answer in time, or not to us, or is of a version that is too old.
    """
    said: list[DatabaseServer | Exception] = []

    def connect() -> None:
        try:
            with psycopg.connect(**{**parameters, "connect_timeout": math.ceil(seconds)}) as asked:
                facts = asked.info
                version, is_local = facts.server_version // 10_000, facts.host.startswith("/")
                said.append(DatabaseServer(version, is_local, bool(asked.pgconn.ssl_in_use)))
        except Exception as error:  # raised by the one who waits
            said.append(error)

    # On a thread of its own: a name server that does not answer is waited for without any bound.
    asking = Thread(target=connect, name="asks the database", daemon=True)
    asking.start()
    asking.join(seconds)
    found = said[0] if said else TimeoutError(f"no answer within {seconds:g} s")
    if isinstance(found, Exception):
        fix = "start that server or correct DATABASE_URL; without DATABASE_URL an embedded one is used"
        raise UnusableDatabaseError(f"can't be reached: {first_line(found)}", fix)
    if found.version < OLDEST_VERSION:
        fix = f"upgrade that server to PostgreSQL {OLDEST_VERSION} or newer, or correct DATABASE_URL"
        raise UnusableDatabaseError(f"is of PostgreSQL {found.version}, which is too old", fix)
    return found


def name() -> str:
    """Which one DATABASE_URL means, in words without a secret."""
    from django.db import connection

    facts = connection.settings_dict
    at = f" at {facts['HOST']}" if facts["HOST"] else ""
    return f"{facts['NAME']}{at}{':' if facts['PORT'] else ''}{facts['PORT']}"


def first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


def limits(options: str) -> dict[str, str]:
    """How long a session may take, as settings of PostgreSQL, without those that the address' own `options` name."""
    wanted = {
        "statement_timeout": "30s",
        "lock_timeout": "5s",
        # A worker that is stopped inside a transaction must not hold its locks for longer than its lease: the others
        # would wait for them when they take its tasks over. A heartbeat trusts its lease for as long
        # (queueing/worker/background/heartbeat.py).
        "idle_in_transaction_session_timeout": f"{round(1000 * settings.LEASE_SECONDS * 2 / 3)}ms",
    }
    return {name: value for name, value in wanted.items() if not re.search(rf"\b{name}\b", options)}


def bound_session(connection: BaseDatabaseWrapper, **kwargs: object) -> None:
    """Set the limits, once for each connection to the server, also when a pool hands it out again.

    By a statement: PgBouncer refuses the start-up parameter `options`. One that shares its connections by transaction
    gives our sessions to others and theirs to us: there the role must have the limits, which `doctor` looks at.
    """
    raw = connection.connection
    if raw is None or raw in _bounded:
        return
    values = limits(connection.settings_dict["OPTIONS"].get("options", ""))
    if values:
        calls = ", ".join(["set_config(%s, %s, false)"] * len(values))
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"SELECT {calls}", [part for pair in values.items() for part in pair])
        except Exception:
            connection.close()  # else it would be used without limits
            raise
    _bounded.add(raw)
