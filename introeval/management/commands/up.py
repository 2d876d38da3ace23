from __future__ import annotations

import errno
import http.client
import math
import os
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from evaluations.access.passwords import is_loopback
from evaluations.demo import end_public_passwords
from introeval import doctor, embedded
from introeval.supervisor import SupervisedProcess, Supervisor
from queueing.models import Worker, schema

PORTS_TRIED = 50
READY_SECONDS = 120.0
CHECK_SECONDS = 0.2
WEBSOCKET_MESSAGE_BYTES = 65_536


class Command(BaseCommand):
    help = "Run the whole lab: database, broker, site and worker, until Ctrl-C or SIGTERM (twice: at once)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="with a demo class that hands in its videos")
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
        parser.add_argument("--port", type=int, default=8000, help="first port to try (default: %(default)s)")
        # Read before the settings are, by introeval.embedded.
        parser.add_argument("--data-dir", help="where everything that must survive lives (default: $DATA_DIR or ./var)")

    def handle(self, *args: Any, demo: bool, host: str, port: int, **options: Any) -> None:
        if demo and not is_loopback(host):
            raise CommandError(
                "The demo's accounts have a password that everybody knows, so with --demo the site listens to this"
                " computer only. Leave --host away, or --demo."
            )
        self.stopping, self.hurry, self.supervising = Event(), Event(), False
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        self._check_machine()
        call_command("migrate", interactive=False, verbosity=0)
        try:
            schema.ensure_current()
        except schema.WrongSchema as error:
            raise CommandError(str(error)) from error
        if demo:
            call_command("load_demo")
        elif not is_loopback(host):
            self._end_demo()
        chosen = self._free_port(host, port)
        self._supervise(ServedSite(host, chosen), demo)

    def _end_demo(self) -> None:
        """The password of the demo's accounts is public."""
        if ended := end_public_passwords():
            self._say(f"{ended} accounts of the demo class can't sign in any more: everybody knows their password.")

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()
        if not self.supervising:
            raise SystemExit(0)

    def _check_machine(self) -> None:
        """Say what is wrong; refuse to start on anything that will not come right by itself."""
        bad = [each for each in doctor.run_checks(without=[doctor.migrations]) if each.level is not doctor.Level.OK]
        for each in bad:
            self._say(f"{each.level.value}: {each.name}: {each.found}" + (f"\n  → {each.fix}" if each.fix else ""))
        if any(each.level is doctor.Level.FAILURE and not each.optional for each in bad):
            raise CommandError("Not started; `python manage.py doctor` shows when it is fixed.")

    def _free_port(self, host: str, first: int) -> int:
        chosen = free_port(host, first)
        if chosen != first:
            self._say(f"Port {first} is busy; the site takes {chosen}.")
        return chosen

    def _supervise(self, site: ServedSite, demo: bool) -> None:
        """Until a signal. From here on nothing else ends it: what fails is tried again, and the rest keeps running."""
        supervisor = Supervisor(children(site), say=self._say)
        self.supervising = True
        with embedded.tended(settings.DATA_DIR, say=self._say):
            try:
                supervisor.start()
                if self._wait_until_ready(supervisor, site):
                    self._print(ready_box(site.url, demo))
                while not self.stopping.wait(CHECK_SECONDS):
                    supervisor.restart_ended()
            finally:
                self._say("Stopping …")
                supervisor.stop(hurry=self.hurry)

    def _wait_until_ready(self, supervisor: Supervisor, site: ServedSite) -> bool:
        """True once the site answers and a worker sends heartbeats; False when asked to stop meanwhile."""
        deadline, seen = supervisor.clock() + READY_SECONDS, SeenWorkers()
        while not (site.answers() and seen.a_new_one()):
            if self.stopping.wait(CHECK_SECONDS):
                return False
            supervisor.restart_ended()
            if supervisor.clock() > deadline:
                deadline = math.inf
                missing = site.missing_or("no worker reports")
                self._say(f"ALERT: not ready after {READY_SECONDS:.0f} s: {missing}. It is tried on.")
        return True

    def _print(self, text: str) -> None:
        with suppress(OSError):  # whoever read it is gone
            self.stdout.write(text)
            self.stdout.flush()

    def _say(self, words: str) -> None:
        with suppress(OSError):
            self.stderr.write(words, self.style.NOTICE)


class ServedSite:
    """Where the site listens, and whether it answers there."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        # An address that means "all of them" is none to connect to.
        self.local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)

    @property
    def url(self) -> str:
        name = f"[{self.local}]" if ":" in self.local else self.local
        return f"http://{name}:{self.port}/"

    def answers(self) -> bool:
        asked = http.client.HTTPConnection(self.local, self.port, timeout=5)
        try:
            asked.request("GET", "/healthz", headers={"Host": f"localhost:{self.port}"})
            return asked.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()

    def missing_or(self, other: str) -> str:
        return other if self.answers() else f"{self.url}healthz does not answer"


def children(site: ServedSite) -> list[SupervisedProcess]:
    """Site and worker; both find DATA_DIR, URLs and log format in the environment."""
    root = Path(settings.BASE_DIR)
    env = dict(os.environ)
    if sys.stderr.isatty():
        env.setdefault("LOG_FORMAT", "console")
    listen = ["-b", site.host, "-p", str(site.port), "-v", "0"]
    limits = ["--websocket-max-message-size", str(WEBSOCKET_MESSAGE_BYTES), "--no-server-name"]
    web = [sys.executable, "-m", "daphne", *listen, *limits, "introeval.asgi:application"]
    worker = [sys.executable, str(root / "manage.py"), "run_phase_worker"]
    return [SupervisedProcess("site", web, cwd=root, env=env), SupervisedProcess("worker", worker, cwd=root, env=env)]


def free_port(host: str, first: int) -> int:
    """`first`, or the next port after it that nobody listens on.

    Raises:
        CommandError: none of them is free, or none may be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in range(first, min(first + PORTS_TRIED, 65_536)):
        with socket.socket(family) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, port))
            except PermissionError as error:
                raise CommandError(f"Port {port} needs more rights: choose one above 1023 with --port.") from error
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise CommandError(f"Can't listen on {host}: {error.strerror}. Choose another --host.") from error
                continue
            return port
    raise CommandError(f"No free port from {first} on: name another with --port.")


class SeenWorkers:
    """Whether a worker sent a heartbeat since this was first asked, by the database's clock."""

    def __init__(self) -> None:
        self.since: datetime | None = None

    def a_new_one(self) -> bool:
        try:
            self.since = self.since or database_clock()
            return Worker.objects.filter(stopped_at=None, last_heartbeat_at__gte=self.since).exists()
        except (DatabaseError, InterfaceError):  # it is being started again
            return False
        finally:
            connection.close()


def database_clock() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        row = cursor.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now


def ready_box(url: str, demo: bool) -> str:
    lines = [f"IntroEval is READY at {url}", ""]
    if demo:
        lines += [f"{role:<9} {name:<9} {password}" for role, name, password in demo_logins()] + [""]
    lines.append("Ctrl-C stops it.")
    width = max(len(line) for line in lines)
    edge = "─" * (width + 2)
    return "\n".join([f"┌{edge}┐", *(f"│ {line:<{width}} │" for line in lines), f"└{edge}┘"])


def demo_logins() -> Iterable[tuple[str, str, str]]:
    from evaluations.demo import LOGINS

    return LOGINS
