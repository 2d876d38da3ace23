"""Child processes kept running: started, watched, started again, stopped, none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

from introeval.embedded import launcher

QUICK_SECONDS = 15.0  # an exit sooner than this counts as a failed start
MAX_QUICK_EXITS = 3
# Together long enough for an orphaned predecessor to hand its work back and release its lock.
BACKOFF_SECONDS = (2.0, 8.0)
GRACE_SECONDS = 15.0
TAIL_LINES = 15

Say = Callable[[str], None]


class RestartLimitError(Exception):
    """A child process exited again and again, right after its start."""

    def __init__(self, name: str, status: str, tail: Sequence[str]) -> None:
        lines = "".join(f"\n    {line}" for line in tail)
        super().__init__(f"The {name} ended {MAX_QUICK_EXITS} times in a row ({status}). Its last lines:{lines}")


class SupervisedProcess:
    """One program under supervision. What it prints appears on stderr; its last lines are kept."""

    def __init__(self, name: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        self.name, self.command, self.cwd = name, list(command), cwd
        self.env = dict(os.environ if env is None else env)
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.quick_exits = 0
        self.start_at = 0.0
        self.process: subprocess.Popen[str] | None = None
        self._began = 0.0
        self._reader: Thread | None = None

    def start(self, now: float) -> None:
        # Call it in a thread that lives as long as this process: the kernel's "parent" is the thread that forked.
        follow = [sys.executable, "-I", "-S", launcher.__file__, "--parent", str(os.getpid()), "--"]
        self.process = subprocess.Popen(
            [*follow, *self.command],
            cwd=self.cwd,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C is for the supervisor; a second signal would mean "at once" to a worker
        )
        self._began = now
        self._reader = Thread(target=self._relay, args=(self.process,), name=f"lines of {self.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process else None

    def ended(self) -> bool:
        """Whether it has exited; then what is left of its process group is killed before its number is free again."""
        if self.process is None:
            return True
        if self.process.returncode is None:
            if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                return False
            self.kill()
            self.process.wait()
        if self._reader is not None:
            self._reader.join(timeout=1)
        return True

    def record_exit(self, now: float) -> str:
        """Count its exit and schedule the restart; returns a message about both.

        Raises:
            RestartLimitError: it exited soon after its start MAX_QUICK_EXITS times in a row.
        """
        assert self.process is not None
        status = _in_words(self.process.returncode)
        self.quick_exits = self.quick_exits + 1 if now - self._began < QUICK_SECONDS else 1
        if self.quick_exits >= MAX_QUICK_EXITS:
            raise RestartLimitError(self.name, status, self.tail)
        self.process, self.start_at = None, now + BACKOFF_SECONDS[self.quick_exits - 1]
        return f"The {self.name} ended ({status}); it starts again in {BACKOFF_SECONDS[self.quick_exits - 1]:.0f} s."

    def terminate(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill it and all of its own, which are one process group."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines, suppress(ValueError, OSError):
            for line in lines:
                self.tail.append(line.rstrip("\n"))
                sys.stderr.write(line)
                sys.stderr.flush()


class Supervisor:
    """Several children. Not thread-safe: `start`, `restart_ended` and `stop` belong to the main thread."""

    def __init__(
        self, children: Sequence[SupervisedProcess], *, say: Say, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.children, self.say, self.clock = list(children), say, clock

    def start(self) -> None:
        for child in self.children:
            child.start(self.clock())

    def restart_ended(self) -> None:
        """Record the children that have ended, and start those again whose pause is over.

        Raises:
            RestartLimitError: one of them may not be started again.
        """
        now = self.clock()
        for child in self.children:
            if child.process is not None and child.ended():
                self.say(child.record_exit(now))
            if child.process is None and now >= child.start_at:
                child.start(now)

    def stop(self, *, grace: float = GRACE_SECONDS, hurry: Event | None = None) -> None:
        """Terminate each, wait for the grace period, then kill what is left. Setting `hurry` ends the wait."""
        for child in self.children:
            child.terminate()
        deadline = self.clock() + grace
        while not self._all_ended() and self.clock() < deadline and not (hurry and hurry.is_set()):
            time.sleep(0.05)
        for child in self.children:
            child.kill()
        while not self._all_ended():
            time.sleep(0.01)

    def _all_ended(self) -> bool:
        ended = [child.ended() for child in self.children]  # every one, not up to the first that runs: it reaps them
        return all(ended)


def _in_words(returncode: int) -> str:
    return f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit status {returncode}"
