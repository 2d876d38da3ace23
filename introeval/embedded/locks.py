"""Kernel locks on files: who uses the services, and whether a server is alive.

A `flock` belongs to an open file, not to a process: it is let go when the last descriptor closes, which the kernel does
for a process however it dies. A child that inherits the descriptor keeps the lock. No pid file is as truthful: pids are
used again, after a restart of a container even at once.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

POLL_SECONDS = 0.01


def wait_until(condition: Callable[[], bool], seconds: float, *, every: float = POLL_SECONDS) -> bool:
    """Ask again and again until it holds; False when it still did not after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(every)
    return True


class FileLock:
    """One open description of a lock file; `with` closes it, and so lets go unless a child inherited it."""

    def __init__(self, path: Path, *, owner: tuple[int, int] | None = None) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        if owner is not None and os.geteuid() == 0:
            os.fchown(self.fd, *owner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self.fd)

    def take(self) -> bool:
        """Take it alone, at once; False when anybody else holds it."""
        return self._flock(fcntl.LOCK_EX)

    def share(self) -> bool:
        """Take it together with others, at once; False when somebody holds it alone."""
        return self._flock(fcntl.LOCK_SH)

    def _flock(self, kind: int) -> bool:
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def write_pid(self) -> None:
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, b"%d\n" % os.getpid(), 0)

    def pid(self) -> int | None:
        """Who last wrote its pid here: the holder, or one that died."""
        text = os.pread(self.fd, 32, 0).strip()
        return int(text) if text.isdigit() else None


@contextmanager
def held(path: Path, *, owner: tuple[int, int], seconds: float) -> Iterator[None]:
    """Hold the lock alone for the length of the block.

    Raises:
        TimeoutError: somebody else held it all the time.
    """
    with FileLock(path, owner=owner) as lock:
        if not wait_until(lock.take, seconds):
            raise TimeoutError(f"process {lock.pid()} has held {path} for {seconds:.0f} s")
        lock.write_pid()
        yield
