"""Ollama's own protocol: it can load, unload and list what is in memory, which its OpenAI-compatible one can't."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Future
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any, ClassVar

from queueing.engines import booleans
from queueing.engines.base import ON_GPU_SHARE, Resident
from queueing.engines.llm import faults, sizes, transport
from queueing.engines.llm.faults import unavailable
from queueing.engines.llm.request import ModelRequest
from queueing.engines.llm.served import Piece, ServedModel
from queueing.exceptions import Infrastructure, StageError

OLDEST = (0, 17, 1)  # below it, anyone who reaches the port can read the server's memory (CVE-2026-7482)
LOAD_SECONDS = 300.0
LOST_SECONDS = 1800.0  # a load that takes longer lost its connection without a sign
POLL_SECONDS = 0.1
SIZE_SECONDS = 3.0  # timeout of the query for a model's size, which is sent at every hand-over


class Ollama(ServedModel):
    """A model that an Ollama server keeps in memory from `load` to `unload`."""

    name: ClassVar[str] = "ollama"
    ping_path: ClassVar[str] = "/api/version"
    load_seconds = LOAD_SECONDS  # timeout of a load
    unload_seconds = 5.0  # as long as Ollama itself waits for the memory; what takes longer, the hand-over waits for

    def __init__(
        self, url: str, model: str, *, slots: int, context_tokens: int, key: str = "", shares_gpu: bool = True
    ) -> None:
        """`shares_gpu`: the server's memory is that of this node's GPU."""
        super().__init__(url, model, slots=slots, context_tokens=context_tokens, key=key)
        self.shares_gpu = shares_gpu
        self._seen_bytes = 0  # what the server reported that it took, when it was last loaded
        self._size: sizes.Size | None = None
        self._lock = Lock()
        self._last_load: Future[None] | None = None
        self._seen_on_gpu = False

    def needs(self) -> int | None:
        if not self.shares_gpu:
            return 0
        return self._seen_bytes or self._computed_bytes()

    def token_bytes(self) -> int:
        # A measured total can't be split: it is unknown with how many slots the server laid it out.
        return 0 if self._seen_bytes or not self._size else self._size.token

    def _computed_bytes(self) -> int | None:
        try:
            self._size = self._query_size()
        except StageError:
            self._size = None
            return None
        return self._size.with_slots(self.slots, self.context_tokens)

    def _query_size(self) -> sizes.Size:
        present = self._call("GET", "/api/tags", seconds=SIZE_SECONDS).get("models") or []
        files = next((entry["size"] for entry in self._ours(present) if entry.get("size")), None)
        if files is None:
            raise Infrastructure(self._missing(), code="model_missing")
        shown = self._call("POST", "/api/show", {"model": self.model}, seconds=SIZE_SECONDS)
        return sizes.size_of(files, shown.get("model_info") or {}, self.context_tokens)

    def load(self) -> None:
        try:
            self._loading().result(self.load_seconds)
        except TimeoutError:
            late = f"Ollama has not loaded {self.model} after {self.load_seconds:g} s: restart Ollama."
            raise unavailable(late) from None
        listed = self._loaded()
        self._must_be_as_before(listed)
        self._must_have_room(listed)
        # Only now: what somebody else had loaded has another context.
        self._seen_bytes = sum(entry.get("size", 0) for entry in listed)

    def unload(self) -> None:
        self._must_not_be_loading()
        if self._held():
            self._keep_alive(0)
            # The reply comes before the memory is free: only the list of what is loaded shows that.
            self._wait_until_gone()

    def resident(self) -> tuple[Resident, ...]:
        return tuple(_resident(entry) for entry in self._held())

    def _held(self) -> list[dict[str, Any]]:
        """What the server keeps in memory. One that is not running keeps nothing, so that others may load; one that
        can't be reached for any other reason is an error: it may well hold the GPU."""
        try:
            return self._loaded()
        except Infrastructure as error:
            if transport.refused(error):
                return []
            raise

    def _must_be_safe(self) -> None:
        version = str(self._call("GET", "/api/version").get("version", ""))
        numbers = tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])
        # Built from source it reports 0.0.0.
        if numbers < OLDEST and numbers != (0, 0, 0):
            oldest = ".".join(map(str, OLDEST))
            raise faults.unfit(f"Ollama {version or '(no version)'} has known holes: update it to {oldest} or newer.")
        self._version = version

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
        body = {"model": self.model, "keep_alive": pin, "stream": False, "options": self._runner_options()}
        self._call("POST", "/api/generate", body, seconds=seconds)

    def _wait_until_gone(self) -> None:
        give_up = monotonic() + self.unload_seconds
        while self._loaded():
            if monotonic() > give_up:
                raise unavailable(f"Ollama still holds {self.model} after {self.unload_seconds:g} s: restart Ollama.")
            sleep(POLL_SECONDS)

    async def _make_ready(self) -> None:
        """Only a loaded model gets a request, and only if it has not slipped off the GPU since the last call."""
        listed = await self._listed()
        # One that somebody else loaded with another context would be loaded anew by the request itself.
        if not any(entry.get("context_length", self.context_tokens) == self.context_tokens for entry in listed):
            await asyncio.wrap_future(self._loading())
            listed = await self._listed()
        self._must_be_as_before(listed)
        self._digest = next((str(entry["digest"]) for entry in listed if entry.get("digest")), "")

    def _must_be_as_before(self, listed: list[dict[str, Any]]) -> None:
        """A model that was on the GPU and isn't any more answers at a tenth of the speed."""
        for entry in listed:
            share = entry.get("size_vram", 0) / (entry.get("size") or 1)
            if self._seen_on_gpu and share < ON_GPU_SHARE:
                raise Infrastructure(
                    f"Ollama runs {100 * (1 - share):.0f} % of {self.model} on the processor, no longer on the GPU: "
                    "see what else holds GPU memory, then restart Ollama.",
                    code="cpu_fallback",
                )
            self._seen_on_gpu = self._seen_on_gpu or share >= ON_GPU_SHARE

    def _must_have_room(self, listed: list[dict[str, Any]]) -> None:
        for entry in listed:
            length = entry.get("context_length", self.context_tokens)
            if length < self.context_tokens:
                raise faults.unfit(
                    f"Ollama gives {self.model} a context of {length} tokens, not {self.context_tokens}: "
                    f"set LLM_CONTEXT_TOKENS to {length}."
                )

    def _loaded(self) -> list[dict[str, Any]]:
        self._must_not_be_silent()
        return transport.run(self._listed())

    async def _listed(self) -> list[dict[str, Any]]:
        """What Ollama reports that it keeps of ours."""
        return self._ours((await self._query("GET", "/api/ps")).get("models") or [])

    def _ours(self, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = {self.model, f"{self.model}:latest"}
        return [entry for entry in models if {entry.get("name"), entry.get("model")} & names]

    def _runner_options(self) -> dict[str, Any]:
        # The same in every request: another num_ctx makes Ollama load the model anew.
        return {"num_ctx": self.context_tokens}

    def _encode(self, request: ModelRequest) -> tuple[str, dict[str, Any]]:
        return "/api/chat", {
            "model": self.model,
            "messages": self._messages(request.prompt),
            **({"format": request.schema} if request.schema is not None else {}),
            "stream": True,
            "think": False,
            "keep_alive": -1,
            # Say so when the prompt or the answer doesn't fit, instead of dropping its beginning.
            "truncate": False,
            "shift": False,
            **({"logprobs": True, "top_logprobs": booleans.TOP} if request.wants_probabilities else {}),
            "options": {
                **self._runner_options(),
                "num_predict": request.options.max_tokens,
                "temperature": request.options.temperature,
                "seed": request.options.seed,
            },
        }

    def _read(self, line: bytes) -> Piece | None:
        event = transport.json_object(line)
        if event.get("error"):
            raise faults.complaint(faults.error_text(line.decode("utf-8", "replace")), where="in mid-answer")
        message = event.get("message") or {}
        return Piece(
            text=message.get("content") or "",
            thought=message.get("thinking") or "",
            finish=(event.get("done_reason") or "stop") if event.get("done") else None,
            prompt_tokens=event.get("prompt_eval_count", 0),
            output_tokens=event.get("eval_count", 0),
            model=event.get("model") or "",
            tokens=booleans.reported(event.get("logprobs")),
        )

    def _missing(self) -> str:
        return f"Ollama has no model {self.model!r}: run `ollama pull {self.model}`."


def _resident(entry: dict[str, Any]) -> Resident:
    size, on_gpu = int(entry.get("size", 0)), int(entry.get("size_vram", 0))
    device = "cpu" if not on_gpu else "cuda" if on_gpu >= ON_GPU_SHARE * size else "cuda+cpu"
    return Resident(str(entry.get("name", "")), size, device, gpu_bytes=on_gpu)
