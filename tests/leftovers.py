"""Processes that a test, or a whole session of pytest, left running: finds them and kills them.

Two marks in the environment that they were started with tell them from all others: the session's (MARK), and which test
started them (pytest's own PYTEST_CURRENT_TEST). Embedded servers have neither, but hold the lock of a folder that is
the session's or that one of its processes had open.

As a program it watches over pytest, which a time-out by `thread` or a SIGKILL ends without another word:

    python -I -S leftovers.py PID SESSION FOLDER…
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

MARK = "INTROEVAL_TEST_SESSION"
TEST_MARK = "PYTEST_CURRENT_TEST"
SERVICES = "/services/"  # in a DATA_DIR: the locks of its users and its servers
LOOK_SECONDS = 0.5
KILL_SECONDS = 10.0


def started_with(**variables: str) -> set[int]:
    """Living processes that were started with all of these in their environment, this one left out."""
    wanted = [b"\0" + os.fsencode(f"{name}={value}") + b"\0" for name, value in variables.items()]
    return {pid for pid in _living() if all(mark in _environment(pid) for mark in wanted)}


def servers_of(folders: Collection[str]) -> set[int]:
    """Living processes that hold a lock of embedded services in or below one of these folders."""
    return {pid for pid in _living() if any(each.startswith(tuple(folders)) for each in locked_folders(pid))}


def locked_folders(pid: int) -> Iterator[str]:
    """Each DATA_DIR of whose locks that process has one open."""
    with suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                path = str(descriptor.readlink())
                if SERVICES in path and path.endswith(".lock"):
                    yield path.rpartition(SERVICES)[0]


def kill_all(*, spare: Collection[str] = (), folders: Collection[str] = (), **variables: str) -> None:
    """Kill who was started with `variables`, then the servers they used (but not those of `spare`) and of `folders`."""
    deadline = time.monotonic() + KILL_SECONDS
    used = set(folders)
    while (pids := started_with(**variables)) and time.monotonic() < deadline:
        used |= {folder for pid in pids for folder in locked_folders(pid)} - set(spare)
        _kill(pids)
        time.sleep(0.02)  # until none is left: one of them may just have started another
    while used and (pids := servers_of(used)) and time.monotonic() < deadline:
        _kill(pids)
        time.sleep(0.02)


def _kill(pids: Collection[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def _living() -> Iterator[int]:
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            with suppress(OSError):
                if (place / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX":
                    yield int(place.name)


def _environment(pid: int) -> bytes:
    try:
        return b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def main(parent: str, session: str, *folders: str) -> None:
    while os.getppid() == int(parent):
        time.sleep(LOOK_SECONDS)
    kill_all(folders=folders, **{MARK: session})


if __name__ == "__main__":
    main(*sys.argv[1:])
