from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event

import pytest
from django.db import DatabaseError, connection

from evaluations.stages.names import Stage
from queueing.models import Task
from queueing.signals import upkeep_due
from queueing.worker.background.app_upkeep import AppUpkeep
from queueing.worker.process import PhaseWorker

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_upkeep_of_other_apps_that_takes_long_holds_up_no_work(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.EXTRACT)
    seen: list[bool] = []

    def last_as_long_as_there_is_work(**_: object) -> None:
        deadline = time.monotonic() + 30
        while Task.objects.live().exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        seen.append(Task.objects.live().exists())

    upkeep_due.connect(last_as_long_as_there_is_work)
    try:
        node().run(until_idle=True)
    finally:
        upkeep_due.disconnect(last_as_long_as_there_is_work)
    assert seen == [False]


def test_its_connection_is_kept_until_it_breaks() -> None:
    """Each one is a process that PostgreSQL starts."""
    sessions: list[int] = []
    enough = Event()

    def run() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            sessions.append(cursor.fetchone()[0])
            if len(sessions) == 2:
                with suppress(DatabaseError):
                    cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        if len(sessions) == 3:
            enough.set()

    with AppUpkeep(run, every_seconds=0.05):
        assert enough.wait(30)
    assert sessions[0] == sessions[1] != sessions[2]
