"""Whether a process does anything at all: for a model that can't say how far it is."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

LEAST_CPU_SECONDS: Final = 0.1  # of use that count as doing something; a server that only waits wakes up, too
LOOK_SECONDS: Final = 1.0  # between two looks

_TICKS: Final = os.sysconf("SC_CLK_TCK")


class Pulse:
    """Counts for how long a process has neither used the processor nor read anything, as far as the kernel knows.

    A process that was stopped, or waits for what never comes, does neither; one that computes does, on a slow and busy
    machine too. Time is counted in looks of this object: while the caller itself was stopped, nothing is counted.
    """

    def __init__(self, pid: int | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pid, self._clock = pid, clock
        self._looked_at = clock()
        self._used, self._read = _signs_of_life(pid)
        self.still_seconds = 0.0

    def look(self) -> float:
        """Look, if that is due; returns the seconds without a sign of life."""
        now = self._clock()
        if now - self._looked_at >= LOOK_SECONDS:
            self.still_seconds += min(now - self._looked_at, 2 * LOOK_SECONDS)
            self._looked_at = now
            used, read = _signs_of_life(self._pid)
            if used - self._used >= LEAST_CPU_SECONDS or read != self._read:
                self.moved()
                self._used, self._read = used, read
        return self.still_seconds

    def moved(self) -> None:
        """It showed a sign of life of another kind."""
        self.still_seconds = 0.0


def _signs_of_life(pid: int | None) -> tuple[float, tuple[int, int]]:
    """Seconds of the processor that it has used; pages and bytes that it has read. Zeros when it has ended."""
    try:
        # The program's name may hold blanks and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        (read,) = (line for line in Path(f"/proc/{pid}/io").read_text().splitlines() if line.startswith("rchar: "))
    except (OSError, ValueError):
        return 0.0, (0, 0)
    major_faults, user, system = (int(fields[at]) for at in (9, 11, 12))
    return (user + system) / _TICKS, (major_faults, int(read.partition(" ")[2]))
