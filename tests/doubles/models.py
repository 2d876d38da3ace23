"""Engines that draw on the card, in this process: what a hand-over has to do with, and nothing else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from queueing.engines.base import Resident
from queueing.exceptions import Infrastructure, OutOfMemory
from tests.doubles.card import MIB, Card, CardFull


@dataclass(eq=False)
class CardModel:
    """A model of a server; without a `server`, of a child process. Behaves as its fields say, from the next call on."""

    card: Card
    model: str
    kind: str  # as the card knows it: "stt" or "eval"
    size: int  # bytes, as declared and as taken
    server: str = ""
    pid: int | None = None  # of its holder; this process if not said
    frees_after: float = 0.0  # seconds from "unloaded" to free; infinity: not before the server is restarted
    refuses: str = ""  # instead of a load
    on_gpu: float = 1.0  # the share of it that the next load puts there
    slots: int = 1
    simulated: bool = True
    name: str = "on the card"
    loads: int = 0
    _held: int = 0  # bytes of it on the card
    _loaded: bool = False

    def needs(self) -> int | None:
        return self.size

    def load(self) -> None:
        if self.refuses:
            raise Infrastructure(self.refuses)
        if self._loaded:
            return
        held = int(self.size * self.on_gpu)
        try:
            if held:
                self.card.take(self.model, self.kind, held, pid=self.pid)
        except CardFull as error:
            raise OutOfMemory(str(error)) from error
        self._loaded, self._held = True, held
        self.loads += 1

    def unload(self) -> None:
        if self._loaded:
            self.card.give_back(self.model, after=self.frees_after)
        self._loaded, self._held = False, 0

    def resident(self) -> tuple[Resident, ...]:
        if not self._loaded:
            return ()
        if self.server:
            return (Resident(self.model, self.size, "cuda" if self._held else "cpu", gpu_bytes=self._held),)
        return (Resident(self.model, 300 * MIB, "cuda:0" if self._held else "cpu", pid=self.pid or 1),)

    def restart(self) -> None:
        """Its server begins anew: what it held is free."""
        self._loaded, self._held = False, 0
        self.card.give_back(self.model)


NEVER = math.inf
