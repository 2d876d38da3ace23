"""`manage.py up` from outside: what it prints, what it starts, what it leaves behind."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from introeval.embedded.layout import ServiceLayout
from introeval.embedded.postgres import NAME, USER, Postgres
from introeval.embedded.valkey import Valkey

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.slow


class Up:
    """One run of `manage.py up`; its log lines go to a file."""

    def __init__(self, data_dir: Path, port: int, log: Path, **variables: str) -> None:
        self.data_dir, self.log = data_dir, log
        unwanted = {"DATABASE_URL", "REDIS_URL", "DATA_DIR"}
        env = {name: value for name, value in os.environ.items() if name not in unwanted} | variables
        command = [sys.executable, "manage.py", "up", "--port", str(port), "--data-dir", str(data_dir)]
        with log.open("a") as stderr:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
            )

    def ready(self) -> str:
        """Waits for the READY box; returns the address in it."""
        assert self.process.stdout is not None
        box = ""
        for line in self.process.stdout:
            box += line
            if line.startswith("└"):
                break
        found = re.search(r"READY at (http://\S+)", box)
        assert found, box + self.said()
        return found[1]

    def said(self) -> str:
        return self.log.read_text()

    def children(self) -> dict[str, psutil.Process]:
        """The site's and the worker's process; each belongs to a session of its own."""
        found: dict[str, psutil.Process] = {}
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):  # it died just now
                line = " ".join(child.cmdline())
                names = [name for name, word in (("site", "daphne"), ("worker", "run_phase_worker")) if word in line]
                found |= dict.fromkeys(names, child)
        return found

    def kill_server(self, key: str) -> None:
        os.kill(int((self.data_dir / "services" / f"{key}.lock").read_text()), signal.SIGKILL)

    def live_workers(self) -> int:
        """Workers whose process is the one that runs now and has registered."""
        child = self.children().get("worker")
        with psycopg.connect(host=str(ServiceLayout(self.data_dir).sockets), user=USER, dbname=NAME) as asked:
            query = "SELECT count(*) FROM queueing_worker WHERE pid = %s AND stopped_at IS NULL"
            row = asked.execute(query, [child.pid if child else 0]).fetchone()
            assert row is not None
            return int(row[0])

    def end(self, signum: signal.Signals | None = None) -> int:
        if signum is not None:
            self.process.send_signal(signum)
        self.process.communicate(timeout=60)
        return self.process.returncode


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


def healthz(url: str) -> int:
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    asked = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        asked.request("GET", "/healthz")
        return asked.getresponse().status
    finally:
        asked.close()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not come about")


def left_over(data_dir: Path) -> list[str]:
    """Processes that have to do with this data directory: by an open file, a command line or the environment."""
    sockets, found = str(ServiceLayout(data_dir).sockets), []
    for process in psutil.process_iter():
        try:
            said = " ".join(process.cmdline())
            own = process.environ().get("DATA_DIR") == str(data_dir) if said else False
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if own or str(data_dir) in said or sockets in said:
            found.append(said)
    return found


def test_a_first_and_a_second_start_are_ready_and_ctrl_c_leaves_nothing_behind(start: Start, tmp_path: Path) -> None:
    for _ in range(2):
        up = start()
        assert healthz(up.ready()) == 200
        assert up.children().keys() == {"site", "worker"}

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

    first = up.children()["worker"]
    first.kill()
    until(lambda: up.children().get("worker", first).pid != first.pid)

    assert "The worker ended (killed by SIGKILL)" in up.said()
    assert healthz(url) == 200

    servers = [Postgres(ServiceLayout(tmp_path / "var")), Valkey(ServiceLayout(tmp_path / "var"))]
    for server in servers:
        up.kill_server(server.key)
    up.children()["worker"].kill()  # its successor registers while they come back
    until(lambda: all(server.answers() for server in servers) and healthz(url) == 200)
    until(lambda: bool(up.live_workers()))
    assert "PostgreSQL had ended and was started again" in up.said()
    assert "Valkey had ended and was started again" in up.said()
    assert up.end(signal.SIGTERM) == 0


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
