"""Engines that draw on the card, in this process: what a hand-over has to do with, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from queueing.engines.base import Resident
from queueing.exceptions import Infrastructure, OutOfMemory
from tests.doubles.card import MIB, CardFull, FakeCard

NEVER: Final = math.inf


@dataclass(eq=False)
class CardModel:
    """A model of a server; without a `server`, of a child process. Behaves as its fields say, from the next call on."""

    card: FakeCard
    model: str
    kind: str  # as the card knows it: "stt" or "eval"
    size: int  # bytes, as declared and as taken
    server: str = ""
    frees_after: float = 0.0  # seconds from "unloaded" to free; NEVER: not before the server is restarted
    refuses: str = ""  # instead of a load
    runs_out: bool = False  # of memory while it loads, though there seemed to be room
    on_gpu: float = 1.0  # the share of it that the next load puts there
    slots: int = 1
    simulated: bool = True
    name: str = "on the card"
    loads: int = 0
    loaded: bool = False
    held: int = 0  # bytes of it on the card

    def needs(self) -> int | None:
        return self.size

    def load(self) -> None:
        if self.refuses:
            raise Infrastructure(self.refuses)
        if self.runs_out:
            raise OutOfMemory
        if not self.loaded:
            self._take(int(self.size * self.on_gpu))
            self.loaded = True
            self.loads += 1

    def _take(self, size: int) -> None:
        try:
            if size:
                self.card.take(self.model, self.kind, size)
        except CardFull as error:
            raise OutOfMemory(str(error)) from error
        self.held = size

    def unload(self) -> None:
        if self.loaded:
            self.card.give_back(self.model, after=self.frees_after)
        self.loaded, self.held = False, 0

    def resident(self) -> tuple[Resident, ...]:
        if not self.loaded:
            return ()
        if self.server:
            return (Resident(self.model, self.size, "cuda" if self.held else "cpu", gpu_bytes=self.held),)
        return (Resident(self.model, 300 * MIB, "cuda:0" if self.held else "cpu", pid=1),)

    def restart(self) -> None:
        """Its server begins anew: what it held is free."""
        self.loaded, self.held = False, 0
        self.card.give_back(self.model)
