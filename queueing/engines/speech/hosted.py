"""The parent's side of every speech engine: a model in a child process that is killed to free its memory."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

from queueing.engines.base import SAMPLE_RATE, OwnProcess, Progress, Resident, Samples, Speech
from queueing.engines.child import CallTimeouts, EngineChild
from queueing.engines.speech.models import default_cache
from queueing.engines.speech.transcriber import Thrift
from queueing.engines.speech.voice import WINDOW
from queueing.exceptions import Infrastructure, OutOfMemory

STALL_SECONDS = 60.0  # the minimum time without progress that counts as hung
STALL_FACTOR = 4.0  # and this many times the audio's length: four times slower than speech is hung as well
LIFELESS_SECONDS = 50.0  # without any use of the processor it is hung within a minute, however long the audio is

# What the driver puts there for programs that want a GPU: NVIDIA's own, and Windows' for Linux inside of it.
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"))


def cuda_is_possible(device: str) -> bool:
    """Whether a child on this device ("auto", "cpu", "cuda") may come to use a GPU. Calls no CUDA library: that alone
    would take memory of the GPU in this process."""
    if device == "auto":
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1")
        return not hidden and any(path.exists() for path in DRIVERS)
    return device == "cuda"


class HostedSpeech(OwnProcess, ABC):
    """A speech engine whose model lives in a child process; what differs between them is the child's factory.

    Where memory runs out, the child ends, a thriftier one takes its place and does the same audio again. It stays
    thrifty until `unload`.

    Args:
        model: a name that the engine knows, or a path.
        device: "auto" (CUDA if there is any), "cpu" or "cuda".
        threads: of the CPU; 0 is one less than the cores that this process may use.
        wall_budget_seconds: of one call; past it `Transient(code="too_slow")`.
        cache: a folder for derived model files.
    """

    name: ClassVar[str]
    factory: ClassVar[str]
    simulated: ClassVar[bool] = False
    slots: ClassVar[int] = 1  # one model in one process works on one file at a time

    def __init__(
        self,
        model: str,
        *,
        device: str = "auto",
        threads: int = 0,
        wall_budget_seconds: float = 1800.0,
        stall_seconds: float = STALL_SECONDS,
        lifeless_seconds: float = LIFELESS_SECONDS,
        cache: Path | None = None,
    ) -> None:
        self.model = model
        self.device, self.threads = device, threads
        self.wall_budget_seconds, self.stall_seconds = wall_budget_seconds, stall_seconds
        self.lifeless_seconds = lifeless_seconds
        self.cache = cache or default_cache()
        self.thrift = Thrift.NONE
        self._tried: list[str] = []  # what memory ran out with, as text
        self._child = EngineChild(self.factory)

    @abstractmethod
    def arguments(self) -> Mapping[str, Any]:
        """What the child's factory is called with. Raises Infrastructure when the model is not there."""

    def needs(self) -> int | None:
        if not cuda_is_possible(self.device):
            return 0
        try:
            return self.gpu_bytes()
        except Infrastructure:
            return None  # there is no model to measure

    def gpu_bytes(self) -> int | None:
        """What the model takes on CUDA at most. Raises Infrastructure when it is not there."""
        return None

    def load(self) -> None:
        while self._child.pid is None:
            try:
                self._child.start({**self.arguments(), "thrift": self.thrift}, without_life=self.lifeless_seconds)
            except OutOfMemory as error:
                self._be_thriftier(error)

    def unload(self) -> None:
        self._child.terminate()
        self.thrift, self._tried = Thrift.NONE, []

    def resident(self) -> tuple[Resident, ...]:
        pid, size = self._child.pid, self._child.resident_bytes
        if pid is None or not size:
            return ()
        device = self._child.facts.device if self._child.facts else self.device
        return (Resident(self.model, size, device, pid),)

    def transcribe(self, samples: Samples, *, hints: Sequence[str] = (), progress: Progress, stop: Event) -> Speech:
        return self._call("transcribe", samples, hints, progress=progress, stop=stop)

    def _call(self, method: str, samples: Samples, *arguments: Any, progress: Progress, stop: Event) -> Speech:
        deadline, onward = time.monotonic() + self.wall_budget_seconds, _never_falling(progress)
        still = max(self.stall_seconds, STALL_FACTOR * len(samples) / SAMPLE_RATE)
        while True:
            timeouts = CallTimeouts(deadline - time.monotonic(), still, self.lifeless_seconds)
            try:
                speech = self._child.call(method, samples, *arguments, progress=onward, stop=stop, timeouts=timeouts)
            except OutOfMemory as error:
                self._be_thriftier(error, batched=len(samples) > WINDOW)
                self.load()
            else:
                assert isinstance(speech, Speech)
                return speech

    def _be_thriftier(self, error: OutOfMemory, *, batched: bool = False) -> None:
        """Raises OutOfMemory (code `does_not_fit`), with all that was tried, when nothing is left to be spared."""
        facts = self._child.facts
        self._tried.append(f"with {facts}" if facts else "while it was loaded")
        if self.thrift == Thrift.MINIMUM:
            device = facts.device if facts else self.device
            raise OutOfMemory(
                f"Speech model {self.model} ran out of memory on the device {device} {', and '.join(self._tried)}. "
                "Choose a smaller speech model, or take other programs off the device.",
                code="does_not_fit",
            ) from error
        smaller_batch = batched and facts and facts.windows > 1 and self.thrift == Thrift.NONE
        self.thrift = Thrift.SMALLER_BATCH if smaller_batch else Thrift.MINIMUM


def _never_falling(progress: Progress) -> Progress:
    """The same audio may be begun again: progress that was reported is not taken back."""
    furthest = 0.0

    def onward(done: float, total: float) -> None:
        nonlocal furthest
        furthest = max(furthest, done)
        progress(furthest, total)

    return onward
