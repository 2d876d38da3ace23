"""Who watches slowly, or waits for a copy to be made, holds up nobody else: with a real server."""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from evaluations.media import store
from evaluations.models import Submission
from tests.browser.conftest import site
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.uploads.test_over_http import Wire, ada
from tests.processes.conftest import environment

__all__ = ["ada", "site"]

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MIB = 1024 * 1024
SLOW_READERS = 30
CONNECTIONS = int(environment()["DATABASE_POOL_SIZE"])


@pytest.fixture
def video(cast: Cast) -> Submission:
    return hand_in(cast.ada, cast.classroom)


@contextmanager
def copy_being_made(original: Path) -> Iterator[None]:
    """Whoever asks for it waits."""
    with original.with_name(f"{store.COPY}.part").open("wb") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        yield


def test_those_who_wait_for_a_copy_leave_the_database_to_others(ada: Wire, video: Submission) -> None:
    address = f"/submissions/{video.pk}/media"
    with ThreadPoolExecutor() as pool:
        with copy_being_made(store.locate(video.path)):
            waiting = [pool.submit(ada.ask, "GET", address, Range="bytes=0-9") for _ in range(CONNECTIONS + 1)]
            time.sleep(2)  # all of them have come so far
            assert not any(each.done() for each in waiting)
            assert ada.ask("GET", "/")[0] == 200
        assert {each.result()[0] for each in waiting} == {206}


@pytest.fixture
def long_video(video: Submission) -> Path:
    """Of 60 MiB, without a copy to be made."""
    path = store.locate(video.path)
    path.write_bytes(os.urandom(MIB) * 60)
    path.with_name(store.COPY).touch()
    return path


def test_thirty_slow_readers_are_not_sent_what_they_do_not_take(ada: Wire, video: Submission, long_video: Path) -> None:
    """S24: nor do they hold connections to the database."""
    (pid,) = {each.pid for each in psutil.net_connections("tcp") if each.laddr == ("127.0.0.1", ada.port) and each.pid}
    daphne = psutil.Process(pid)
    ada.ask("GET", "/")
    before = daphne.memory_info().rss
    with ExitStack() as lines:
        for _ in range(SLOW_READERS):
            line = lines.enter_context(socket.create_connection(("127.0.0.1", ada.port)))
            line.sendall(ada.head("GET", f"/submissions/{video.pk}/media"))
        time.sleep(3)
        assert ada.ask("GET", "/")[0] == 200
        assert daphne.memory_info().rss - before < 50 * MIB


def test_a_slow_reader_gets_all_of_it(ada: Wire, video: Submission, long_video: Path) -> None:
    content = hashlib.sha256()
    with socket.create_connection(("127.0.0.1", ada.port)) as line, line.makefile("rb") as file:
        line.sendall(ada.head("GET", f"/submissions/{video.pk}/media"))
        while file.readline().strip():
            pass
        left = long_video.stat().st_size
        while piece := file.read(min(4 * MIB, left)):
            content.update(piece)
            left -= len(piece)
            time.sleep(0.05)
    assert (left, content.hexdigest()) == (0, store.digest(long_video))
