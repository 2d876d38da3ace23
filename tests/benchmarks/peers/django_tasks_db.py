from __future__ import annotations

import time
from datetime import datetime
from importlib.metadata import version

from django.db import transaction

from tests.benchmarks.contender import Command, Drained
from tests.benchmarks.database import Database

TABLE = "django_tasks_database_dbtaskresult"


class DjangoTasksDb:
    """Asks for work once a second while there is none. One task at a time: a transaction to claim, one to finish."""

    family = "django-tasks-db"
    tables: tuple[str, ...] = (TABLE,)

    def __init__(self, database: Database) -> None:
        self.database = database
        self.name = f"django-tasks-db {version('django-tasks-db')}"

    def prepare(self) -> None:
        """Its tables came with the site's migrations."""

    def clear(self) -> None:
        self.database.truncate(TABLE)

    def enqueue(self, count: int) -> None:
        from tests.benchmarks.noop.tasks import noop

        with transaction.atomic():
            for _ in range(count):
                noop.enqueue()

    def enqueue_one(self) -> float:
        self.enqueue(1)
        return time.time()

    def multiply_finished(self, times: int) -> None:
        self.database.multiply(TABLE, times, id="gen_random_uuid()", run_after="t.run_after")

    def worker(self, *, until_drained: bool) -> Command:
        last = ("--batch", "--no-startup-delay") if until_drained else ()
        return Command(("manage.py", "db_worker", "--verbosity=0", *last), {"BENCH_PERSISTENT_CONNECTIONS": "true"})

    def drained(self, since: datetime) -> Drained:
        return Drained(
            *self.database.row(
                "SELECT count(*) FILTER (WHERE status = 'SUCCESSFUL'),"
                " extract(epoch FROM max(finished_at) - min(started_at))::float8"
                " FROM django_tasks_database_dbtaskresult WHERE started_at >= %s",
                since,
            )
        )
