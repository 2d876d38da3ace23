"""PostgreSQL and Valkey from wheels, so that one command is enough on a bare machine.

Every process that needs them is inside `services()` for as long as it does. They start under a start lock, each user
holds a shared lock on a second file, and whoever leaves and can take that one alone stops both: the last one out. A
killed process leaves its locks to the kernel, and servers that run on to the next one who enters.

    DATA_DIR/postgres/             the cluster
    DATA_DIR/services/             start.lock, users.lock, and per server its lock and its log
    /tmp/introeval-UID/DIGEST/     the sockets, entered by the servers' account only (and root)

`DATABASE_URL` and `REDIS_URL` replace the servers, each its own. Nothing here reads Django's settings: they read this.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from introeval.embedded import postgres, valkey
from introeval.embedded.errors import EmbeddedError, explained
from introeval.embedded.layout import ServiceLayout
from introeval.embedded.locks import FileLock, wait_until
from introeval.embedded.postgres import Postgres
from introeval.embedded.server import EmbeddedServer, starting
from introeval.embedded.tending import Tender
from introeval.embedded.valkey import Valkey

__all__ = [
    "EmbeddedError",
    "data_dir",
    "database_url",
    "redis_url",
    "replace",
    "services",
    "services_for",
    "tended",
    "write_once",
]

PARENT_SECONDS = 2.0

# They look at code and files only; `doctor` starts the services itself, to report when it can't.
WITHOUT_SERVICES = {"check", "collectstatic", "diffsettings", "doctor", "findstatic", "help", "version"}
DATA_DIR_COMMANDS = {"doctor", "up"}
# They break what they run on, so they get a DATA_DIR and servers of their own, gone when they end.
SCRATCH_COMMANDS = {"rehearse_lab", "soak"}
LAB_DATA_DIR = "INTROEVAL_LAB_DATA_DIR"  # for them: the DATA_DIR that they would have had


def data_dir() -> Path:
    """DATA_DIR, resolved; `var` beside manage.py unless the environment names another."""
    return _resolved(os.environ.get("DATA_DIR") or Path(__file__).parent.parent.parent / "var")


def _resolved(path: Path | str) -> Path:
    """Without links. One that leads to itself stays: whoever uses it gets an OSError, `Path.resolve` raises another."""
    return Path(os.path.realpath(path))


def database_url(data_dir: Path) -> str:
    """Where the embedded PostgreSQL of `data_dir` listens, running or not (a Unix socket).

    The host is a directory, so it stands in the path: `env.db_url_config` neither decodes nor keeps the case of a
    percent-encoded host.
    """
    return f"postgresql://{postgres.USER}@/{ServiceLayout(_resolved(data_dir)).sockets}/{postgres.NAME}"


def redis_url(data_dir: Path) -> str:
    """Where the embedded Valkey of `data_dir` listens, running or not (a Unix socket)."""
    return f"unix://{ServiceLayout(_resolved(data_dir)).sockets / valkey.SOCKET_NAME}"


def write_once(path: Path, text: str) -> None:
    """Write `text` (mode 0600) unless the file exists; atomic, so that two first starts agree on one content."""
    if not path.exists():
        with suppress(FileExistsError):  # somebody else was first: theirs is the content
            _write(path, text, os.link)


def replace(path: Path, text: str) -> None:
    """Write `text` (mode 0600) in place of what is there, whole or not at all."""
    _write(path, text, os.replace)


def _write(path: Path, text: str, put: Callable[[str, Path], None]) -> None:
    fd, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(fd)
            if os.geteuid() == 0:
                os.fchown(fd, *ServiceLayout(path.parent).owner.ids)
        put(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)


@contextmanager
def services_for(argv: Sequence[str], *, first: Callable[[], None] = lambda: None) -> Iterator[None]:
    """What `manage.py` wraps around a command: the embedded services, when the command needs any and none are given.

    `first` is called before they start, when it is settled which DATA_DIR the command line means. A termination signal
    unwinds it like Ctrl-C, so that the last one out stops the servers. An `EmbeddedError` ends the process with its
    words and exit status 1.
    """
    _take_options(argv)
    try:
        with _unwinding_on_termination(), _scratch(argv):
            first()
            if needs_services(argv):
                with services(data_dir()):
                    yield
            else:
                yield
    except EmbeddedError as error:
        sys.exit(f"introeval: {error}")


def needs_services(argv: Sequence[str]) -> bool:
    """Whether this command line touches the database or the broker."""
    if len(argv) < 2 or argv[1].startswith("-") or {"-h", "--help", "--version"} & set(argv):
        return False
    if argv[1] == "check":
        return any(each.startswith("--da") for each in argv)  # --database, --database=NAME, shortened
    return argv[1] not in WITHOUT_SERVICES


@contextmanager
def services(data_dir: Path) -> Iterator[None]:
    """Both servers up, shared by every process that is inside this context for the same `data_dir`.

    Raises:
        EmbeddedError: they can't run, with what fixes it.
    """
    place = ServiceLayout(_resolved(data_dir))
    both = _both(place)
    wanted = _wanted(both)
    if not wanted:
        yield
        return
    place.prepare()
    entered, parent = os.getpid(), os.getppid()
    with explained(place.data_dir):
        users = FileLock(place.services / "users.lock", owner=place.owner.ids)
    try:
        _enter(place, users, wanted)
        yield
    finally:
        if os.getpid() == entered:  # a forked child that unwinds has not left for its parent
            _leave(place, users, both, parent)


@contextmanager
def tended(data_dir: Path, *, say: Callable[[str], None]) -> Iterator[None]:
    """Keep the servers of `services(data_dir)`, inside of which it is used, running whatever happens to them."""
    place = ServiceLayout(_resolved(data_dir))
    tenders = [Tender(server, say=say) for server in _wanted(_both(place))]
    for tender in tenders:
        tender.start()
    try:
        yield
    finally:
        for tender in tenders:
            tender.stop()


def _both(place: ServiceLayout) -> list[EmbeddedServer]:
    return [Postgres(place), Valkey(place)]


def _wanted(both: Sequence[EmbeddedServer]) -> list[EmbeddedServer]:
    """Those that no address in the environment replaces."""
    replaced = [os.environ.get("DATABASE_URL"), os.environ.get("REDIS_URL")]
    return [server for server, url in zip(both, replaced, strict=True) if not url]


def _enter(place: ServiceLayout, users: FileLock, wanted: list[EmbeddedServer]) -> None:
    for server in wanted:
        server.program()  # a missing one is told before the other is made
    with starting(place):
        users.share()
        place.open_sockets()
        for server in wanted:
            server.ensure_running()


def _leave(place: ServiceLayout, users: FileLock, both: list[EmbeddedServer], parent: int) -> None:
    """Let go; the last one out stops both servers, whichever of them it used itself."""
    with users, starting(place):
        last = users.take()
        if not last and _is_dying(parent):
            # We leave because it was killed, and the kernel signals children before it closes the parent's files.
            last = wait_until(users.take, PARENT_SECONDS)
        if last:
            for server in reversed(both):
                server.stop()
            place.close_sockets()


def _is_dying(parent: int) -> bool:
    """Whether the process that started this one has ended, or its main thread has and the others are about to."""
    if os.getppid() != parent:
        return True
    try:
        facts = Path(f"/proc/{parent}/stat").read_text()
    except OSError:
        return False
    return facts.rpartition(")")[2].split()[0] in "ZX"


def _take_options(argv: Sequence[str]) -> None:
    """Options of `up` and `doctor` that are settings, before any of these are read: `--lab` becomes LAB, for one."""
    if len(argv) < 2 or argv[1] not in DATA_DIR_COMMANDS:
        return
    parser = argparse.ArgumentParser(prog=f"manage.py {argv[1]}", add_help=False, allow_abbrev=False)
    for option in ("--data-dir", "--school", "--time-zone"):
        parser.add_argument(option)
    parser.add_argument("--lab", action="store_true")
    given = parser.parse_known_args(argv[2:])[0]
    if given.data_dir is not None:
        os.environ["DATA_DIR"] = str(_resolved(given.data_dir))
    if given.lab:
        os.environ["LAB"] = "1"
    for name, value in (("SCHOOL", given.school), ("TIME_ZONE", given.time_zone)):
        if value is not None:
            os.environ[name] = value


@contextmanager
def _scratch(argv: Sequence[str]) -> Iterator[None]:
    """Hide the lab's data from a command of SCRATCH_COMMANDS, before any settings are read."""
    if len(argv) < 2 or argv[1] not in SCRATCH_COMMANDS:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="introeval-scratch-") as folder:
        os.environ[LAB_DATA_DIR] = str(data_dir())
        for given in ("DATABASE_URL", "REDIS_URL"):
            os.environ.pop(given, None)
        os.environ |= {"DATA_DIR": folder, "INTROEVAL_REHEARSAL": "1"}
        os.environ.setdefault("LOG_LEVEL", "ERROR")  # what it does to its workers is no news
        yield


@contextmanager
def _unwinding_on_termination() -> Iterator[None]:
    """Have a termination signal leave this context as `SystemExit(128 + signum)`, every `finally` on the way run.

    Whatever it became on its way: amid an import, Python 3.11 makes a RuntimeError of what `__set_name__` raises.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []

    def terminate(signum: int, frame: FrameType | None) -> NoReturn:
        told.append(signum)
        raise SystemExit(128 + signum)

    for signum in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is signal.SIG_DFL:
            signal.signal(signum, terminate)
    try:
        yield
    except BaseException:
        if not told:
            raise
        raise SystemExit(128 + told[0]) from None
