"""Simulated models in the process of the worker itself: a real model's process would take unscaled time to start."""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import ClassVar

from introeval.rehearsal.bounds import StageTimes
from introeval.rehearsal.outages import Outages
from queueing.engines.base import (
    Engines,
    Generation,
    JSONSchema,
    LanguageOptions,
    OwnProcess,
    Progress,
    Prompt,
    Resident,
    Samples,
    Speech,
    WrittenText,
)
from queueing.exceptions import Infrastructure, Interrupted
from queueing.states import PhaseName


class Memory:
    """A node's GPU memory: says when two kinds of model are in it at once.

    Kernel locks, which go however their holder ends. Each kind first takes its own, then looks at the other's, so that
    of two that come in at the same time at least one sees the other.
    """

    def __init__(self, folder: Path, node: str) -> None:
        folder.mkdir(exist_ok=True)
        self.seen = folder / "overlaps"
        self.paths = {kind: folder / f"{node}.{kind}" for kind in PhaseName}

    def enter(self, kind: PhaseName) -> int:
        """Returns what `leave` takes."""
        mine = os.open(self.paths[kind], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(mine, fcntl.LOCK_SH)
        if any(_held(path) for other, path in self.paths.items() if other != kind):
            self.note(f"{kind} was loaded beside the other kind: {self.paths[kind]}")
        return mine

    def leave(self, mine: int) -> None:
        os.close(mine)

    def note(self, overlap: str) -> None:
        with self.seen.open("a") as file:
            file.write(f"{overlap}\n")


def overlaps_seen(folder: Path) -> int:
    """How often two kinds of model were in one node's memory."""
    seen = folder / "overlaps"
    return len(seen.read_text().splitlines()) if seen.exists() else 0


def _held(path: Path) -> bool:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


class SimulatedModel(OwnProcess):
    """Speech or language model of one kind: every call takes `seconds`, give or take a share of `spread`.

    Loading and unloading take `move_seconds` each. During the outage `llm`, a language model fails like a
    server that does not answer.
    """

    name: ClassVar[str] = "simulated"
    simulated: ClassVar[bool] = True
    context_tokens: ClassVar[int] = 8192

    def __init__(
        self,
        kind: PhaseName,
        memory: Memory,
        outages: Outages,
        *,
        model: str,
        seconds: float,
        move_seconds: float,
        slots: int = 1,
        spread: float = 0.0,
    ) -> None:
        self.kind, self.memory, self.outages = kind, memory, outages
        self.model, self.seconds, self.move_seconds, self.slots = model, seconds, move_seconds, slots
        self.spread = spread
        self._held: int | None = None

    def load(self) -> None:
        if self._held is None:
            self._raise_on_outage()
            self._held = self.memory.enter(self.kind)
            time.sleep(self.move_seconds)

    def unload(self) -> None:
        if self._held is not None:
            time.sleep(self.move_seconds)
            self.memory.leave(self._held)
            self._held = None

    def resident(self) -> tuple[Resident, ...]:
        return () if self._held is None else (Resident(self.model, 1, "simulated", os.getpid()),)

    def transcribe(self, samples: Samples, *, hints: Sequence[str] = (), progress: Progress, stop: Event) -> Speech:
        self._work(stop)
        return Speech("en", 1.0, 0.0, 0.0, ())

    def generate(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions, *, stop: Event) -> Generation:
        self._work(stop)
        return Generation({}, self.model, 0, 0, self.seconds, 1)

    def write(
        self, prompt: Prompt, options: LanguageOptions, *, on_text: Callable[[str], None], stop: Event
    ) -> WrittenText:
        self._work(stop)
        on_text("simulated")
        return WrittenText("simulated", self.model, "stop", 0, 1, self.seconds)

    def _work(self, stop: Event) -> None:
        if self._held is None:
            raise Infrastructure(f"{self.model} is not loaded", code="not_loaded")
        self._raise_on_outage()
        if stop.wait(self.seconds * random.uniform(1 - self.spread, 1 + self.spread)):  # noqa: S311 - not a secret
            raise Interrupted

    def _raise_on_outage(self) -> None:
        if self.kind == PhaseName.EVAL:
            self.outages.raise_if_active("llm", code="engine_unavailable")


def build(work: StageTimes, scale: float, memory: Memory, outages: Outages, spread: float = 0.0) -> Engines:
    """The engines of one node, so that a switch from one phase to the other costs `work.switch` altogether.

    So does a turn, where the language models are loaded one at a time.
    """
    moved = 1 if work.in_turns else 2  # language models that a switch of phases loads or unloads
    half: Mapping[PhaseName, float] = {
        PhaseName.STT: work.switch / 2 * scale,
        PhaseName.EVAL: work.switch / 2 / moved * scale,
    }

    def model(kind: PhaseName, name: str, seconds: float, slots: int = 1) -> SimulatedModel:
        return SimulatedModel(
            kind,
            memory,
            outages,
            model=name,
            seconds=seconds * scale,
            move_seconds=half[kind],
            slots=slots,
            spread=spread,
        )

    return Engines(
        speech=model(PhaseName.STT, "stands for Whisper", work.stt),
        language={
            "extract": model(PhaseName.EVAL, "stands for Mistral", work.extract, work.slots),
            "rate": model(PhaseName.EVAL, "stands for LLaMA3", work.rate, work.slots),
        },
        can_judge=False,
    )
