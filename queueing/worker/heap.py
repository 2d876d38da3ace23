"""How the C library keeps what this process has freed.

glibc gives the end of a heap back once more than a threshold of it is free, and begins with 128 KiB. But when a large
block is freed it raises that threshold to twice its size, and takes blocks up to that size from the heaps from then on.
One recording's samples are some megabytes, so each of a process's heaps, of which there are eight a core, came to keep
as much, all of it free: how much that is, docs/proof.md says.
"""

from __future__ import annotations

import ctypes
import gc
from typing import Final

TRIM_BYTES: Final = 128 * 1024  # glibc's own beginning
_M_TRIM_THRESHOLD: Final = -1


def keep_threshold() -> None:
    """Keep that threshold where it is. Another C library has none, and is left alone."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_TRIM_THRESHOLD, TRIM_BYTES)  # a threshold that was set is one that is not raised


def settle() -> None:
    """What has been imported stays: it is looked through for garbage no more, neither now and then nor at the exit.

    Only where the start has turned the collector off, which ends here. A fifth of a command's processor time went into
    looking through what grows and has no garbage.
    """
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
