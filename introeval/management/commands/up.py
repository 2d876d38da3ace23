from __future__ import annotations

import errno
import http.client
import io
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any, cast

import segno
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError, connection

from evaluations.access.passwords import is_loopback
from evaluations.demo import end_public_passwords
from introeval import doctor, embedded
from introeval.embedded.errors import explained
from introeval.embedded.locks import FileLock, wait_until
from introeval.lan import addresses, door
from introeval.lan.certificates import Certificates, UnusableCertificateError
from introeval.lan.profile import LabProfile
from introeval.management import first_start
from introeval.management.first_start import Told
from introeval.serving.static import StaticFiles
from introeval.supervisor import SupervisedProcess, Supervisor
from introeval.supervisor.hangs import HangWatch
from queueing.models import Worker, schema

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what `--lab` is for
PORTS_TRIED = 50
READY_SECONDS = 120.0
CHECK_SECONDS = 0.2  # between two questions whether all is there, at the start
REST_SECONDS = 1.0  # between two looks at what says nothing by itself, as that a child hangs
LOOK_SECONDS = 10.0  # between two looks at the machine's addresses
RENEW_SECONDS = 3600.0  # between two looks at how long its certificate is valid
ENDING_SECONDS = 5.0  # for another `up` that was told to stop
WEBSOCKET_MESSAGE_BYTES = 65_536


class Command(BaseCommand):
    help = "Run the whole lab: database, broker, site and worker, until Ctrl-C or SIGTERM (twice: at once)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--demo", action="store_true", help="with a demo class that hands in its videos")
        parser.add_argument("--host", help="address to listen on (default: 127.0.0.1; with --lab all of them)")
        parser.add_argument("--port", type=int, default=8000, help="first port to try (default: %(default)s)")
        lab = parser.add_argument_group("a lab of your own")
        # LAB is in the environment by now: embedded reads it there before the settings are.
        lab.add_argument(
            "--lab", action="store_true", help="open it to the network, by HTTPS with a certificate of its own"
        )
        # Read there, too. What none of these says is asked for on a terminal, once.
        lab.add_argument("--school", help="its name, for cards and pages (default: none)")
        lab.add_argument("--time-zone", help="of times on pages, such as Europe/Berlin (default: the machine's)")
        lab.add_argument("--teacher", help="user name for the first class (default: teacher)")
        lab.add_argument("--class", dest="class_name", help="name of the first class (default: My class)")
        lab.add_argument("--language", choices=first_start.LANGUAGES, help="it speaks (default: the machine's)")
        # Read before the settings are, by introeval.embedded.
        parser.add_argument("--data-dir", help="where everything that must survive lives (default: $DATA_DIR or ./var)")

    def handle(self, *args: Any, demo: bool, host: str | None, port: int, **options: Any) -> None:
        host = host or (EVERYWHERE if settings.LAB else "127.0.0.1")
        if demo and not is_loopback(host):
            raise CommandError(
                "The demo's accounts have a password that everybody knows, so with --demo the site listens to this"
                " computer only. Leave --host and --lab away, or --demo."
            )
        self.stopping, self.hurry = Event(), Event()
        self.supervisor: Supervisor | None = None
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, self._on_signal)
        self._check_machine()
        with alone(settings.DATA_DIR):
            self._run(demo=demo, host=host, port=port, **options)

    def _run(self, *, demo: bool, host: str, port: int, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        try:
            schema.ensure_current()
        except schema.WrongSchema as error:
            raise CommandError(str(error)) from error
        notes: list[str] = []
        if demo:
            call_command("load_demo")
            notes = [f"{role:<9} {name:<9} {password}" for role, name, password in demo_logins()]
        elif not is_loopback(host):
            self._end_demo()
        told = self._told(**options) if settings.LAB else None
        self._collect_static_files()
        site = ServedSite(host, self._free_port(host, port))
        if told is not None:
            notes = self._open_to_network(site, told, options["class_name"])
        self._supervise(site, notes)

    def _end_demo(self) -> None:
        """The password of the demo's accounts is public."""
        if ended := end_public_passwords():
            self._say(f"{ended} accounts of the demo class can't sign in any more: everybody knows their password.")

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.stopping.is_set():
            self.hurry.set()
        self.stopping.set()
        if self.supervisor is None:
            raise SystemExit(0)
        with suppress(RuntimeError):  # no room for a thread: it is seen a second later
            # From a thread: the main one may be inside the very lock that setting an event takes.
            Thread(target=self.supervisor.wake.set).start()

    def _check_machine(self) -> None:
        """Say what is wrong; refuse to start on anything that will not come right by itself."""
        bad = [each for each in doctor.run_checks(without=[doctor.migrations]) if each.level is not doctor.Level.OK]
        for each in bad:
            self._say(f"{each.level.value}: {each.name}: {each.found}" + (f"\n  → {each.fix}" if each.fix else ""))
        if any(each.level is doctor.Level.FAILURE and not each.optional for each in bad):
            raise CommandError("Not started; `python manage.py doctor` shows when it is fixed.")

    def _collect_static_files(self) -> None:
        """For the site that is started next; without them it serves the packages' own, larger and asked for again."""
        try:
            if not cast("StaticFiles", staticfiles_storage).is_current():
                call_command("collectstatic", interactive=False, verbosity=0)
        except OSError as error:
            self._say(f"ALERT: scripts and styles could not be collected, pages load more slowly: {error}")

    def _free_port(self, host: str, first: int) -> int:
        chosen = free_port(host, first)
        if chosen != first:
            self._say(f"Port {first} is busy; the site takes {chosen}.")
        return chosen

    def _told(
        self, school: str | None, language: str | None, time_zone: str | None, teacher: str | None, **_: Any
    ) -> Told:
        try:
            return first_start.find_out(LabProfile(school=school, language=language, time_zone=time_zone), teacher)
        except OSError as error:
            raise CommandError(f"What the lab was told can't be kept in DATA_DIR: {error}") from error

    def _open_to_network(self, site: ServedSite, told: Told, class_name: str | None) -> list[str]:
        """Certificates for all that the machine is called, and a first class; returns what to show with the address."""
        try:
            unsigned = door.certificates().ensure(settings.ALLOWED_HOSTS)
        except UnusableCertificateError as error:
            raise CommandError(str(error)) from error
        if unsigned:
            self._say(
                f"The lab's authority is older than {', '.join(unsigned)}: browsers will not trust it there. Removing "
                f"{door.certificates().folder} makes a new one, which each device has to be told to trust."
            )
        settings.HTTPS_PORT = site.https_port = self._free_port(site.host, settings.HTTPS_PORT)
        notes = [*([f"School: {told.school}"] if told.school else []), f"Time zone: {told.time_zone}", ""]
        if not first_start.has_classes():
            name = class_name or {"en": "My class", "de": "Meine Klasse"}[told.language]
            made = io.StringIO()
            arguments = {"teacher": told.teacher, "language": told.language, "superuser": True, "no_input": True}
            call_command("create_class", name, stdout=made, **arguments)
            notes += [*made.getvalue().splitlines(), "Write the password down: it is not shown again.", ""]
        return [*notes, "The authority's SHA-256, as devices show it:", *halves(door.certificates().fingerprint())]

    def _supervise(self, site: ServedSite, notes: Sequence[str]) -> None:
        """Until a signal. From here on nothing else ends it: what fails is tried again, and the rest keeps running."""
        network = LabNetwork(say=self._say)
        self.supervisor = supervisor = Supervisor(children(site), say=self._say)
        with embedded.tended(settings.DATA_DIR, say=self._say):
            try:
                supervisor.start()
                if self._wait_until_ready(supervisor, site):
                    self._print(lab_box(site, notes) if settings.LAB else ready_box(site.address, notes))
                while not self.stopping.is_set():
                    supervisor.restart_ended()
                    if settings.LAB and network.look():
                        self._print(lab_box(site, notes))
                    supervisor.rest(REST_SECONDS)
            finally:
                self._say("Stopping …")
                supervisor.stop(hurry=self.hurry)

    def _wait_until_ready(self, supervisor: Supervisor, site: ServedSite) -> bool:
        """True once the site answers and a worker sends heartbeats; False when asked to stop meanwhile."""
        deadline, seen = supervisor.clock() + READY_SECONDS, SeenWorkers()
        while not (site.is_ready() and seen.a_new_one()):
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
        self.https_port: int | None = None
        # An address that means "all of them" is none to connect to.
        self.local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared, not bound)

    @property
    def address(self) -> str:
        """What people open."""
        return self.url if self.https_port is None else door.https_url(self.seen_at)

    @property
    def trust_url(self) -> str:
        return f"http://{self.seen_at}:{self.port}/trust/"

    @property
    def seen_at(self) -> str:
        """The host by which others on the network reach it."""
        return addresses.best() if self.host in (EVERYWHERE, "::") else self.local

    @property
    def url(self) -> str:
        """Where this machine itself reaches it."""
        name = f"[{self.local}]" if ":" in self.local else self.local
        return f"http://{name}:{self.port}/"

    def is_ready(self) -> bool:
        """Whether it answers, and all that it needs does."""
        return self._answers("/readyz")

    def is_alive(self) -> bool:
        """Whether it answers at all. A database that is away is no reason to restart it."""
        return self._answers("/livez")

    def _answers(self, path: str) -> bool:
        asked = http.client.HTTPConnection(self.local, self.port, timeout=5)
        try:
            asked.request("GET", path, headers={"Host": f"localhost:{self.port}"})
            return asked.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            asked.close()

    def missing_or(self, other: str) -> str:
        return other if self.is_ready() else f"{self.url}readyz does not answer"


@contextmanager
def alone(data_dir: Path) -> Iterator[None]:
    """Two would drive one node, where the second one's worker can only fail. One that is ending is waited for.

    Raises:
        CommandError: another `up` runs there.
        EmbeddedError: there is no place for the lock.
    """
    with explained(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(data_dir / "up.lock")
    with lock:
        if not wait_until(lock.take, ENDING_SECONDS):
            raise CommandError(
                f"The lab of {data_dir} runs already, as process {lock.pid()}. Stop that one first (Ctrl-C, or "
                f"`kill {lock.pid()}`), or name another directory with --data-dir."
            )
        with suppress(OSError):  # on a full disk nobody learns the number
            lock.write_pid()
        yield


def children(site: ServedSite, *, echo: bool = True) -> list[SupervisedProcess]:
    """Site and worker; both find DATA_DIR, URLs and log format in the environment. `echo`: as `SupervisedProcess`."""
    root = Path(settings.BASE_DIR)
    env = dict(os.environ)
    if sys.stderr.isatty():
        env.setdefault("LOG_FORMAT", "console")
    listen = ["-b", site.host, "-p", str(site.port), "-v", "0"]
    if site.https_port is not None:
        env["HTTPS_PORT"] = str(site.https_port)
        listen += ["-e", tls_endpoint(site.host, site.https_port, door.certificates())]
    limits = ["--websocket-max-message-size", str(WEBSOCKET_MESSAGE_BYTES), "--no-server-name"]
    web = [sys.executable, "-m", "daphne", *listen, *limits, "introeval.asgi:application"]
    worker = [sys.executable, str(root / "manage.py"), "run_phase_worker"]
    watched = {"site": lambda _: site.is_alive(), "worker": heartbeats}
    commands = {"site": web, "worker": worker}
    return [
        SupervisedProcess(
            name,
            command,
            cwd=root,
            env=env,
            hang_watch=HangWatch(watched[name], settings.HANG_SECONDS),
            echo=echo,
        )
        for name, command in commands.items()
    ]


def heartbeats(pid: int) -> bool | None:
    """Whether the worker with this process id has sent a heartbeat lately. None: it is not known, or nobody can say."""
    try:
        row = Worker.objects.with_silence().filter(pid=pid, node=settings.NODE).order_by("-started_at").first()
    except (DatabaseError, InterfaceError):
        return None
    else:
        return None if row is None else row.is_alive
    finally:
        connection.close()


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


class LabNetwork:
    """A router may give the machine another address, and certificates end: both while the lab runs.

    The site takes the new certificate and the new hosts by itself (introeval/serving/tls.py).
    """

    def __init__(self, *, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.say, self.clock = say, clock
        self._told = (addresses.best(), "")
        self._look_at = self._renew_at = clock() + LOOK_SECONDS

    def look(self) -> bool:
        """Whether people have to be shown another address. Certificates are made anew where they need be."""
        now = self.clock()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        before, problem = self._told
        try:
            is_new, best = door.follow_addresses(), addresses.best()
        except OSError as error:  # no socket left, for one: the lab goes on with what it knows
            return self._tell(before, f"The machine's addresses can't be read: {error}.")
        if is_new or best != before or now >= self._renew_at or problem:
            self._renew_at = now + RENEW_SECONDS
            problem = self._ensure(best)
        return self._tell(best, problem)

    def _tell(self, best: str, problem: str) -> bool:
        before, self._told = self._told, (best, problem)
        if problem and problem != before[1]:
            self.say(f"ALERT: {problem}")
        return before[0] != best

    def _ensure(self, best: str) -> str:
        """Returns what is wrong. Of addresses it matters which people are told: others come and go, as IPv6's do."""
        try:
            unsigned = door.certificates().ensure(settings.ALLOWED_HOSTS)
        except UnusableCertificateError as error:
            return str(error)
        host = best.strip("[]")
        return f"The lab's authority can't vouch for {host}." if host in unsigned else ""


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


def tls_endpoint(host: str, port: int, certificates: Certificates) -> str:
    """As Twisted writes the place that daphne listens at."""
    from twisted.internet.endpoints import quoteStringArgument

    parts = {"interface": host, "privateKey": certificates.site_key, "certKey": certificates.site}
    named = [f"{name}={quoteStringArgument(str(value))}" for name, value in parts.items()]  # type: ignore[no-untyped-call]
    return ":".join(["ssl", str(port), *named])


def ready_box(url: str, notes: Sequence[str]) -> str:
    lines = [f"IntroEval is READY at {url}", "", *([*notes, ""] if notes else []), "Ctrl-C stops it."]
    width = max(len(line) for line in lines)
    edge = "─" * (width + 2)
    return "\n".join([f"┌{edge}┐", *(f"│ {line:<{width}} │" for line in lines), f"└{edge}┘"])


def lab_box(site: ServedSite, notes: Sequence[str]) -> str:
    """The same for a lab on the network, whose address may have changed since it was shown."""
    to_trust = ["First on each device, to trust the lab:", f"  {site.trust_url}", ""]
    return f"{ready_box(site.address, [*to_trust, *notes])}\n{qr(site.trust_url)}"


def halves(fingerprint: str) -> list[str]:
    middle = len(fingerprint) // 2 + 1
    return [f"  {fingerprint[:middle]}", f"  {fingerprint[middle:]}"]


def qr(url: str) -> str:
    """For a phone's camera, drawn with blocks."""
    drawn = io.StringIO()
    segno.make(url, error="l").terminal(drawn, compact=True)
    return drawn.getvalue()


def demo_logins() -> Iterable[tuple[str, str, str]]:
    from evaluations.demo import LOGINS

    return LOGINS
