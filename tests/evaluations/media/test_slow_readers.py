"""S24: whole films asked for at once and read slowly, or not at all, from the site itself without nginx in front."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import pytest
from django.test import Client

from evaluations.models import Submission
from introeval import bodies
from tests.browser.conftest import site
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.processes.conftest import wait_until

__all__ = ["site"]

MIB = 1024 * 1024
READERS = 30
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
