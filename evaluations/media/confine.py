"""The limits that the decoding child sets itself before it opens a file: memory, time, files, network, lifetime."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import threading

MEMORY_BYTES = 1024 * 1024 * 1024  # of address space; a film of the largest allowed pictures needs less than 0.15
CPU_SECONDS = 60  # four hours of FLAC take one, ten minutes of AAC as well
OPEN_FILES = 32

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def confine() -> None:
    """Drop this process's rights, for good. Call it while the process has one thread."""
    _limit_resources()
    _leave_network()
    _die_with_parent()
    _watch_lifeline()


def _limit_resources() -> None:
    _lower(resource.RLIMIT_AS, MEMORY_BYTES)
    _lower(resource.RLIMIT_CPU, CPU_SECONDS)
    _lower(resource.RLIMIT_FSIZE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(what: int, limit: int) -> None:
    hard = resource.getrlimit(what)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(what, (limit, limit))


def _leave_network() -> None:
    # An empty network namespace needs a right, which a user namespace of its own gives where the kernel lets users have
    # one. Where neither is allowed the format and protocol lists of `container` stand alone.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)


def _die_with_parent() -> None:
    # After _leave_network: new credentials clear the death signal.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _watch_lifeline() -> None:
    # Standard input is a pipe that the parent holds and never writes to: its end is the parent's end, even when the
    # parent died before the death signal was set.
    def exit_at_end() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=exit_at_end, daemon=True).start()
