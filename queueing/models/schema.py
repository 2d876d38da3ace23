"""Whether the database can be used: that it answers, and that code and database are of one version, for old and new
workers meet on one database during an update.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from django.db import InterfaceError, InternalError, OperationalError, ProgrammingError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from queueing.exceptions import QueueError

Migration = tuple[str, str]

# What is raised when it does not answer. The last one when it ended the session by itself: a clock that stepped forward
# makes a transaction seem to have been idle for hours.
UNAVAILABLE: Final = (OperationalError, InterfaceError, InternalError)


class WrongSchema(QueueError):
    """The database is of another version than this code."""


def ensure_current() -> None:
    """
    Raises:
        WrongSchema: the database lacks migrations of this code, or has some that it does not know.
    """
    if missing := lacking():
        raise WrongSchema(f"the database lacks {_names(missing)}; run `manage.py migrate`")
    if is_ahead():
        raise WrongSchema("the database was migrated by a newer version of IntroEval; update this one")


def lacking() -> frozenset[Migration]:
    """The migrations of this code that the database has not had."""
    return known() - _applied()


def is_ahead() -> bool:
    """Whether a newer version migrated the database meanwhile."""
    apps = {app for app, _ in known()}
    # Workers ask all day: one statement, none that looks for the table first.
    applied = MigrationRecorder.Migration.objects.values_list("app", "name")
    try:
        return any(app in apps for app, _ in {*applied} - known())
    except ProgrammingError:  # nobody has migrated it yet
        return False


@cache
def known() -> frozenset[Migration]:
    """The migrations of this code. Read from its files once; needs no database."""
    return frozenset(MigrationLoader(None).disk_migrations)


def _applied() -> set[Migration]:
    return set(MigrationRecorder(connection).applied_migrations())


def _names(migrations: set[Migration] | frozenset[Migration]) -> str:
    return ", ".join(f"{app}.{name}" for app, name in sorted(migrations))
