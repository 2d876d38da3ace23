from __future__ import annotations

import asyncio
import time

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection
from django.test import AsyncClient, Client


def loop_lag_milliseconds(answer: object) -> float:
    name, _, milliseconds = str(answer.headers["Server-Timing"]).partition(";dur=")  # type: ignore[attr-defined]
    assert name == "loop"
    return float(milliseconds)


def test_health_is_asked_without_a_login(db: None) -> None:
    answer = Client().get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok")
    assert loop_lag_milliseconds(answer) >= 0


def test_health_is_bad_without_a_database(db: None) -> None:
    def refuse(*args: object) -> None:
        raise OperationalError("gone")

    with connection.execute_wrapper(refuse):
        assert Client().get("/healthz").status_code == 503


@pytest.mark.django_db(transaction=True)
async def test_a_loop_that_is_held_up_is_seen() -> None:
    """F67."""

    async def hold_up() -> None:
        for _ in range(40):
            time.sleep(0.05)
            await asyncio.sleep(0)

    asked, _ = await asyncio.gather(AsyncClient().get("/healthz"), hold_up())
    await sync_to_async(lambda: connection.close())()  # the one of its thread, which a client leaves open
    assert asked.status_code == 200
    assert loop_lag_milliseconds(asked) >= 20
