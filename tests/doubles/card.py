"""A GPU's memory that every fake shares: one allocator of 8 GB, and a witness of what must never be."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

MIB = 1 << 20
GIB = 1 << 30


class CardFull(MemoryError):
    """The allocation does not fit; nothing was taken."""


@dataclass(slots=True)
class Holding:
    owner: str  # "whisper", "mistral:7b-instruct", or another program's name
    kind: str  # "stt", "eval"; empty for what is not ours
    size: int  # bytes
    pid: int  # the memory comes back when this process is gone, as the driver does it
    free_at: float | None = None  # on the monotonic clock: given back already, but not yet free


@dataclass(slots=True)
class Ledger:
    holdings: list[Holding] = field(default_factory=list)
    most: int = 0  # bytes ever in use at once
    overlaps: list[str] = field(default_factory=list)  # each time both kinds of model were in the memory
    trouble: str = ""  # how the driver misbehaves when it is asked; empty: not at all


class FakeCard:
    """Kept in a file, so that a worker's and a server's process draw on the same memory.

    `take` is the only way in, so `most` and `overlaps` miss nothing. Memory that is being given back slowly still
    counts: that is what makes loading too early visible.
    """

    def __init__(self, path: Path, *, total: int = 8 * GIB) -> None:
        self.path, self.total = path, total

    def take(self, owner: str, kind: str, size: int, *, pid: int | None = None) -> None:
        """Hold `size` bytes more.

        Raises:
            CardFull: they are not free.
        """
        with self._ledger() as ledger:
            in_use = sum(one.size for one in ledger.holdings)
            if in_use + size > self.total:
                raise CardFull(f"{owner} wants {size // MIB} MiB, {(self.total - in_use) // MIB} are free")
            beside = {one.owner for one in ledger.holdings if one.kind and kind and one.kind != kind}
            ledger.overlaps += [f"{owner} beside {other}" for other in sorted(beside)]
            ledger.holdings.append(Holding(owner, kind, size, pid or os.getpid()))
            ledger.most = max(ledger.most, in_use + size)

    def give_back(self, owner: str, *, after: float = 0.0) -> None:
        """All that `owner` holds, `after` so many seconds; infinity is never, while its process lives.

        What is being given back already comes no later, but it may come sooner.
        """
        with self._ledger() as ledger:
            for one in ledger.holdings:
                if one.owner == owner:
                    free_at = time.monotonic() + after
                    one.free_at = free_at if one.free_at is None else min(one.free_at, free_at)

    def trouble(self, how: str) -> None:
        """From now on the driver answers like this; empty: as it should."""
        with self._ledger() as ledger:
            ledger.trouble = how

    def look(self) -> Ledger:
        """How it stands now."""
        with self._ledger() as ledger:
            return ledger

    @property
    def used(self) -> int:
        return sum(one.size for one in self.look().holdings)

    @contextmanager
    def _ledger(self) -> Iterator[Ledger]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = file.read()
            ledger = _read(before)
            ledger.holdings = [one for one in ledger.holdings if _still_held(one)]
            yield ledger
            # Written over, then cut: cut to nothing first, some file systems flush it to the disk each time.
            if (after := json.dumps(asdict(ledger))) != before:
                file.seek(0)
                file.write(after)
                file.truncate()


def _read(text: str) -> Ledger:
    found: dict[str, Any] = json.loads(text or "{}")
    holdings = [Holding(**one) for one in found.pop("holdings", [])]
    return Ledger(holdings, **found)


def _still_held(one: Holding) -> bool:
    return (one.free_at is None or one.free_at > time.monotonic()) and Path(f"/proc/{one.pid}").exists()
