"""`manage.py up` from outside: a whole lab of a test's own, whose every process can be found."""

from __future__ import annotations

import fcntl
import http.client
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO

import psutil
import psycopg

from introeval.embedded.layout import ServiceLayout
from introeval.embedded.postgres import NAME, USER

ROOT = Path(__file__).parents[2]


class Up:
    """One run of `manage.py up`; its log lines go to a file."""

    def __init__(
        self, data_dir: Path, port: int, log: Path, *options: str, answers: Sequence[str] = (), **variables: str
    ) -> None:
        """With `answers` it runs on a terminal, at which they are typed."""
        self.data_dir, self.log = data_dir, log
        unwanted = {"DATABASE_URL", "REDIS_URL", "DATA_DIR"}
        env = {name: value for name, value in os.environ.items() if name not in unwanted} | variables
        command = [sys.executable, "manage.py", "up", "--port", str(port), "--data-dir", str(data_dir), *options]
        with log.open("a") as stderr:
            if answers:
                self._start_on_terminal(command, env, stderr, answers)
            else:
                self.process = subprocess.Popen(
                    command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
                )
                assert self.process.stdout is not None
                self.stdout = self.process.stdout

    def _start_on_terminal(
        self, command: list[str], env: dict[str, str], stderr: IO[str], answers: Sequence[str]
    ) -> None:
        ours, theirs = os.openpty()
        os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=theirs,
            stdout=theirs,
            stderr=stderr,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # it becomes the foreground job
        )
        os.close(theirs)
        reader, writer = os.pipe()  # larger than what a terminal holds that nobody reads
        Thread(target=copy, args=(ours, writer), daemon=True).start()
        self.stdout = os.fdopen(reader, encoding="utf-8")

    def ready(self) -> str:
        """Waits for the READY box, which is in `box` then; returns the address in it."""
        self.box = ""
        for line in self.stdout:
            self.box += line
            if line.startswith("└"):
                break
        found = re.search(r"READY at (https?://\S+)", self.box)
        assert found, self.box + self.said()
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

    def server_pids(self, key: str) -> list[int]:
        """The main process of an embedded server; none while it has not said its number."""
        said = (self.data_dir / "services" / f"{key}.lock").read_text().strip()
        return [int(said)] if said else []

    def kill_server(self, key: str) -> None:
        for pid in self.server_pids(key):
            os.kill(pid, signal.SIGKILL)

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
        self.stdout.close()
        return self.process.returncode


def copy(source: int, target: int) -> None:
    """Until the terminal's other side is closed."""
    with os.fdopen(target, "wb", buffering=0) as to, suppress(OSError):
        while data := os.read(source, 4096):
            to.write(data)
    os.close(source)


def readyz(url: str) -> int:
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    asked = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        asked.request("GET", "/readyz")
        return asked.getresponse().status
    finally:
        asked.close()


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
