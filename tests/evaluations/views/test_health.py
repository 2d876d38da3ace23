from __future__ import annotations

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import AsyncClient, Client
from pytest_django import Settings


def loop_lag_milliseconds(answer: object) -> float:
    name, _, milliseconds = str(answer.headers["Server-Timing"]).partition(";dur=")  # type: ignore[attr-defined]
    assert name == "loop"
    return float(milliseconds)


def test_readiness_is_asked_without_a_login(db: None) -> None:
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.content) == (200, b"ok")
    assert loop_lag_milliseconds(answer) >= 0


def test_a_site_without_its_database_is_not_ready(db: None) -> None:
    def refuse(*args: object) -> None:
        raise OperationalError("gone")

    with connection.execute_wrapper(refuse):
        answer = Client().get("/readyz")
    assert (answer.status_code, answer.content) == (503, b"database: does not answer")


def test_each_part_that_is_not_ready_is_named(db: None, settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nowhere/at/all.sock"
    MigrationRecorder.Migration.objects.filter(app="queueing", name="0010_alerts").delete()
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.content.decode().splitlines() == [
        "schema: the database lacks queueing.0010_alerts; run `manage.py migrate`",
        "broker: does not answer",
    ]


def test_code_that_is_older_than_its_database_is_not_ready(db: None) -> None:
    MigrationRecorder.Migration.objects.create(app="queueing", name="9999_of_tomorrow")
    assert Client().get("/readyz").content.startswith(b"schema: the database was migrated by a newer version")


@pytest.mark.django_db(transaction=True)
async def test_a_loop_that_is_held_up_is_seen() -> None:
    """F67."""

    async def hold_up() -> None:
        for _ in range(40):
            time.sleep(0.05)
            await asyncio.sleep(0)

    asked, _ = await asyncio.gather(AsyncClient().get("/readyz"), hold_up())
    await sync_to_async(lambda: connection.close())()  # the one of its thread, which a client leaves open
    assert asked.status_code == 200
    assert loop_lag_milliseconds(asked) >= 20


def test_figures_are_for_programs_on_this_machine(db: None) -> None:
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert Client(REMOTE_ADDR="::1").get("/metrics").status_code == 200
    for address, headers in (
        ("10.0.0.7", {}),
        ("", {}),
        ("127.0.0.1", {"X-Forwarded-For": "10.0.0.7"}),
        ("127.0.0.1", {"Forwarded": "for=10.0.0.7"}),
    ):
        refused = Client(REMOTE_ADDR=address).get("/metrics", headers=headers)
        assert refused.status_code == 404, (address, headers)


def test_with_a_token_figures_are_for_whoever_has_it(db: None, settings: Settings) -> None:
    settings.METRICS_TOKEN = "of-the-lab"
    bearer = {"Authorization": "Bearer of-the-lab"}
    assert Client(REMOTE_ADDR="10.0.0.7").get("/metrics", headers=bearer).status_code == 200
    for wrong in ({}, {"Authorization": "Bearer "}, {"Authorization": "of-the-lab"}, {"Authorization": "Bearer öf"}):
        assert Client().get("/metrics", headers=wrong).status_code == 404
