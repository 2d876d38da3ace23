"""How soon a class's open dashboards hear of a change: a real server, a real WebSocket for each of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import httpx
import psutil
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client

from evaluations.live import messages
from evaluations.models import Classroom, Rubric
from queueing.models import Phase, Task, Worker
from queueing.states import PhaseStep
from tests.benchmarks import processes
from tests.benchmarks.contender import Command
from tests.benchmarks.report import Row, Table
from tests.crowd import Crowd, Page, free_port
from tests.evaluations.material import hand_in

START_SECONDS = 60.0
MAX_SECONDS = 30.0  # a change that takes longer to arrive ends the benchmark
REST_SECONDS = 3.0  # between two changes, so that none is told along with the one before
PINGS = 200
MIB = 1024 * 1024


def dashboards(counts: Sequence[int], *, rounds: int, say: Callable[[str], None]) -> list[Table]:
    """
    Args:
        counts: so many are open, each time on a new server.
        rounds: changes of each kind, each timed for every page.
    """
    arrivals: list[Row] = []
    servers: list[Row] = []
    for count in counts:
        say(f"{count} dashboards")
        with site() as (url, server), school(count) as students:
            measured = Measured(url, server, students)
            arrivals += measured.arrivals(rounds, say)
            servers.append(measured.costs())
    return [
        Table("dashboards", "seconds until an open dashboard shows a change", arrivals),
        Table("dashboards_server", "what that costs the server", servers),
    ]


@contextmanager
def site() -> Iterator[tuple[str, psutil.Process]]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = ("-m", "daphne", "-b", "127.0.0.1", "-p", str(port), "-v", "0", "introeval.asgi:application")
    with processes.running(Command(serve)) as server:
        deadline = time.monotonic() + START_SECONDS
        while not answers(url):
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not start")
            time.sleep(0.1)
        yield url, server


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def school(count: int) -> Iterator[list[User]]:
    """Each student has a video in the line, which a machine has begun to work on."""
    classroom = Classroom.objects.create(name="All", rubric=Rubric.default())
    students = [User.objects.create(username=f"student-{number}") for number in range(count)]
    classroom.students.add(*students)
    for student in students:
        hand_in(student, classroom)
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="stt")
    try:
        yield students
    finally:
        Task.objects.all().delete()
        classroom.submissions.all().delete()
        classroom.delete()
        User.objects.all().delete()


class Measured:
    """The dashboards of a school, while things change under them."""

    def __init__(self, url: str, server: psutil.Process, students: Sequence[User]) -> None:
        self.server, self.students = server, students
        self.memory_alone = server.memory_info().rss
        self.crowd = Crowd(url, map(cookie, students))
        self.worker = Worker.objects.create(node="lab-pc", pid=1)

    def arrivals(self, rounds: int, say: Callable[[str], None]) -> list[Row]:
        changes = {"the line moves": self.next_one, "the machine changes over": self.change_over, "progress": self.tick}
        with self.crowd:
            self.crowd.seconds_until(lambda page: page.connected, most=MAX_SECONDS)
            self.cpu, self.began = processes.cpu_seconds(self.server), time.monotonic()
            found: list[Row] = []
            for name, change in changes.items():
                say(f"  {name}")
                found.append(self.row(name, [seconds for _ in range(rounds) for seconds in self.timed(change)]))
            self.busy = (processes.cpu_seconds(self.server) - self.cpu) / (time.monotonic() - self.began)
            self.lags = self.ping()
            self.memory = self.server.memory_info().rss
        return found

    def row(self, name: str, seconds: list[float]) -> Row:
        seconds.sort()
        return {
            "change": name,
            "dashboards": len(self.students),
            "p50 s": share(seconds, 0.5),
            "p99 s": share(seconds, 0.99),
            "most s": seconds[-1],
        }

    def costs(self) -> Row:
        more = (self.memory - self.memory_alone) / MIB
        return {
            "dashboards": str(len(self.students)),
            "MiB alone": self.memory_alone / MIB,
            "MiB with them": self.memory / MIB,
            "KiB each": 1024 * more / len(self.students),
            "cores busy": round(self.busy, 2),
            "ping p50 ms": 1000 * share(self.lags, 0.5),
            "ping p99 ms": 1000 * share(self.lags, 0.99),
        }

    def timed(self, change: Callable[[], None]) -> list[float]:
        """Seconds from the commit until the page showed it, for each page that shows it."""
        time.sleep(REST_SECONDS)
        before = {page: page.shows for page in self.crowd.pages}
        Worker.objects.update(last_heartbeat_at=Now())
        change()
        began = time.monotonic()
        time.sleep(REST_SECONDS)  # to look at what is right takes the processor as long as the server's own look
        truth = self.truth()
        self.crowd.seconds_until(lambda page: page.shows == truth[page], most=MAX_SECONDS)
        return [page.changed_at - began for page in self.crowd.pages if truth[page] != before[page]]

    def truth(self) -> dict[Page, object]:
        tellings = messages.find_updates([(student.pk, messages.NOTHING) for student in self.students], 0.0)
        shown: dict[Page, object] = {}
        for page, telling in zip(self.crowd.pages, tellings, strict=True):
            assert telling is not None
            expected = Page("", "")
            expected.apply(json.loads(telling.texts[0]))
            shown[page] = expected.shows
        return shown

    # Changes

    def next_one(self) -> None:
        """The first in line is cancelled and the next one begun: everybody behind it moves up."""
        first, second = (pk for pk, place in Task.objects.positions().items() if place in (1, 2))
        Task.objects.get(pk=first).cancel(by="benchmark")
        (self.running,) = Task.objects.take([second], worker=self.worker, lease_seconds=3600)

    def change_over(self) -> None:
        phase = Phase.objects.get()
        phase.enter(PhaseStep.UNLOADING if phase.step == PhaseStep.ACTIVE else PhaseStep.ACTIVE, name="stt")

    def tick(self) -> None:
        """What one student alone sees."""
        self.running.note_progress(self.running.progress_done + 1, 60)
        self.running.progress_done += 1

    def ping(self) -> list[float]:
        page = self.crowd.pages[0]
        command = [sys.executable, "-m", "tests.crowd", page.url, page.cookie, str(PINGS)]
        ran = subprocess.run(command, cwd=processes.ROOT, capture_output=True, check=True, timeout=120)
        return sorted(map(float, ran.stdout.split()))


def share(seconds: Sequence[float], part: float) -> float:
    """Of `seconds`, which are sorted: what that part of them does not exceed."""
    return seconds[min(len(seconds) - 1, int(part * len(seconds)))]


def cookie(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
