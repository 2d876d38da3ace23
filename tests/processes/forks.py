"""Processes of ours that begin with a fork: a worker is there for a quarter of the processor's time.

What takes Python longest is to import. A server, one for each lane of pytest, imports all that reads neither settings
nor environment, and forks itself for each program. The fork gets arguments, environment, folder and streams of its own,
reads the settings by them, and goes on as `python manage.py …` or `python -m …` does, to the end of the interpreter.

Two things are not its own: its parent is the server, and /proc/PID/cmdline and environ are the server's. What a test
finds by those, what replaces or examines modules before they are imported, and what starts our programs as people do
(`up`, `rate_text`) is started with subprocess.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

from tests import leftovers

ROOT: Final = Path(__file__).parents[2]
# Imported before a fork: neither these nor what they import read settings or environment while they are imported.
PRELOADED: Final = (
    "autobahn.wamp.message",
    "autobahn.websocket.protocol",
    "channels_redis.pubsub",
    "csp.middleware",
    "django.contrib.admin.options",
    "django.core.management",
    "django.core.management.commands.check",
    "django.db.backends.postgresql.base",
    "django.template.backends.django",
    "django_htmx.middleware",
    "django_stubs_ext",
    "evaluations.rating.checks",
    "evaluations.rating.gates",
    "evaluations.stages.prompts",
    "introeval.embedded",
    "introeval.logs",
    "psycopg_pool",
    "queueing.engines.build",
    "queueing.forecast.published",
    "queueing.policy",
    "structlog.dev",
    "twisted.internet.ssl",
    "twisted.web.http",
    "whitenoise.middleware",
)
# The last one of these makes an event loop.
TOO_EARLY: Final = {"introeval.settings", "pynvml", "queueing.failpoints", "queueing.gpu", "twisted.internet.reactor"}
MESSAGE_BYTES: Final = 1 << 17

Program = Callable[[], None]


class Fork(subprocess.Popen[bytes]):
    """A forked process, with those of Popen's methods that need no pipe."""

    def __init__(self, program: Sequence[str], pid: int, status: int, test: str) -> None:
        """
        Args:
            status: a pipe that gives its exit status when it has ended, as `returncode` has it.
            test: the value of PYTEST_CURRENT_TEST that it was started in.
        """
        self._child_created = False  # for Popen, which would wait for a child of this process
        self.stdin = self.stdout = self.stderr = self.returncode = None
        self.args, self.pid, self.test = program, pid, test
        self._status = os.fdopen(status, "rb", buffering=0)

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        ended = self._ended(timeout)
        if ended is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return ended

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is not None:
            return self.returncode
        waiting = select.poll()
        waiting.register(self._status, select.POLLIN)
        if waiting.poll(None if timeout is None else timeout * 1000):
            with self._status:
                self.returncode = int(self._status.read(16) or -signal.SIGKILL)  # nothing: the server was killed
        return self.returncode


class ForkServer:
    """Started with the first fork that is asked for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._forks: list[Fork] = []

    def start(
        self, program: Sequence[str], *arguments: str, env: Mapping[str, str], stdout: int = 1, stderr: int = 2
    ) -> Fork:
        """`program` is a script of the project (`manage.py`) or `-m` and a module; in the project's folder."""
        report, status = os.pipe()
        asked = json.dumps({"program": [*program], "arguments": arguments, "env": {**env}}).encode()
        try:
            with self._lock:
                channel = self._running()
                socket.send_fds(channel, [asked], [0, stdout, stderr, status])
                pid = int(channel.recv(16))
                self._forks = [fork for fork in self._forks if fork.returncode is None]
                self._forks.append(Fork(program, pid, report, os.environ.get(leftovers.TEST_MARK, "")))
                return self._forks[-1]
        finally:
            os.close(status)

    def run(
        self, program: Sequence[str], *arguments: str, env: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Start it and wait for its end, for `timeout` seconds; what it wrote is in the result."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            fork = self.start(program, *arguments, env=env, stdout=out.fileno(), stderr=err.fileno())
            try:
                fork.wait(timeout)
            finally:
                fork.kill()
                status = fork.wait()
            said = [os.pread(file.fileno(), 1 << 24, 0).decode() for file in (out, err)]
        return subprocess.CompletedProcess([*program, *arguments], status, *said)

    def kill_started_by(self, test: str) -> None:
        for fork in self._forks:
            if fork.test == test:
                fork.kill()

    def stop(self) -> None:
        """The forks live on, as a process does whose parent ends."""
        if self._process is not None:
            self._channel.close()
            self._process.wait()

    def _running(self) -> socket.socket:
        if self._process is None:
            self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            env = {name: value for name, value in os.environ.items() if name != leftovers.TEST_MARK}
            # No thread beside the one that forks. A fork has the variable only if it is given to it.
            env["OPENBLAS_NUM_THREADS"] = "1"
            command = [sys.executable, "-m", __name__, str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, env=env, pass_fds=[theirs.fileno()])
            theirs.close()
        return self._channel


def serve(descriptor: int) -> Program | None:
    """Fork for each request, and report how each fork ended; None when nobody can ask any more.

    In the fork it returns what to run, so that nothing of this server is left on its stack.
    """
    for name in PRELOADED:
        importlib.import_module(name)
    assert not TOO_EARLY & sys.modules.keys()
    assert len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - a thread would be missing in the forks
    gc.freeze()  # else the first collection in each fork writes to, and so copies, all of it
    interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest and the forks
    with socket.socket(fileno=descriptor) as channel:
        living: dict[int, tuple[int, int]] = {}  # by a descriptor of the process: its id, and where its end is reported
        events = select.poll()
        events.register(channel, select.POLLIN)
        while True:
            for ready, _ in events.poll():
                if ready in living:
                    pid, status = living.pop(ready)
                    events.unregister(ready)
                    os.write(status, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
                    os.close(status)
                    os.close(ready)
                    continue
                asked, descriptors, _, _ = socket.recv_fds(channel, MESSAGE_BYTES, 4)
                if not asked:
                    return None
                pid = os.fork()
                if not pid:
                    for inherited in (*living, *(status for _, status in living.values())):
                        os.close(inherited)
                    signal.signal(signal.SIGINT, interrupted)
                    return _program(json.loads(asked), descriptors)
                channel.send(str(pid).encode())
                watched = os.pidfd_open(pid)
                living[watched] = pid, descriptors[-1]
                events.register(watched, select.POLLIN)
                for stream in descriptors[:-1]:
                    os.close(stream)


def _program(asked: dict[str, object], descriptors: list[int]) -> Program:
    *streams, status = descriptors
    os.close(status)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    program, arguments, env = asked["program"], asked["arguments"], asked["env"]
    assert isinstance(program, list)
    assert isinstance(arguments, list)
    assert isinstance(env, dict)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [program[-1], *arguments]
    if program[0] == "-m":
        return lambda: void(runpy.run_module(program[-1], run_name="__main__", alter_sys=True))
    return lambda: void(runpy.run_path(str(ROOT / program[-1]), run_name="__main__"))


def void(result: object) -> None:
    """A program's names are of no use to anybody."""


server: Final = ForkServer()

if __name__ == "__main__":
    run = serve(int(sys.argv[1]))
    if run is not None:
        run()
