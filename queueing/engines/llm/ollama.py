"""Ollama's own protocol: it can load, unload and say what is in memory, which its OpenAI-compatible one can't."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Future
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any, ClassVar

from queueing.engines.base import Resident
from queueing.engines.llm import faults, transport
from queueing.engines.llm.asking import Ask
from queueing.engines.llm.faults import unavailable
from queueing.engines.llm.served import Piece, ServedModel
from queueing.exceptions import Infrastructure

OLDEST = (0, 17, 1)  # below it, anyone who reaches the port can read the server's memory (CVE-2026-7482)
LOAD_SECONDS = 300.0
LOST_SECONDS = 1800.0  # a load that takes longer lost its connection without a sign
POLL_SECONDS = 0.1
ON_GPU = 0.95  # of a model's bytes: below it, layers run on the processor, at a tenth of the speed


class Ollama(ServedModel):
    """A model that an Ollama server keeps in memory from `load` to `unload`."""

    name: ClassVar[str] = "ollama"
    load_seconds = LOAD_SECONDS  # how long is waited for a model to load
    unload_seconds = 30.0  # how long Ollama may take to give the memory back

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lock = Lock()
        self._last_load: Future[None] | None = None
        self._seen_on_gpu = False

    def load(self) -> None:
        try:
            self._loading().result(self.load_seconds)
        except TimeoutError:
            late = f"Ollama has not loaded {self.model} after {self.load_seconds:g} s: restart Ollama."
            raise unavailable(late) from None
        listed = self._loaded()
        self._must_be_as_before(listed)
        self._must_have_room(listed)

    def unload(self) -> None:
        self._must_not_be_loading()
        if self._held():
            self._keep_alive(0)
            # The reply comes before the memory is free: only the list of what is loaded tells.
            self._wait_until_gone()

    def resident(self) -> tuple[Resident, ...]:
        return tuple(_resident(entry) for entry in self._held())

    def _held(self) -> list[dict[str, Any]]:
        """What the server keeps in memory. One that is not running keeps nothing, so that others may load; one that
        can't be asked for any other reason is an error: it may well hold the GPU."""
        try:
            return self._loaded()
        except Infrastructure as error:
            if transport.refused(error):
                return []
            raise

    def _must_be_safe(self) -> None:
        version = str(self._call("GET", "/api/version").get("version", ""))
        numbers = tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])
        # Built from source it calls itself 0.0.0.
        if numbers < OLDEST and numbers != (0, 0, 0):
            oldest = ".".join(map(str, OLDEST))
            raise unavailable(f"Ollama {version or '(no version)'} has known holes: update it to {oldest} or newer.")

    def _loading(self) -> Future[None]:
        """The request under way that loads the model; a new one if there is none.

        Whoever waits for it may give up, but nothing cancels it: clients that hung up while Ollama loaded have left it
        with runners that nothing unloads. So it has a thread of its own.
        """
        with self._lock:
            if self._last_load is None or self._last_load.done():
                self._last_load = Future()
                self._last_load.set_running_or_notify_cancel()  # so that no cancellation gets through
                Thread(target=self._load_for, args=(self._last_load,), daemon=True, name=f"load {self.model}").start()
            return self._last_load

    def _load_for(self, waiting: Future[None]) -> None:
        try:
            self._must_be_safe()
            self._keep_alive(-1, seconds=LOST_SECONDS)
        except Exception as error:
            waiting.set_exception(error)
        else:
            waiting.set_result(None)

    def _must_not_be_loading(self) -> None:
        """What is still loading may not be listed yet, and would be in memory the moment after."""
        load = self._last_load
        give_up = monotonic() + self.unload_seconds
        while load and not load.done():
            if monotonic() > give_up:
                raise unavailable(f"Ollama is still loading {self.model}: restart Ollama if that never ends.")
            sleep(POLL_SECONDS)

    def _keep_alive(self, pin: int, *, seconds: float | None = None) -> None:
        """Without a prompt, this loads the model and keeps it (-1), or unloads it (0)."""
        question = {"model": self.model, "keep_alive": pin, "stream": False, "options": self._runner_options()}
        self._call("POST", "/api/generate", question, seconds=seconds)

    def _wait_until_gone(self) -> None:
        give_up = monotonic() + self.unload_seconds
        while self._loaded():
            if monotonic() > give_up:
                raise unavailable(f"Ollama still holds {self.model} after {self.unload_seconds:g} s: restart Ollama.")
            sleep(POLL_SECONDS)

    async def _make_ready(self) -> None:
        """Only a loaded model is asked, and one that has not slipped off the GPU since the last call."""
        listed = await self._listed()
        # One that somebody else loaded with another context would be loaded anew by the question itself.
        if not any(entry.get("context_length", self.context_tokens) == self.context_tokens for entry in listed):
            await asyncio.wrap_future(self._loading())
            listed = await self._listed()
        self._must_be_as_before(listed)

    def _must_be_as_before(self, listed: list[dict[str, Any]]) -> None:
        """A model that was on the GPU and isn't any more answers at a tenth of the speed."""
        for entry in listed:
            share = entry.get("size_vram", 0) / (entry.get("size") or 1)
            if self._seen_on_gpu and share < ON_GPU:
                raise Infrastructure(
                    f"Ollama runs {100 * (1 - share):.0f} % of {self.model} on the processor, no longer on the GPU: "
                    "see what else holds GPU memory, then restart Ollama.",
                    code="cpu_fallback",
                )
            self._seen_on_gpu = self._seen_on_gpu or share >= ON_GPU

    def _must_have_room(self, listed: list[dict[str, Any]]) -> None:
        for entry in listed:
            length = entry.get("context_length", self.context_tokens)
            if length < self.context_tokens:
                raise unavailable(
                    f"Ollama gives {self.model} a context of {length} tokens, not {self.context_tokens}: "
                    f"set LLM_CONTEXT_TOKENS to {length}."
                )

    def _loaded(self) -> list[dict[str, Any]]:
        return transport.run(self._listed())

    async def _listed(self) -> list[dict[str, Any]]:
        """What Ollama says it keeps of ours."""
        models = (await self._asked("GET", "/api/ps")).get("models") or []
        names = {self.model, f"{self.model}:latest"}
        return [entry for entry in models if {entry.get("name"), entry.get("model")} & names]

    def _runner_options(self) -> dict[str, Any]:
        # The same in every request: another num_ctx makes Ollama load the model anew.
        return {"num_ctx": self.context_tokens}

    def _request(self, ask: Ask) -> tuple[str, dict[str, Any]]:
        return "/api/chat", {
            "model": self.model,
            "messages": self._messages(ask.prompt),
            **({"format": ask.schema} if ask.schema is not None else {}),
            "stream": True,
            "keep_alive": -1,
            # Say so when the prompt or the answer doesn't fit, instead of dropping its beginning.
            "truncate": False,
            "shift": False,
            "options": {
                **self._runner_options(),
                "num_predict": ask.options.max_tokens,
                "temperature": ask.options.temperature,
                "seed": ask.options.seed,
            },
        }

    def _read(self, line: bytes) -> Piece | None:
        event = transport.json_object(line)
        if event.get("error"):
            raise faults.complaint(faults.words(line.decode("utf-8", "replace")), where="in mid-answer")
        return Piece(
            text=(event.get("message") or {}).get("content") or "",
            finish=(event.get("done_reason") or "stop") if event.get("done") else None,
            prompt_tokens=event.get("prompt_eval_count", 0),
            output_tokens=event.get("eval_count", 0),
        )

    def _missing(self) -> str:
        return f"Ollama has no model {self.model!r}: run `ollama pull {self.model}`."


def _resident(entry: dict[str, Any]) -> Resident:
    size, on_gpu = int(entry.get("size", 0)), int(entry.get("size_vram", 0))
    device = "cpu" if not on_gpu else "cuda" if on_gpu >= ON_GPU * size else "cuda+cpu"
    return Resident(str(entry.get("name", "")), size, device, gpu_bytes=on_gpu)
