"""What a process of ours has freed goes back to the machine."""

from __future__ import annotations

import ctypes
from typing import Final

LIBC: Final = ctypes.CDLL(None)
LIBC.malloc.restype = ctypes.c_void_p
LIBC.malloc.argtypes = [ctypes.c_size_t]
LIBC.free.argtypes = [ctypes.c_void_p]

MB: Final = 1024**2
OF_THE_KERNEL: Final = 2  # glibc's IS_MMAPPED, in the size before a block


def comes_from_the_kernel(size: int) -> bool:
    """Whether a block is memory of its own, which goes back when it is freed, and no part of a heap."""
    block = LIBC.malloc(size)
    word = ctypes.c_size_t.from_address(block - ctypes.sizeof(ctypes.c_size_t)).value
    LIBC.free(block)
    return bool(word & OF_THE_KERNEL)


def test_after_a_recording_was_freed_the_next_one_does_not_swell_a_heap() -> None:
    assert comes_from_the_kernel(16 * MB)
    assert comes_from_the_kernel(8 * MB), "glibc took the block before it for a reason to keep such blocks"
    assert not comes_from_the_kernel(1024)
