"""`manage.py up` from outside: what it prints, what it starts, what it leaves behind."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from introeval.embedded.layout import ServiceLayout
from introeval.embedded.postgres import Postgres
from introeval.embedded.valkey import Valkey
from tests.processes.lab import Up, left_over, readyz

pytestmark = pytest.mark.slow


Start = Callable[..., Up]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen: int = free.getsockname()[1]
    return chosen


@pytest.fixture
def start(tmp_path: Path, port: int) -> Iterator[Start]:
    begun: list[Up] = []

    def run(**variables: str) -> Up:
        begun.append(Up(tmp_path / "var", port, tmp_path / "log", **variables))
        return begun[-1]

    yield run
    for each in begun:
        if each.process.poll() is None:
            each.end(signal.SIGTERM)
    place = ServiceLayout(tmp_path / "var")
    if place.services.is_dir():
        Valkey(place).stop()
        Postgres(place).stop()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not come about")


def is_healthy(site: str) -> bool:
    try:
        return readyz(site) == 200
    except OSError:  # it is being started
        return False


def style_of(site: str) -> tuple[str, str]:
    """How the first style sheet of the page to sign in comes: its encoding, and for how long a browser keeps it."""
    found = re.search(r'href="/(static/[^"]+\.css)"', httpx.get(f"{site}login/").text)
    assert found
    style = httpx.get(f"{site}{found[1]}", headers={"Accept-Encoding": "gzip"})
    return style.headers.get("Content-Encoding"), style.headers["Cache-Control"]


def test_a_first_and_a_second_start_are_ready_and_ctrl_c_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        up = start()
        site = up.ready()
        assert readyz(site) == 200
        assert up.children().keys() == {"site", "worker"}
        assert style_of(site) == ("gzip", "max-age=315360000, public, immutable")

        assert up.end(signal.SIGINT) == 0
        assert left_over(tmp_path / "var") == []
        assert "Traceback" not in up.said()


def test_a_busy_port_gets_the_next_free_one_and_what_dies_a_successor(start: Start, port: int, tmp_path: Path) -> None:
    with socket.socket() as occupier:
        occupier.bind(("127.0.0.1", port))
        occupier.listen()
        up = start()
        url = up.ready()
        assert url != f"http://127.0.0.1:{port}/"
        assert f"Port {port} is busy" in up.said()

    second = start()
    assert second.end() == 1
    assert f"runs already, as process {up.process.pid}. Stop that one first" in second.said()
    assert readyz(url) == 200
    assert up.live_workers() == 1

    first = up.children()["worker"]
    first.kill()
    until(lambda: up.children().get("worker", first).pid != first.pid)

    assert "The worker ended (killed by SIGKILL)" in up.said()
    assert readyz(url) == 200

    servers = [Postgres(ServiceLayout(tmp_path / "var")), Valkey(ServiceLayout(tmp_path / "var"))]
    for server in servers:
        up.kill_server(server.key)
    up.children()["worker"].kill()  # its successor registers while they come back
    until(lambda: all(server.answers() for server in servers) and readyz(url) == 200)
    until(lambda: bool(up.live_workers()))
    assert "PostgreSQL had ended and was started again" in up.said()
    assert "Valkey had ended and was started again" in up.said()
    assert up.end(signal.SIGTERM) == 0


def test_a_site_and_a_worker_that_no_longer_answer_are_replaced(start: Start) -> None:
    up = start(HANG_SECONDS="8", LEASE_SECONDS="6", HEARTBEAT_SECONDS="1")
    url = up.ready()
    until(lambda: up.live_workers() == 1)
    time.sleep(4)  # each of them is asked once
    stopped = up.children()
    for child in stopped.values():
        child.suspend()
    until(lambda: all(up.children().get(name, child).pid != child.pid for name, child in stopped.items()))
    until(lambda: up.live_workers() == 1 and is_healthy(url))
    for name in stopped:
        assert f"the {name} no longer answers; it is killed and started again" in up.said()
    assert not any(child.is_running() and child.status() != "zombie" for child in stopped.values())


def test_killed_it_takes_site_worker_and_servers_with_it(start: Start, tmp_path: Path) -> None:
    up = start()
    up.ready()

    up.end(signal.SIGKILL)

    until(lambda: left_over(tmp_path / "var") == [])


def test_a_second_signal_ends_it_at_once(start: Start, tmp_path: Path) -> None:
    up = start()
    up.ready()
    worker = up.children()["worker"]
    worker.suspend()  # so that it can't leave by itself

    up.process.send_signal(signal.SIGINT)
    until(lambda: "Stopping" in up.said())
    assert worker.is_running()
    up.end(signal.SIGINT)

    assert left_over(tmp_path / "var") == []
    assert not worker.is_running()


def test_a_signal_before_it_is_ready_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    up = start()
    until(lambda: (tmp_path / "var" / "postgres" / "postmaster.pid").exists())

    up.end(signal.SIGTERM)

    assert left_over(tmp_path / "var") == []
    assert "Traceback" not in up.said()


def test_a_missing_speech_model_is_told_with_the_command_that_mends_it(start: Start, tmp_path: Path) -> None:
    up = start(STT_MODEL=str(tmp_path / "nowhere"))

    assert up.end() == 1
    assert "failure: speech model" in up.said()
    assert "make setup" in up.said()
    assert "Traceback" not in up.said()
    assert left_over(tmp_path / "var") == []


def test_a_data_directory_that_can_not_be_used_is_told_in_words(start: Start, tmp_path: Path) -> None:
    (tmp_path / "var").write_text("in the way")
    up = start()

    assert up.end() == 1
    assert "DATA_DIR can't be used" in up.said()
    assert "Traceback" not in up.said()
