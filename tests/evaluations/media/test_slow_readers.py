"""Slow readers of a film, and requests that wait for a copy of it, block no others: the site without nginx in front."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
from django.test import Client

from evaluations.media import store
from evaluations.models import Submission
from introeval.serving import bodies
from tests.browser.conftest import site
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.processes.conftest import environment, wait_until

__all__ = ["site"]

MIB = 1024 * 1024
READERS = 30
CONNECTIONS = int(environment()["DATABASE_POOL_SIZE"])
FILM = os.urandom(MIB) * 24


@pytest.fixture
def film(cast: Cast) -> Submission:
    return hand_in(cast.ada, cast.classroom, content=FILM)


@pytest.fixture
def cookie(cast: Cast) -> dict[str, str]:
    client = Client()
    client.force_login(cast.ada)
    return {"sessionid": client.cookies["sessionid"].value}


@pytest.fixture
def server(site: str) -> psutil.Process:
    port = int(site.rsplit(":", 1)[1])
    (pid,) = {each.pid for each in psutil.net_connections("tcp") if each.laddr == ("127.0.0.1", port) and each.pid}
    return psutil.Process(pid)


@contextlib.contextmanager
def asking(site: str, film: Submission, cookie: dict[str, str]) -> Iterator[socket.socket]:
    """A reader that has asked for the whole film, and takes little at once."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.settimeout(30)
    line.connect(("127.0.0.1", int(site.rsplit(":", 1)[1])))
    head = f"GET /submissions/{film.pk}/media HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: sessionid={cookie['sessionid']}"
    line.sendall(f"{head}\r\n\r\n".encode())
    with line:
        yield line


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_thirty_readers_of_a_whole_film_cost_neither_memory_nor_the_others_their_pages(
    site: str, film: Submission, cookie: dict[str, str], server: psutil.Process
) -> None:
    """S24"""
    page = httpx.get(site, cookies=cookie)  # the server is warm
    before = server.memory_info().rss
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(asking(site, film, cookie)) for _ in range(READERS)]
        assert all(line.recv(17) == b"HTTP/1.1 200 OK\r\n" for line in lines)
        time.sleep(2)  # in which it could have taken in 30 films
        assert server.memory_info().rss - before < 50 * MIB
        # More than there are connections to the database: none of them keeps one.
        assert httpx.get(site, cookies=cookie).status_code == page.status_code == 200

        with lines[0].makefile("rb") as file:
            while file.readline() != b"\r\n":
                pass
            assert hashlib.sha256(file.read(len(FILM))).digest() == hashlib.sha256(FILM).digest()
    descriptors = server.num_fds
    wait_until(lambda: descriptors() < READERS)


@contextlib.contextmanager
def copy_being_made(original: Path) -> Iterator[None]:
    """Requests for it wait."""
    with original.with_name(f"{store.COPY}.part").open("wb") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        yield


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_those_who_wait_for_a_copy_leave_the_database_to_others(
    site: str, film: Submission, cookie: dict[str, str]
) -> None:
    def begin(_: int) -> int:
        address = f"{site}/submissions/{film.pk}/media"
        return httpx.get(address, cookies=cookie, headers={"Range": "bytes=0-9"}, timeout=60).status_code

    with ThreadPoolExecutor(CONNECTIONS + 1) as pool:
        with copy_being_made(store.locate(film.path)):
            waiting = [pool.submit(begin, number) for number in range(CONNECTIONS + 1)]
            time.sleep(2)  # all of them have come so far
            assert not any(each.done() for each in waiting)
            assert httpx.get(site, cookies=cookie).status_code == 200
        assert {each.result() for each in waiting} == {206}


@pytest.mark.parametrize("takes", [True, False])
async def test_a_reader_that_takes_nothing_is_given_up(takes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "STALL_SECONDS", 0.05)
    cut: list[str] = []
    transport = SimpleNamespace(abortConnection=lambda: cut.append("off"))
    flow = bodies.Flow()
    request: Any = SimpleNamespace(flow=flow, finished=False, channel=SimpleNamespace(transport=transport))
    flow.pauseProducing()
    if takes:
        asyncio.get_running_loop().call_later(0.01, flow.resumeProducing)
    await bodies.BoundedRequest.taken(request)
    assert cut == ([] if takes else ["off"])
