from __future__ import annotations

import time
from datetime import datetime
from importlib.metadata import version

from tests.benchmarks.contender import Command, Drained
from tests.benchmarks.database import Database
from tests.benchmarks.peers.procrastinate_app import app
from tests.benchmarks.peers.procrastinate_worker import CONCURRENCY, CONNINFO


class Procrastinate:
    """Hears of new jobs by LISTEN/NOTIFY. Two statements change things per job, each in a transaction of its own."""

    family = "procrastinate"
    tables: tuple[str, ...] = ("procrastinate_jobs", "procrastinate_events")

    def __init__(self, database: Database, concurrency: int) -> None:
        self.database, self.concurrency = database, concurrency
        self.name = f"procrastinate {version('procrastinate')}, concurrency {concurrency}"
        self._app = app(database.conninfo)

    def prepare(self) -> None:
        if self.database.row("SELECT to_regclass('procrastinate_jobs') IS NULL")[0]:
            with self._app.open():
                self._app.schema_manager.apply_schema()

    def clear(self) -> None:
        self.database.truncate("procrastinate_jobs")

    def enqueue(self, count: int) -> None:
        with self._app.open():
            self._app.configure_task("noop").batch_defer(*({} for _ in range(count)))

    def enqueue_one(self) -> float:
        with self._app.open():
            self._app.configure_task("noop").defer()
            return time.time()

    def multiply_finished(self, times: int) -> None:
        self.database.multiply("procrastinate_jobs", times, id="t.id + g")
        self.database.catch_up_sequence("procrastinate_jobs")
        self.database.multiply("procrastinate_events", times, without={"id"}, job_id="t.job_id + g")

    def worker(self, *, until_drained: bool) -> Command:
        last = ("--drain",) if until_drained else ()
        environment = {CONNINFO: self.database.conninfo, CONCURRENCY: str(self.concurrency)}
        return Command(("-m", "tests.benchmarks.peers.procrastinate_worker", *last), environment)

    def drained(self, since: datetime) -> Drained:
        return Drained(
            *self.database.row(
                "SELECT count(DISTINCT job_id) FILTER (WHERE type = 'succeeded'), extract(epoch FROM"
                " max(at) FILTER (WHERE type = 'succeeded') - min(at) FILTER (WHERE type = 'started'))::float8"
                " FROM procrastinate_events WHERE at >= %s",
                since,
            )
        )
