"""Rows that somebody holds locked: an open session of an operator's, a worker that was stopped inside a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from evaluations.stages.names import Stage
from queueing.models import Task, Worker
from queueing.states import State
from queueing.worker import upkeep

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def locked(task: Task) -> Iterator[None]:
    parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.Cursor, "context": None}
    with psycopg.connect(**parameters) as other:
        other.execute("SELECT 1 FROM queueing_task WHERE id = %s FOR UPDATE", [task.pk])
        yield


def test_a_task_that_is_locked_does_not_hold_up_the_rescue_of_the_others(
    enqueue: Callable[..., Task], worker: Worker
) -> None:
    enqueue(), enqueue()
    held, other = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1, limit=2)
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '200ms'")
    with locked(held):
        assert upkeep.rescue_expired(max_crashes=2, lease_seconds=30) == 1
    assert Task.objects.get(pk=other.pk).state == State.QUEUED
    assert upkeep.rescue_expired(max_crashes=2, lease_seconds=30) == 1


def test_no_session_may_sleep_in_a_transaction_for_as_long_as_a_lease(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT setting::float / 1000 FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
        )
        (seconds,) = cursor.fetchone()
    assert seconds == pytest.approx(settings.LEASE_SECONDS * 2 / 3)
