"""What happens before a command's own code: its settings are read, and its database is asked whether it can be used.

So every command, Django's own ones too, ends in one line and a cure where it would have ended in a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress

from introeval import embedded
from introeval.database import UnusableDatabaseError, ask, first_line

STREAMS = ("stdout", "stderr")

# They look at code, files and models only.
WITHOUT_DATABASE = {"compilemessages", "makemessages", "rate_text"}
# They make the tables, are about them, say themselves that they are old, or have a database of their own. A backup is
# made before an update's migrations, too, and a restore of nothing else than an empty database.
WITHOUT_TABLES = {"dbshell", "inspectdb", "makemigrations", "migrate", "rehearse_lab", "runserver", "showmigrations"}
WITHOUT_TABLES |= {"backup", "restore", "soak", "sqlmigrate", "squashmigrations", "test", "testserver", "up"}


def prepare(argv: Sequence[str]) -> None:
    """Read the settings, and ask a database that is not ours to start; nothing of ours need start for a wrong one.

    Raises:
        SystemExit: a value can't be read, or no database answers.
    """
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connection

    try:
        settings.INSTALLED_APPS  # noqa: B018 - the first one reads them all
        if needs_database(argv) and not _is_embedded():
            ask(connection.get_connection_params())
    except ImproperlyConfigured as error:
        sys.exit(f"introeval: {error}")
    except UnusableDatabaseError as error:
        sys.exit(f"introeval: {error}")


def execute(argv: Sequence[str]) -> None:
    """Run a command line of `manage.py`.

    Raises:
        SystemExit: as the command wants it, or with a line about its database.
    """
    from django.core.management import execute_from_command_line
    from django.db import InterfaceError, InternalError, OperationalError

    for name in STREAMS:  # a name, a bar or a box must end no command, whatever the terminal's encoding
        with suppress(AttributeError):  # replaced or closed
            getattr(sys, name).reconfigure(errors="backslashreplace")
    try:
        if needs_database(argv) and argv[1] not in WITHOUT_TABLES:
            ensure_tables()
        execute_from_command_line(list(argv))
    except UnusableDatabaseError as error:
        sys.exit(f"introeval: {error}")
    except (OperationalError, InterfaceError, InternalError) as error:  # the last one: a server that only reads
        fix = "`manage.py doctor` tells more; then run the command again"
        sys.exit(f"introeval: {UnusableDatabaseError(f'failed: {first_line(error)}', fix)}")


def needs_database(argv: Sequence[str]) -> bool:
    return embedded.needs_services(argv) and argv[1] not in WITHOUT_DATABASE


def ensure_tables() -> None:
    """The tables are those of this code; an embedded database that nobody else uses is brought up to date.

    Raises:
        UnusableDatabaseError: they are not.
        SystemExit: this code is too old for it.
    """
    import django
    from django.db import DatabaseError

    django.setup()
    from queueing.models import schema

    try:
        schema.ensure_current()
    except DatabaseError as error:
        fix = "give its user the rights to use it, or correct DATABASE_URL"
        raise UnusableDatabaseError(f"can't be used: {first_line(error)}", fix) from error
    except schema.WrongSchema as error:
        if schema.is_ahead():
            sys.exit(f"introeval: {error}")
        if not _is_embedded():
            raise UnusableDatabaseError("lacks tables or columns", "run `manage.py migrate`") from error
        _migrate()


def _is_embedded() -> bool:
    from django.conf import settings

    return bool(embedded.database_url(settings.DATA_DIR) == settings.DATABASE_URL)


def _migrate() -> None:
    """Once, however many commands come to a fresh database at the same time.

    Raises:
        UnusableDatabaseError: a site or a worker of the older version uses it.
    """
    from django.core.management import call_command
    from django.db import connection

    from queueing.models import schema

    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '30s'")  # as long as the first of them may take
        cursor.execute("SELECT pg_advisory_lock(hashtext('introeval.migrate'))")
        try:
            if not schema.lacking():
                return
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event IS DISTINCT"
                " FROM 'advisory' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() != (0,):
                raise UnusableDatabaseError(
                    "lacks tables or columns, and is in use", "stop what uses it, then run `manage.py migrate`"
                )
            call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(hashtext('introeval.migrate'))")
