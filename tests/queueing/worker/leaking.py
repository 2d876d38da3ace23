"""A language model whose process keeps some memory of each call. The factory runs in the child, without Django."""

from __future__ import annotations

from threading import Event
from typing import Any

from queueing.engines.base import Generation, Progress, Resident
from queueing.engines.child import EngineChild
from queueing.engines.llm.simulated import SimulatedLanguage

MB = 1024**2
KEPT_BYTES = 20 * MB


class Hoard:
    def __init__(self, kept_bytes: int) -> None:
        self.kept_bytes, self.kept = kept_bytes, [b""]

    def grow(self, *, progress: Progress) -> None:
        self.kept.append(b"x" * self.kept_bytes)


class LeakingLanguage(SimulatedLanguage):
    def __init__(self, kept_bytes: int = KEPT_BYTES, device: str = "cpu") -> None:
        super().__init__(context_tokens=8192)
        self.device = device
        self.child, self.kept_bytes = EngineChild("tests.queueing.worker.leaking:Hoard"), kept_bytes
        self.pids: list[int] = []
        self.calls = 0  # of the process that runs

    def load(self) -> None:
        super().load()
        self.child.start({"kept_bytes": self.kept_bytes})
        if (pid := self.child.pid) and pid not in self.pids:
            self.pids.append(pid)
            self.calls = 0

    def unload(self) -> None:
        super().unload()
        self.child.terminate()

    def resident(self) -> tuple[Resident, ...]:
        return tuple(
            Resident(one.model, self.child.resident_bytes, self.device, self.child.pid)
            for one in super().resident()
            if self.child.pid
        )

    def generate(self, *args: Any, stop: Event, **kwargs: Any) -> Generation:
        self.child.call("grow")
        self.calls += 1
        return super().generate(*args, stop=stop, **kwargs)
