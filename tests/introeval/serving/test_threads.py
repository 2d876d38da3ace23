"""A request has a thread to itself, which the next one takes over."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.utils import ConnectionHandler

from introeval.serving.threads import MAX_IDLE, ThreadPerRequest


async def nothing(*_: object) -> None:
    return None


async def test_all_of_a_request_runs_on_one_thread_and_the_next_one_takes_it_over() -> None:
    seen: list[set[int]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append({await sync_to_async(threading.get_ident)() for _ in range(3)})

    site = ThreadPerRequest(application)
    for _ in range(2):
        await site({}, nothing, nothing)
        while not site._idle:
            await asyncio.sleep(0.01)
    assert len(seen[0]) == 1
    assert seen[0] == seen[1] != {threading.get_ident()}


async def test_requests_at_the_same_time_have_a_thread_each() -> None:
    together = threading.Barrier(5, timeout=10)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(together.wait)()

    site = ThreadPerRequest(application)
    await asyncio.gather(*(site({}, nothing, nothing) for _ in range(5)))


async def test_a_thread_that_still_works_for_a_request_that_was_given_up_is_not_taken_over() -> None:
    going_on, may_end = threading.Event(), threading.Event()

    def work() -> None:
        going_on.set()
        may_end.wait(10)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(work)()

    site = ThreadPerRequest(application)
    request = asyncio.ensure_future(site({}, nothing, nothing))
    await asyncio.to_thread(going_on.wait, 10)
    request.cancel()
    await asyncio.wait([request], timeout=0.2)
    assert not site._idle
    may_end.set()
    await asyncio.wait([request])
    while not site._idle:
        await asyncio.sleep(0.01)


async def test_no_more_threads_than_a_class_needs_are_kept() -> None:
    together = threading.Barrier(MAX_IDLE + 3, timeout=30)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(together.wait)()

    site = ThreadPerRequest(application)
    await asyncio.gather(*(site({}, nothing, nothing) for _ in range(MAX_IDLE + 3)))
    while len(site._idle) < MAX_IDLE:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert len(site._idle) == MAX_IDLE


async def test_connections_that_a_request_left_open_are_closed_on_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    at_work: list[int] = []
    closed: list[int] = []
    monkeypatch.setattr(ConnectionHandler, "close_all", lambda handler: closed.append(threading.get_ident()))

    async def application(scope: Any, receive: Any, send: Any) -> None:
        at_work.append(await sync_to_async(threading.get_ident)())

    site = ThreadPerRequest(application)
    await site({}, nothing, nothing)
    while not site._idle:
        await asyncio.sleep(0.01)
    assert closed == at_work


async def test_no_connection_is_held_while_somebody_reads_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight slow readers would have the whole pool."""
    done: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(done.append)("work")
        await send({"type": "http.response.start"})
        await sync_to_async(done.append)("the next piece")

    async def send(message: object) -> None:
        done.append("sent")

    monkeypatch.setattr(ConnectionHandler, "close_all", lambda connections: done.append("given back"))
    await ThreadPerRequest(application)({}, nothing, send)
    assert done.index("given back") in (1, 2)
    assert done.index("given back") < done.index("the next piece")
