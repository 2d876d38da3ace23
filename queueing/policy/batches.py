"""When a batch starts, which tasks join it, and when it is closed: for queue, forecast and the rehearsal's bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Filling:
    """What happens to the open batch when tasks wait."""

    close: bool  # it is full and all of it has been transcribed: a new one is opened
    room: int  # tasks that may join: the open one, or the new one


def is_ready(due: int, oldest_seconds: float, *, size: int, max_wait_seconds: float) -> bool:
    """A batch starts when it would be full, or its first upload has waited long enough for others to join."""
    return due >= size or (due > 0 and oldest_seconds >= max_wait_seconds)


def fill(taken: int, unfinished: int, *, size: int) -> Filling:
    """How many may join the open batch; without one, `taken` and `unfinished` are 0.

    Args:
        taken: places that are taken, also by tasks that have ended: what failed keeps its place.
        unfinished: of them, tasks that are still to be transcribed.
    """
    close = taken >= size and not unfinished
    return Filling(close, size if close else max(size - taken, 0))


def sizes(waiting: int, *, size: int) -> Iterator[int]:
    """The batches that a line of `waiting` uploads becomes, in order, when nobody else comes."""
    while waiting > 0:
        joining = min(waiting, fill(0, 0, size=size).room)
        yield joining
        waiting -= joining
