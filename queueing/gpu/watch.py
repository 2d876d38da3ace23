"""When a node pauses because of its GPU: others fill it, or its state is unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from queueing.gpu.memory import UNKNOWN, GpuMemory
from queueing.models import Pause
from queueing.models.phase import SYSTEM

# Closed at the low mark, opened at the high one: memory that flaps round either of them moves nothing.
PAUSE_BELOW, PAUSE_AFTER = 0.10, 3  # less of the card left for us, in so many samples running
RESUME_ABOVE, RESUME_AFTER = 0.50, 5
UNKNOWN_AFTER = 2  # samples; one missed answer changes nothing
DWELL_SECONDS = 15.0  # between two moves of the gate
PAUSE_SECONDS = 15.0  # a pause outlives a worker that dies by as much; renewed at every sample


@dataclass(slots=True)
class Gate:
    """Whether work may begin, by how much of the card is left for us: pure, one sample at a time.

    It closes when that was below PAUSE_BELOW for PAUSE_AFTER samples running, and opens when it was above RESUME_ABOVE
    for RESUME_AFTER. Unknown samples close it too; then it opens as soon as enough samples in a row are known and not
    too low. Two moves are DWELL_SECONDS apart, except that unknown samples close it at once.
    """

    is_open: bool = True
    is_low: bool = False  # closed, and not only by unknown samples
    _unknown: int = 0  # each: samples running
    _low: int = 0
    _high: int = 0
    _moved_at: float = -math.inf

    def sample(self, share: float | None, now: float) -> bool:
        """Take the share of the card that others leave to us (0..1; None: unknown), and return whether it is open.

        Args:
            now: seconds on any clock that only goes forward.
        """
        enough = RESUME_ABOVE if self.is_low else PAUSE_BELOW
        self._unknown = self._unknown + 1 if share is None else 0
        self._low = self._low + 1 if share is not None and share < PAUSE_BELOW else 0
        self._high = self._high + 1 if share is not None and share > enough else 0
        settled = now - self._moved_at >= DWELL_SECONDS
        if self._low >= PAUSE_AFTER and (settled or not self.is_open):
            self._move(is_open=False, is_low=True, now=now)
        elif self._unknown >= UNKNOWN_AFTER:
            self._move(is_open=False, is_low=self.is_low, now=now)
        elif not self.is_open and settled and self._high >= RESUME_AFTER:
            self._move(is_open=True, is_low=False, now=now)
        return self.is_open

    def _move(self, *, is_open: bool, is_low: bool, now: float) -> None:
        if is_open != self.is_open:
            self._moved_at = now
        self.is_open, self.is_low = is_open, is_low


class GpuWatch:
    """Pauses a node, with a reason that everybody can read, while others fill its GPU or its state is unknown."""

    def __init__(self, node: str, memory: GpuMemory, *, every_seconds: float) -> None:
        self.node, self.memory, self.every_seconds = node, memory, every_seconds
        self.gate = Gate()
        self._next = self._changed_at = 0.0
        self._reason = ""  # of the active pause

    def sample(self, now: float) -> None:
        """Take a sample if it is due; start, extend or end the pause."""
        if now < self._next:
            return
        self._next = now + self.every_seconds
        share, reason = self.memory.outlook()
        was_open = self.gate.is_open
        if not self.gate.sample(share, now):
            if was_open or self._is_another_cause(reason, now):
                self._reason, self._changed_at = reason, now
            Pause.objects.start_or_extend(
                Pause.What.EVERYTHING, node=self.node, reason=self._reason, seconds=PAUSE_SECONDS
            )
        elif not was_open:
            active = Pause.objects.filter(what=Pause.What.EVERYTHING, node=self.node, by=SYSTEM)
            active.end(by=SYSTEM, reason="the GPU has room again")

    def _is_another_cause(self, reason: str, now: float) -> bool:
        """Figures move with every sample, and a driver may answer every other time: only another cause is a change."""
        unknown = reason.startswith(UNKNOWN)
        other_cause = unknown != self._reason.startswith(UNKNOWN) and (unknown or self.gate.is_low)
        return other_cause and now - self._changed_at >= PAUSE_SECONDS
