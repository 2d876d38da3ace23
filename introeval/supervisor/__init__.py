"""Child processes kept running: started, watched, started again, stopped, none left behind."""

from __future__ import annotations

import errno
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
from introeval.supervisor.hangs import HangWatch

QUICK_SECONDS = 15.0  # an exit sooner than this counts as a failed start
# Before the next start, by failed starts on end. The longest is what a repaired cause is noticed after; a start that
# fails costs a second of processor time. The first two are together long enough for an orphaned predecessor to hand its
# work back and release its lock.
PAUSES_SECONDS = (2.0, 8.0, 15.0)
# The same where nothing says that the next one fails, too: it was killed, or had worked until it left by itself, as a
# worker does that was without its database for most of a lease.
AT_ONCE_SECONDS = (0.2, 0.5)
FAILED_STARTS = 3  # on end, until its last lines are shown
GRACE_SECONDS = 15.0
TAIL_LINES = 15

Say = Callable[[str], None]


class SupervisedProcess:
    """One program under supervision. What it prints appears on stderr, if it is to `echo`; its last lines are kept."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        hang_watch: HangWatch | None = None,
        echo: bool = True,
    ) -> None:
        self.hang_watch, self.echo = hang_watch, echo
        self.name, self.command, self.cwd = name, list(command), cwd
        self.env = dict(os.environ if env is None else env)
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.quick_exits = 0
        self.told = False  # that it does not come up
        self.start_at = 0.0
        self.process: subprocess.Popen[str] | None = None
        self._began = 0.0
        self._reader: Thread | None = None

    def start(self, now: float, on_end: Callable[[], object] = lambda: None) -> None:
        """
        Args:
            on_end: called when it has ended, on a thread of its own.

        Raises:
            OSError: the machine has no room for it.
        """
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
        waiter = Thread(target=_await_end, args=(self.process.pid, on_end), name=f"end of {self.name}", daemon=True)
        try:
            self._reader.start()
            waiter.start()
        except RuntimeError as error:  # no room for a thread
            self.kill()
            self.process.wait()
            self.process = None
            raise BlockingIOError(errno.EAGAIN, str(error)) from error

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
        """Count its exit and schedule the restart; returns a message about both."""
        assert self.process is not None
        killed = self.process.returncode == -signal.SIGKILL
        status = _in_words(self.process.returncode)
        if worked := now - self._began >= QUICK_SECONDS:
            self.quick_exits = 0
        self.quick_exits += 1
        self.process = None
        return self._schedule(now, f"ended ({status})", AT_ONCE_SECONDS if killed or worked else PAUSES_SECONDS)

    def record_failed_start(self, now: float, error: OSError) -> str:
        """Count that the machine had no room for it, and schedule the next try; returns a message about both."""
        self.quick_exits += 1
        return self._schedule(now, f"could not be started ({error.strerror})")

    def record_health(self, now: float) -> str:
        """That it is up again, once, if it was said not to come up; else nothing."""
        if not self.told or now - self._began < QUICK_SECONDS:
            return ""
        self.told = False
        return f"The {self.name} runs again."

    def _schedule(self, now: float, what: str, pauses: Sequence[float] = PAUSES_SECONDS) -> str:
        pause = pauses[min(self.quick_exits, len(pauses)) - 1]
        self.start_at = now + pause
        again = f"it starts again in {pause:g} s"
        if self.quick_exits < FAILED_STARTS or self.told:
            return f"The {self.name} {what}; {again}."
        self.told = True
        lines = "".join(f"\n    {line}" for line in self.tail)
        return (
            f"ALERT: the {self.name} {what}, {self.quick_exits} times in a row; {again}, and so on until it stays. "
            f"All else keeps running. `manage.py doctor` shows what is wrong. Its last lines:{lines}"
        )

    def terminate(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill it and all of its own, which are one process group."""
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def wait(self) -> None:
        if self.process is not None:
            self.process.wait()

    def _relay(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as lines, suppress(ValueError, OSError):
            for line in lines:
                self.tail.append(line.rstrip("\n"))
                if self.echo:
                    sys.stderr.write(line)
                    sys.stderr.flush()


class Supervisor:
    """Several children. Not thread-safe: all but `wake` belongs to the main thread."""

    def __init__(
        self, children: Sequence[SupervisedProcess], *, say: Say, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.children, self.say, self.clock = list(children), say, clock
        self.wake = Event()  # ends a rest

    def start(self) -> None:
        for child in self.children:
            self._start(child)
            if child.hang_watch:
                child.hang_watch.start(lambda child=child: child.pid)  # type: ignore[misc]

    def restart_ended(self) -> None:
        """Record the children that have ended, and start those again whose pause is over. However often one ends.

        One that hangs is killed first.
        """
        now = self.clock()
        for child in self.children:
            if child.hang_watch and child.hang_watch.hangs(child.pid) and not child.ended():
                self.say(f"ALERT: the {child.name} no longer answers; it is killed and started again.")
                child.kill()
                child.wait()
            if child.process is not None and child.ended():
                self.say(child.record_exit(now))
            if child.process is None and now >= child.start_at:
                self._start(child)
            elif child.process is not None and (words := child.record_health(now)):
                self.say(words)

    def rest(self, seconds: float) -> None:
        """Until a child ends, or is to be started again, or for so many seconds."""
        now = self.clock()
        starts = (child.start_at - now for child in self.children if child.process is None)
        self.wake.wait(max(0.0, min([seconds, *starts])))
        self.wake.clear()

    def _start(self, child: SupervisedProcess) -> None:
        try:
            child.start(self.clock(), self.wake.set)
        except OSError as error:  # no memory, no processes, no descriptors: the others may have to end first
            self.say(child.record_failed_start(self.clock(), error))

    def stop(self, *, grace: float = GRACE_SECONDS, hurry: Event | None = None) -> None:
        """Terminate each, wait for the grace period, then kill what is left. Setting `hurry` ends the wait."""
        for child in self.children:
            if child.hang_watch:
                child.hang_watch.stop()
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


def _await_end(pid: int, on_end: Callable[[], object]) -> None:
    """Not by the end of its output, which its own children may hold open."""
    with suppress(ChildProcessError):  # it was collected first
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    on_end()


def _in_words(returncode: int) -> str:
    return f"killed by {signal.Signals(-returncode).name}" if returncode < 0 else f"exit status {returncode}"
