"""The site, the students, and what is made of the figures."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import psutil
from django.contrib.auth.models import User
from django.test import Client

from evaluations.media import store
from evaluations.models import Classroom, Rubric, Submission
from introeval.management.commands.up import ServedSite, children
from tests.benchmarks.latency import percentile
from tests.benchmarks.report import Row, Table
from tests.benchmarks.uploads.client import CHUNK_BYTES, Sender, piece
from tests.nginx import nginx_before

ROOT: Final = Path(__file__).parents[3]
MAX_RSS_MB: Final = 500.0
MAX_PING_MS: Final = 100.0
TOKEN: Final = "t" * 32
START_SECONDS: Final = 60.0
LOAD_SECONDS: Final = 900.0


def uploads(*, count: int, megabytes: int, cuts: int, nginx: bool, say: Callable[[str], None]) -> Table:
    """`count` uploads of `megabytes` each at once, each cut `cuts` times, through `nginx` or not."""
    say(f"{count} uploads of {megabytes} MB at once, each cut {cuts} times")
    senders = [_sender(number, megabytes * 1_000_000, cuts) for number in range(count)]
    expected = [_digest(sender) for sender in senders]
    load = os.getloadavg()[0]
    with _site() as (site, daphne), _door(site.port, nginx) as port, _watched(port, senders[0].cookie) as figures:
        began = time.perf_counter()
        lost = _load(port, senders)
        took = time.perf_counter() - began
        peak = _peak_rss_mb(daphne.pid)
    whole = sum(map(_is_kept, senders, expected))
    pings = [1000 * seconds for seconds in figures["pings"]]
    answers = [1000 * seconds for seconds in figures["snapshots"]]
    rows: list[Row] = [
        _row("uploads whole, by their sha256", whole, count, held=whole == count),
        _row("chunks cut in the middle", lost, count * cuts, held=lost == count * cuts),
        _row("daphne's peak memory, MB", peak, MAX_RSS_MB, held=peak <= MAX_RSS_MB),
        *(_ping(pings, percent) for percent in (50, 99)),
        _row("WebSocket ping, slowest, ms", max(pings), "", held=None),
        _row(f"snapshot asked for, p50 of {len(answers)}, ms", percentile(answers, 50), "", held=None),
        _row("load of the machine before, processes", load, "", held=None),
        _row("seconds", took, "", held=None),
        _row("MB/s", count * megabytes / took, "", held=None),
    ]
    way = "nginx and one daphne" if nginx else "one daphne"
    return Table("uploads", f"{count} uploads of {megabytes} MB through {way}, {len(pings)} pings meanwhile", rows)


def _ping(milliseconds: list[float], percent: float) -> Row:
    figure = percentile(milliseconds, percent)
    return _row(f"WebSocket ping, p{percent}, ms", figure, MAX_PING_MS, held=figure <= MAX_PING_MS)


def _row(what: str, figure: float, bar: float | str, *, held: bool | None) -> Row:
    """`held` says whether the figure keeps to its bar; None where there is none."""
    return {"what": what, "figure": figure, "bar": bar, "held": "" if held is None else "yes" if held else "NO"}


def _sender(number: int, size: int, cuts: int) -> Sender:
    """A student of a class, signed in."""
    classroom = Classroom.objects.filter(name="Uploads").first() or Classroom.objects.create(
        name="Uploads", rubric=Rubric.default()
    )
    student, _ = User.objects.get_or_create(username=f"student-{number}")
    classroom.students.add(student)
    client = Client()
    client.force_login(student)
    return Sender(number, size, cuts, f"sessionid={client.cookies['sessionid'].value}; csrftoken={TOKEN}", TOKEN)


def _digest(sender: Sender) -> str:
    sha256 = hashlib.sha256()
    for offset in range(0, sender.size, CHUNK_BYTES):
        sha256.update(piece(sender.number, offset, sender.size))
    return sha256.hexdigest()


def _is_kept(sender: Sender, sha256: str) -> bool:
    """Whether what lies in the store is, byte for byte, what was sent."""
    found = Submission.objects.filter(student__username=f"student-{sender.number}").first()
    return found is not None and found.sha256 == sha256 == store.digest(store.locate(found.path))


@contextmanager
def _site() -> Iterator[tuple[ServedSite, psutil.Popen]]:
    """Daphne as `manage.py up` starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        site = ServedSite("127.0.0.1", int(probe.getsockname()[1]))
    web = children(site)[0]
    with psutil.Popen(web.command, cwd=ROOT, env={**os.environ, **(web.env or {})}) as daphne:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not site.is_ready():
                if daphne.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the site does not start")
                time.sleep(0.1)
            yield site, daphne
        finally:
            daphne.terminate()
            daphne.wait(20)


@contextmanager
def _door(port: int, nginx: bool) -> Iterator[int]:
    """Where the students knock."""
    if not nginx:
        yield port
        return
    with tempfile.TemporaryDirectory() as folder, nginx_before(port, Path(folder)) as before:
        yield before.port


@contextmanager
def _watched(port: int, cookie: str) -> Iterator[dict[str, list[float]]]:
    """Somebody watches a dashboard meanwhile; the figures are there at the end of the block."""
    figures: dict[str, list[float]] = {}
    command = [sys.executable, "-m", "tests.benchmarks.uploads.watching", str(port), cookie]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        if watching.stdout.readline().strip() != "ready":
            raise RuntimeError("the dashboard's socket can't be watched")
        yield figures
        figures.update(json.loads(watching.communicate(timeout=60)[0]))


def _load(port: int, senders: list[Sender]) -> int:
    """Everything is sent by another process; returns how many chunks were cut."""
    plan = json.dumps({"port": port, "senders": [asdict(sender) for sender in senders]})
    command = [sys.executable, "-m", "tests.benchmarks.uploads.client"]
    done = subprocess.run(
        command, cwd=ROOT, input=plan, stdout=subprocess.PIPE, text=True, check=True, timeout=LOAD_SECONDS
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return int(said["lost"])


def _peak_rss_mb(pid: int) -> float:
    """The most that the process has ever had in memory, by the kernel's own count."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024 / 1e6
