"""llama.cpp from the `xllamacpp` wheel, in a child process of our own that ends when the model is unloaded."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any, ClassVar

from queueing.engines.base import Generation, JSONSchema, LanguageOptions, OwnProcess, Prompt, Resident, WrittenText
from queueing.engines.child import EngineChild
from queueing.engines.llm import models
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.exceptions import Crashed, Infrastructure, Transient

FACTORY = "queueing.engines.llm.embedded_server:LlamaServer"
LOAD_SECONDS = 120.0
DEATH_SECONDS = 10.0  # how long after its sockets broke a process may still seem alive
POLL_SECONDS = 0.01


class EmbeddedLlama(OwnProcess):
    """A local model, on the processor, spoken to like any OpenAI-compatible server.

    `model` is a model's name (`models.PACKAGED`, `models.IN_PARTS`) or the path of a GGUF file.
    """

    name: ClassVar[str] = "embedded"
    simulated: ClassVar[bool] = False

    def __init__(
        self, model: str, *, slots: int, context_tokens: int, threads: int = 0, folder: Path = models.FOLDER
    ) -> None:
        """`folder`: where models are that come in parts (`models.IN_PARTS`)."""
        self.model = model
        self.slots = slots  # calls that it takes at once; it answers one after the other
        self.context_tokens = context_tokens  # of each slot: prompt and answer together
        # With as many threads as processors, llama.cpp waits for its slowest as soon as anything else runs.
        self.threads = threads or max(1, processors() - 1)
        self._folder = folder
        self._child = EngineChild(FACTORY)
        self._served: OpenAICompatible | None = None

    def load(self) -> None:
        if self._child.pid is not None:
            return
        key = secrets.token_urlsafe(24)
        try:
            self._child.start(self._arguments(key), within=LOAD_SECONDS)
        except (Crashed, Transient) as error:
            message = f"The language model could not be loaded: {error}"
            raise Infrastructure(message, code="engine_unavailable") from error
        self._served = OpenAICompatible(
            self._child.facts,
            self.model,
            slots=self.slots,
            context_tokens=self.context_tokens,
            key=key,
            cuts_prompts=False,  # its context is what we gave it; it counts exactly, and refuses what is too long
            llama_cpp=True,
            digest=models.digest(self.model),
        )

    def unload(self) -> None:
        self._served = None
        self._child.terminate()

    def resident(self) -> tuple[Resident, ...]:
        pid, held = self._child.pid, self._child.resident_bytes
        return (Resident(self.model, held, "cpu", pid),) if pid and held else ()

    def generate(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions, *, stop: Event) -> Generation:
        with self._serving() as served:
            return served.generate(prompt, schema, options, stop=stop)

    def write(
        self, prompt: Prompt, options: LanguageOptions, *, on_text: Callable[[str], None], stop: Event
    ) -> WrittenText:
        with self._serving() as served:
            return served.write(prompt, options, on_text=on_text, stop=stop)

    @contextmanager
    def _serving(self) -> Iterator[OpenAICompatible]:
        served = self._served
        if served is None or self._child.pid is None:
            raise Infrastructure(f"The language model {self.model} is not loaded.", code="not_loaded")
        try:
            yield served
        except Infrastructure as error:
            if self._died():
                raise Crashed("The language model's process died.") from error
            raise

    def _arguments(self, key: str) -> Mapping[str, Any]:
        return {
            "path": str(models.find(self.model, self._folder)),
            "name": self.model,
            "key": key,
            "threads": self.threads,
            "context_tokens": self.context_tokens,
        }

    def _died(self) -> bool:
        # The sockets break a moment before the process has ended.
        give_up = monotonic() + DEATH_SECONDS
        while self._child.pid is not None:
            if monotonic() > give_up:
                return False
            sleep(POLL_SECONDS)
        return True


def processors() -> int:
    """How many processors this process may really use: its affinity, and its container's quota."""
    allowed = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, math.ceil(int(quota) / int(period))))
