"""Real processes over the test database."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

from evaluations import actions, demo
from evaluations.models import Submission
from queueing.models import Task
from tests.conftest import Cast
from tests.doubles.card import MIB, FakeCard
from tests.processes import forks

ROOT = Path(__file__).parents[2]
SIMULATED = {"STT_ENGINE": "simulated", "LLM_PROTOCOL": "simulated", "BATCH_MAX_WAIT_SECONDS": "0.1"}
QUICK_LEASE = {"LEASE_SECONDS": "2", "HEARTBEAT_SECONDS": "0.33", "POLL_SECONDS": "0.1", "STOP_GRACE_SECONDS": "1"}

ON_A_CARD = ("-m", "tests.processes.on_a_card")
MANAGE = ("manage.py",)
DAPHNE = ("-m", "daphne")
FORKED = (MANAGE, ON_A_CARD)  # another may want to be first at a module, as odd_worker.py

Spawn = Callable[..., "subprocess.Popen[bytes]"]
Submit = Callable[..., Submission]


def environment(**more: str) -> dict[str, str]:
    """What a child process needs to see this test's database and files."""
    pooled = {"DATABASE_POOL_SIZE": "8"}
    return {**os.environ, **pooled, "DATABASE_URL": database_url(), "REDIS_URL": settings.REDIS_URL, **more}


def database_url(*, sockets: str = "", name: str = "") -> str:
    """This test's database, or the one of that name or behind the sockets in that folder."""
    facts = connection.settings_dict
    return f"postgresql://{facts['USER']}@/{sockets or facts['HOST']}/{name or facts['NAME']}"


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    """Poll until it holds; the bound only ends a broken test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def manage(transactional_db: None) -> Iterator[Spawn]:
    """Start `manage.py …` as a process (forks.py); it is gone, one way or another, when the test ends."""
    spawned: list[subprocess.Popen[bytes]] = []

    def spawn(
        *arguments: str, program: tuple[str, ...] = MANAGE, log: Path | None = None, **env: str
    ) -> subprocess.Popen[bytes]:
        with contextlib.nullcontext() if log is None else log.open("ab") as stderr:
            if program in FORKED:
                errors = stderr.fileno() if stderr else 2
                process: subprocess.Popen[bytes] = forks.server.start(
                    program, *arguments, env=environment(**env), stderr=errors
                )
            else:
                command = [sys.executable, *program, *arguments]
                process = subprocess.Popen(command, cwd=ROOT, env=environment(**env), stderr=stderr)
        spawned.append(process)
        return process

    yield spawn
    for process in spawned:
        process.kill()
        process.wait()


@pytest.fixture
def card(tmp_path: Path) -> Iterator[FakeCard]:
    """A GPU's memory for workers of `tests.processes.on_a_card`; both kinds of model must not have met on it."""
    card = FakeCard(tmp_path / "card")
    card.take("xorg", "", 300 * MIB, pid=1)
    yield card
    card.trouble("")
    ledger = card.look()
    assert ledger.overlaps == []
    assert ledger.most <= card.total


@pytest.fixture
def submit(transactional_db: None, cast: Cast) -> Submit:
    """Hand a demo clip in as Ada, or as the given student."""

    def make(clip: str = "henry.wav", student: User | None = None) -> Submission:
        staged = settings.UPLOADS_DIR / clip
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(demo.HERE / "clips" / clip, staged)
        submission, _ = actions.submit(
            classroom=cast.classroom,
            student=student or cast.ada,
            staged=staged,
            original_name=clip,
        )
        return submission

    return make


def state_of(submission: Submission) -> str:
    return Task.objects.get(submission=submission).state
