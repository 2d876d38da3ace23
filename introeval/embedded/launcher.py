"""Change what a process is (account, terminal, bond to its parent), then turn it into another program.

A program of its own (`python -I -S launcher.py …`), not a function called between fork and exec: the process that
starts a server may have threads, and after a fork nothing but exec is safe in it.

As root it gives up everything but, where asked, the right to pass through directories it could not enter otherwise:
a checkout or a DATA_DIR below a 0700 home (root's own, for one) would be out of reach for the account that PostgreSQL
must run as. Loosening the home's mode would open it to everybody; copying would put the data where no backup looks.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2  # linux/capability.h
CAPABILITY_VERSION_3 = 0x20080522
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2  # linux/securebits.h


def permitted() -> int:
    """The capabilities this process may use, as bits."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def search_capability() -> int | None:
    """The weakest right that enters any directory. Docker leaves root the stronger one only; a locked-down one none."""
    have = permitted()
    return next((cap for cap in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE) if have >> cap & 1), None)


def become(uid: int, gid: int, *, search: bool) -> None:
    """Turn from root into that account for good; with `search`, keep the right to enter directories across exec."""
    libc = ctypes.CDLL(None, use_errno=True)
    capability = search_capability() if search else None
    if capability is not None:
        # Only so does access(2), by which initdb looks for its programs, respect the capabilities of others than root.
        # A container may forbid it; then only programs below a closed directory are out of reach.
        with suppress(OSError):
            _call(libc.prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        _call(libc.prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if capability is not None:
        _keep_only(libc, capability)


def _keep_only(libc: ctypes.CDLL, capability: int) -> None:
    bits = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    low_and_high = (ctypes.c_uint32 * 6)(bits, bits, bits, 0, 0, 0)  # effective, permitted, inheritable
    _call(libc.capset, header, low_and_high)
    # Only an ambient capability survives the exec of an ordinary file.
    _call(libc.prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def _call(function: ctypes._NamedFuncPointer, *arguments: object) -> None:
    wide = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    if function(*wide) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def detach(pid_file: int) -> None:
    """Leave the terminal, so that Ctrl-C does not reach it, and write the pid."""
    os.setsid()
    os.umask(0o077)
    os.chdir("/")
    os.ftruncate(pid_file, 0)
    os.pwrite(pid_file, b"%d\n" % os.getpid(), 0)


def follow(parent: int) -> None:
    """Have the kernel send SIGTERM when the parent dies, also by SIGKILL; a program can end in order then."""
    _call(ctypes.CDLL(None, use_errno=True).prctl, PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was asked
        sys.exit("launcher: the parent has ended")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--uid", type=int, default=os.geteuid())
    parser.add_argument("--gid", type=int, default=os.getegid())
    parser.add_argument("--search", action="store_true", help="keep the right to enter any directory")
    parser.add_argument("--detach", type=int, metavar="FD", help="leave the terminal, write the pid to this file")
    parser.add_argument("--parent", type=int, metavar="PID", help="be terminated when this process, the parent, dies")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    try:
        if os.geteuid() != options.uid:
            become(options.uid, options.gid, search=options.search)
        if options.detach is not None:
            detach(options.detach)
        if options.parent is not None:
            follow(options.parent)
        os.execv(options.command[0], options.command)  # noqa: S606 (no shell is the point)
    except OSError as error:
        sys.exit(f"launcher: can't run {options.command[0]} as uid {options.uid}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
