from __future__ import annotations

import json as json_
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

import httpx
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from introeval import embedded
from introeval.management.commands.up import SeenWorkers, ServedSite, children, free_port
from introeval.rehearsal.soak import judgement
from introeval.rehearsal.soak.judgement import Trend
from introeval.rehearsal.soak.lessons import Lessons
from introeval.rehearsal.soak.measuring import BARS, PAGE, PICK_UP, Lab
from introeval.supervisor import Supervisor
from queueing import gpu
from queueing.checks import RUNTIME

FIRST_PORT: Final = 8900
READY_SECONDS: Final = 120.0
CHECK_SECONDS: Final = 0.2
PROGRESS_SECONDS: Final = 30.0
SIMULATED: Final = {"STT_ENGINE": "simulated", "LLM_PROTOCOL": "simulated"}
# All of a class comes from one address, and goes on for longer than a lesson.
WIDE: Final = dict.fromkeys(
    ("API_PER_SECOND", "UPLOADS_PER_HOUR", "UPLOAD_QUOTA_MB", "COACH_QUEUE", "STUDENT_SESSION_MINUTES"), "100000"
)
# What is the running lab's own: its addresses, those whom it writes to, and its model servers' lives.
NOT_OURS: Final = (
    *("ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "HTTPS", "LAB", "STATIC_ROOT", "NODE"),
    *("ALERT_EMAILS", "NOTIFY_URLS", "EMAIL_HOST"),
    *("LLM_EXTRACT_RESTART", "LLM_RATE_RESTART"),
)


class Command(BaseCommand):
    help = (
        "Let a class work for hours, through site and worker of a lab of its own, and measure whether memory, handles,"
        " connections, threads, disk or latency grow. Ctrl-C ends it early. Exit status 1 if any grows."
    )
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--hours", type=float, default=0.0, help="for how long (default: 2, if no --minutes)")
        parser.add_argument("--minutes", type=float, default=0.0, help="more of them")
        parser.add_argument("--students", type=int, default=6, help="of the class (default: %(default)s)")
        parser.add_argument("--every", type=float, default=5, metavar="SECONDS", help="between two measurements")
        parser.add_argument("--real", action="store_true", help="with the models of the settings, not simulated ones")
        parser.add_argument("--json", action="store_true", help="as one JSON object, with all that was measured")

    def handle(
        self, *args: Any, hours: float, minutes: float, students: int, every: float, real: bool, json: bool, **_: Any
    ) -> None:
        if os.environ.get("INTROEVAL_REHEARSAL") != "1":
            raise CommandError("only as `manage.py soak`, which gives it a lab of its own")
        if min(hours, minutes) < 0 or students < 1 or every <= 0:
            raise CommandError("a time above 0, one student or more")
        seconds = (hours * 60 + minutes) * 60 or 2 * judgement.HOUR_SECONDS
        self.series: dict[str, list[tuple[float, float]]] = defaultdict(list)
        with _instead_of_the_labs_worker() if real else nullcontext():
            call_command("migrate", verbosity=0)
            self._prepare_environment(real=real)
            lessons = self._soak(seconds, students, every)
        trends = judgement.judge(self.series, BARS)
        problems = lessons.problems if lessons else ["the lab did not become ready"]
        held = f"{lessons.held} lessons, {lessons.handed_in} videos" if lessons else "no lesson"
        if json:
            found = {"held": held, "problems": problems, "trends": [trend.as_json() for trend in trends]}
            self.stdout.write(json_.dumps({**found, "series": self.series}))
        else:
            self.stdout.write("\n".join([held, *judgement.lines(trends), *problems]))
        if problems or any(trend.grows for trend in trends):
            sys.exit(1)

    def _prepare_environment(self, *, real: bool) -> None:
        """For the processes that are started from here on."""
        for name in NOT_OURS:
            os.environ.pop(name, None)
        self.logs, temporary = settings.DATA_DIR / "logs", settings.DATA_DIR / "tmp"
        for folder in (self.logs, temporary):
            folder.mkdir()
        os.environ |= WIDE | ({} if real else SIMULATED)
        os.environ |= {"LOG_FILE": str(self.logs / "lab.log"), "LOG_LEVEL": "INFO", "TMPDIR": str(temporary)}

    def _soak(self, seconds: float, students: int, every: float) -> Lessons | None:
        """Measure until the time is over, or Ctrl-C; None where there was nothing to measure."""
        site = ServedSite("127.0.0.1", free_port("127.0.0.1", FIRST_PORT))
        supervisor = Supervisor(children(site, echo=False), say=self.stderr.write)
        lessons = None
        try:
            supervisor.start()
            self._wait_until_ready(supervisor, site)
            lessons = Lessons(site.url, students)
            lessons.start()
            self._measure(supervisor, lessons, seconds, every)
        except KeyboardInterrupt:
            self.stderr.write("Stopped early; what there is:")
        finally:
            if lessons:
                lessons.leave()
            supervisor.stop()
        return lessons

    def _wait_until_ready(self, supervisor: Supervisor, site: ServedSite) -> None:
        deadline, seen = supervisor.clock() + READY_SECONDS, SeenWorkers()
        while not (site.is_ready() and seen.a_new_one()):
            if supervisor.clock() > deadline:
                raise CommandError(f"not ready after {READY_SECONDS:.0f} s: {site.missing_or('no worker reports')}")
            time.sleep(CHECK_SECONDS)
            supervisor.restart_ended()

    def _measure(self, supervisor: Supervisor, lessons: Lessons, seconds: float, every: float) -> None:
        lab, began, held, due = Lab(self.logs), time.monotonic(), 0, 0.0
        pids = {child.name: child for child in supervisor.children}
        while (now := time.monotonic() - began) < seconds and lessons.is_alive():
            supervisor.restart_ended()
            found = lab.measure(pids["site"].pid, pids["worker"].pid)
            with suppress(httpx.HTTPError):  # it was begun anew, which `starts` counts
                found[PAGE] = 1000 * lessons.students[0].page_seconds()
            if lessons.held > held and lessons.pick_up_seconds is not None:
                due = due if held else now  # a line after the first one: it works
                held, found[PICK_UP] = lessons.held, lessons.pick_up_seconds
            for name, value in found.items():
                self.series[name].append((round(now, 1), round(float(value), 3)))
            if now >= due:
                due = now + PROGRESS_SECONDS
                self.stderr.write(progress_line(now, lessons, judgement.judge(self.series, BARS), found))
            time.sleep(every)


@contextmanager
def _instead_of_the_labs_worker() -> Iterator[None]:
    """Be who drives the lab's node: two workers on one GPU would unload each other's models.

    Raises:
        CommandError: its own worker does.
    """
    folder = Path(os.environ[embedded.LAB_DATA_DIR]) / "locks"
    with ExitStack() as held:
        try:
            held.enter_context(gpu.node_lock(folder, settings.NODE))
        except gpu.NodeBusy as error:
            raise CommandError(f"the lab's worker is at work ({error}); stop it or leave --real out") from error
        except OSError as error:
            raise CommandError(f"no look at whether the lab's worker is at work: {error}; leave --real out") from error
        yield


def progress_line(now: float, lessons: Lessons, trends: list[Trend], found: dict[str, float]) -> str:
    grown = ", ".join(trend.name for trend in trends if trend.grows) or "nothing grows"
    memory = "site {memory of the site:.0f} MB, worker {memory of the worker:.0f} MB".format_map(found)
    return f"{now / 60:5.1f} min: {lessons.held} lessons, {lessons.handed_in} videos; {memory}; so far: {grown}"
