"""Ollama's own protocol: it can load, unload and say what is in memory, which its OpenAI-compatible one can't."""

from __future__ import annotations

import re
from time import monotonic, sleep
from typing import Any, ClassVar

from queueing.engines.base import JSONSchema, LanguageOptions, Prompt, Resident
from queueing.engines.llm import faults, sizes, transport
from queueing.engines.llm.faults import unavailable
from queueing.engines.llm.served import CONTROL_SECONDS, Piece, ServedModel
from queueing.exceptions import Infrastructure, StageError

OLDEST = (0, 17, 1)  # below it, anyone who reaches the port can read the server's memory (CVE-2026-7482)
LOAD_SECONDS = 300.0
POLL_SECONDS = 0.1
SIZE_SECONDS = 3.0  # how long a question for a model's size may take; it is asked at every hand-over


class Ollama(ServedModel):
    """A model that an Ollama server keeps in memory from `load` to `unload`."""

    name: ClassVar[str] = "ollama"
    unload_seconds = 30.0  # how long Ollama may take to give the memory back

    def __init__(
        self, url: str, model: str, *, slots: int, context_tokens: int, key: str = "", shares_gpu: bool = True
    ) -> None:
        """`shares_gpu`: the server's memory is that of this node's GPU."""
        super().__init__(url, model, slots=slots, context_tokens=context_tokens, key=key)
        self.shares_gpu = shares_gpu
        self._seen_bytes = 0  # what the server said it took, when it was last loaded
        self._size: sizes.Size | None = None

    def needs(self) -> int | None:
        if not self.shares_gpu:
            return 0
        return self._seen_bytes or self._computed_bytes()

    def token_bytes(self) -> int:
        # A whole that was seen can't be taken apart: nobody knows with how many slots the server laid it out.
        return 0 if self._seen_bytes or not self._size else self._size.token

    def _computed_bytes(self) -> int | None:
        try:
            self._size = self._ask_size()
        except StageError:
            self._size = None
            return None
        return self._size.with_slots(self.slots, self.context_tokens)

    def _ask_size(self) -> sizes.Size:
        present = self._call("GET", "/api/tags", seconds=SIZE_SECONDS).get("models") or []
        files = next((entry["size"] for entry in self._ours(present) if entry.get("size")), None)
        if files is None:
            raise Infrastructure(self._missing(), code="model_missing")
        shown = self._call("POST", "/api/show", {"model": self.model}, seconds=SIZE_SECONDS)
        return sizes.size_of(files, shown.get("model_info") or {}, self.context_tokens)

    def load(self) -> None:
        self._must_be_safe()
        # Nothing cancels this while Ollama loads: that has left runners behind that nothing unloads.
        self._keep_alive(-1, seconds=LOAD_SECONDS)
        self._wait_until(loaded=True, seconds=LOAD_SECONDS)
        self._must_have_room()
        # Only now: what somebody else had loaded has another context.
        self._seen_bytes = sum(entry.get("size", 0) for entry in self._loaded())

    def unload(self) -> None:
        if self._held():
            self._keep_alive(0)
            # The reply comes before the memory is free: only the list of what is loaded tells.
            self._wait_until(loaded=False, seconds=self.unload_seconds)

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

    def _keep_alive(self, pin: int, *, seconds: float = CONTROL_SECONDS) -> None:
        """Without a prompt, this loads the model and keeps it (-1), or unloads it (0)."""
        question = {"model": self.model, "keep_alive": pin, "stream": False, "options": self._runner_options()}
        self._call("POST", "/api/generate", question, seconds=seconds)

    def _wait_until(self, *, loaded: bool, seconds: float) -> None:
        give_up = monotonic() + seconds
        while bool(self._loaded()) is not loaded:
            if monotonic() > give_up:
                state = "has not loaded" if loaded else "still holds"
                raise unavailable(f"Ollama {state} {self.model} after {seconds:g} s: restart Ollama.")
            sleep(POLL_SECONDS)

    def _must_have_room(self) -> None:
        for entry in self._loaded():
            length = entry.get("context_length", self.context_tokens)
            if length < self.context_tokens:
                raise unavailable(
                    f"Ollama gives {self.model} a context of {length} tokens, not {self.context_tokens}: "
                    f"set LLM_CONTEXT_TOKENS to {length}."
                )

    def _loaded(self) -> list[dict[str, Any]]:
        return self._ours(self._call("GET", "/api/ps").get("models") or [])

    def _ours(self, models: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ours = (self.model, f"{self.model}:latest")
        return [entry for entry in models if entry.get("name") in ours or entry.get("model") in ours]

    def _runner_options(self) -> dict[str, Any]:
        # The same in every request: another num_ctx makes Ollama load the model anew.
        return {"num_ctx": self.context_tokens}

    def _question(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions) -> tuple[str, dict[str, Any]]:
        return "/api/chat", {
            "model": self.model,
            "messages": self._messages(prompt),
            "format": schema,
            "stream": True,
            "keep_alive": -1,
            # Say so when the prompt or the answer doesn't fit, instead of dropping its beginning.
            "truncate": False,
            "shift": False,
            "options": {
                **self._runner_options(),
                "num_predict": options.max_tokens,
                "temperature": options.temperature,
                "seed": options.seed,
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
    device = "cpu" if not on_gpu else "cuda" if on_gpu >= 0.95 * size else "cuda+cpu"
    return Resident(str(entry.get("name", "")), size, device, gpu_bytes=on_gpu)
