"""A request has a thread to itself, which the next one takes over."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from asgiref.sync import sync_to_async

from introeval.threads import ThreadPerRequest


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
