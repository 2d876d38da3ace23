"""A model in a process of its own: what it does to memory, to the GPU or to itself ends with that process.

The parent spawns `python -m queueing.engines.child`, without Django, and names a factory (`package.module:callable`).
The object that the factory returns lives in the child; `EngineChild.call` runs one of its methods there and passes
on its progress.

    parent                                   child
    Start(factory, arguments)      →         imports, builds the model
                                   ←         Ready | Failure
    Call(method, arguments)        →         runs it
                                   ←         Progressed*, then Answer | Failure

A child never outlives its parent, not even one killed by -9: the kernel itself sends SIGKILL when the parent's end of
the lifeline closes, also while a C call in the child holds Python's lock. PR_SET_PDEATHSIG would not do: it fires when
the *thread* that spawned the child ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

from queueing.engines.base import Progress
from queueing.engines.pulse import Pulse
from queueing.exceptions import Crashed, Infrastructure, Interrupted, OutOfMemory, Permanent, StageError, Transient

ROOT = Path(__file__).resolve().parents[2]
TICK_SECONDS = 0.05  # how often a waiting call checks `stop` and the clock
DEATH_SECONDS = 10.0  # how long a killed process may take to end, its GPU memory released
LOAD_SECONDS = 300.0  # a large model from a cold, slow disk
# A model needs no database password. What it gets: where programs, libraries and devices are.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "XDG_CACHE_HOME")
INHERITED_FAMILIES = ("LC_", "CUDA_", "NVIDIA_", "OMP_", "PYTHON")


@dataclass(frozen=True, slots=True)
class Start:
    factory: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ready:
    facts: Any


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Progressed:
    done: float
    total: float


@dataclass(frozen=True, slots=True)
class Answer:
    value: Any


@dataclass(frozen=True, slots=True)
class Failure:
    error: StageError


@dataclass(frozen=True, slots=True)
class CallTimeouts:
    """How long a call may take, in seconds; None is for ever."""

    total: float | None = None  # past it the child is killed: `Transient(code="too_slow")`
    without_progress: float | None = None  # past it the child is killed: `Crashed(code="hung")`
    without_life: float | None = None  # the same, where it does not even use the processor (engines/pulse.py)


def _ignore(done: float, total: float) -> None:
    """Progress that is not wanted."""


@dataclass
class EngineChild:
    """The parent's side. One call at a time; `start` and `terminate` are idempotent.

    Any failure that leaves the model's state in doubt (everything but Permanent and Transient) ends the process: the
    next `start` begins with a fresh one.
    """

    factory: str
    facts: Any = None  # what the model reported about itself: its attribute `facts`, if it has one
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _connection: Connection | None = field(default=None, init=False)
    _lifeline: int | None = field(default=None, init=False)
    _sender: Thread | None = field(default=None, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    @property
    def pid(self) -> int | None:
        """The child's process id while it lives."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def resident_bytes(self) -> int:
        """The child's resident set size; 0 when it has ended."""
        pid = self.pid
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) if pid else 0
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def pulse(self) -> Pulse:
        """Of the process that lives now."""
        return Pulse(self.pid)

    def start(
        self, arguments: Mapping[str, Any], *, within: float = LOAD_SECONDS, without_life: float | None = None
    ) -> None:
        """Spawn the process and build the model; returns when it answers. Raises what the factory raised.

        What takes longer than `within`, or is still for longer than `without_life`, is killed: see `CallTimeouts`.
        """
        if self.pid is not None:
            return
        self.terminate()  # whatever a crash left behind
        self.facts = None
        self._spawn()
        with self._lock:
            try:
                timeouts = CallTimeouts(within, without_life=without_life)
                self.facts = self._converse(Start(self.factory, arguments), _ignore, None, timeouts)
            except BaseException:
                self.terminate()
                raise

    def call(
        self,
        method: str,
        *arguments: Any,
        progress: Progress = _ignore,
        stop: Event | None = None,
        timeouts: CallTimeouts | None = None,
    ) -> Any:
        """Run `method(*arguments, progress=…)` of the child's object and return its value.

        Raises:
            StageError: the one raised in the child, of the same class.
            Interrupted: `stop` was set; the child has ended.
            Crashed: the child died, or made no progress for too long (code `hung`).
            Transient: it took longer than `timeouts.total` (code `too_slow`).
            Infrastructure: there is no child (code `not_loaded`).
        """
        with self._lock:
            if self._connection is None:
                raise Infrastructure("The model is not loaded.", code="not_loaded")
            try:
                return self._converse(Call(method, arguments), progress, stop, timeouts or CallTimeouts())
            except (Permanent, Transient) as error:
                if error.code == "too_slow":
                    self.terminate()
                raise
            except BaseException:
                self.terminate()
                raise

    def terminate(self) -> None:
        """Kill the process; returns when it has ended and all the memory that it held is free.

        Raises:
            Infrastructure: the kernel can't end it (a hung device): its memory is still taken (code `undead_model`).
        """
        process = self._process
        if process is not None:
            process.kill()
            try:
                process.wait(DEATH_SECONDS)
            except subprocess.TimeoutExpired as error:
                message = f"The model's process {process.pid} can't be ended; the device may need a restart."
                raise Infrastructure(message, code="undead_model") from error
        if self._sender is not None:
            self._sender.join(
                DEATH_SECONDS
            )  # it writes to a dead peer: over at once, and before its descriptor is reused
        if self._connection is not None:
            self._connection.close()
        if self._lifeline is not None:
            os.close(self._lifeline)
        self._process = self._sender = self._connection = self._lifeline = None

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        lifeline_read, self._lifeline = os.pipe()
        descriptors = (theirs.fileno(), lifeline_read)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "queueing.engines.child", *map(str, descriptors)],
                pass_fds=descriptors,
                cwd=ROOT,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=2,  # the parent's own output may be JSON for another program
                start_new_session=True,  # Ctrl-C is for the parent to handle
            )
        finally:
            theirs.close()
            os.close(lifeline_read)
        self._connection = Connection(ours.detach())

    def _converse(self, request: Start | Call, progress: Progress, stop: Event | None, timeouts: CallTimeouts) -> Any:
        """Send the request and read until it is answered."""
        assert self._connection is not None
        # A minute of audio does not fit into a socket's buffer, and a stopped child reads nothing: `stop` must work.
        self._sender = Thread(target=_send, args=(self._connection, request), daemon=True)
        self._sender.start()
        began = moved = time.monotonic()
        pulse = self.pulse()
        while True:
            now = time.monotonic()
            _give_up(now - began, now - moved, pulse.look(), stop, timeouts)
            match self._receive():
                case Progressed(done, total):
                    moved = now
                    pulse.moved()
                    progress(done, total)
                case Answer(value) | Ready(value):
                    return value
                case Failure(error):
                    raise error

    def _receive(self) -> Progressed | Answer | Ready | Failure | None:
        """The child's next message, or None when there is none within a tick."""
        assert self._connection is not None
        try:
            return self._connection.recv() if self._connection.poll(TICK_SECONDS) else None
        except (EOFError, OSError) as error:
            raise Crashed(f"The model's process {self._epitaph()}.") from error

    def _epitaph(self) -> str:
        """How the process died, as text: it closed its end, so it is dead or about to be."""
        assert self._process is not None
        try:
            status = self._process.wait(DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            return "hung up without ending"
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"


def _send(connection: Connection, request: Start | Call) -> None:
    # The reader of the other direction learns that the child has ended and how; this thread only has to end.
    with contextlib.suppress(OSError):
        connection.send(request)


def _give_up(took: float, still: float, lifeless: float, stop: Event | None, timeouts: CallTimeouts) -> None:
    if stop is not None and stop.is_set():
        raise Interrupted
    if timeouts.total is not None and took > timeouts.total:
        raise Transient(f"The model took longer than {timeouts.total:.0f} s.", code="too_slow")
    if timeouts.without_progress is not None and still > timeouts.without_progress:
        raise Crashed(f"The model made no progress for {timeouts.without_progress:.0f} s.", code="hung")
    if timeouts.without_life is not None and lifeless > timeouts.without_life:
        raise Crashed(f"The model's process did nothing for {timeouts.without_life:.0f} s.", code="hung")


def _environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key in INHERITED or key.startswith(INHERITED_FAMILIES)}
    # Weights come from where they are named: a lab's machine may have no way out to a hub. And a thread that waits
    # for its siblings must sleep, not spin: the site runs on the same cores.
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


# The child's side.


def host(connection_fd: int, lifeline: int) -> int:
    """Build what Start names, answer calls until the parent hangs up; returns the process's exit status."""
    _die_with_parent(lifeline)
    connection = Connection(connection_fd)
    try:
        start = connection.recv()
        model = _attempt(connection, lambda: _build(start))
        connection.send(Ready(getattr(model, "facts", None)))
        while True:
            _serve(connection, model, connection.recv())
    except _Doomed:
        return 1
    except (EOFError, OSError):
        return 0


def _serve(connection: Connection, model: Any, call: Call) -> None:
    def progress(done: float, total: float) -> None:
        connection.send(Progressed(done, total))

    try:
        answer = _attempt(connection, lambda: getattr(model, call.method)(*call.arguments, progress=progress))
    except (Permanent, Transient):
        return  # sent, and the model is as good as before
    connection.send(Answer(answer))


class _Doomed(Exception):
    """The failure was sent; the model's state is in doubt, so the process ends."""


def _attempt(connection: Connection, work: Callable[[], Any]) -> Any:
    """Do the work; its failure is sent to the parent before it is raised here."""
    try:
        return work()
    except (Permanent, Transient) as error:
        connection.send(Failure(error))
        raise
    except Exception as error:
        connection.send(Failure(_as_stage_error(error)))
        raise _Doomed from error


def _as_stage_error(error: Exception) -> StageError:
    match error:
        case StageError():
            return error
        case MemoryError():
            return OutOfMemory()
        case ImportError():
            return Infrastructure(f"{error}: `make setup` installs what is missing.", code="model_missing")
    traceback.print_exception(error)
    return Crashed(f"The model failed with {type(error).__name__}: {error}")


def _build(start: Start) -> Any:
    module, _, name = start.factory.partition(":")
    return getattr(importlib.import_module(module), name)(**start.arguments)


def _die_with_parent(lifeline: int) -> None:
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([lifeline], [], [], 0)[0]:
        os.kill(os.getpid(), signal.SIGKILL)  # it ended before the kernel could be asked to watch


if __name__ == "__main__":
    # The messages must be of `queueing.engines.child`, not of `__main__`, to be understood on the other side.
    from queueing.engines import child

    sys.exit(child.host(int(sys.argv[1]), int(sys.argv[2])))
