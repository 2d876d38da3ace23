"""Ollama's own protocol: it can load, unload and say what is in memory, which its OpenAI-compatible one can't."""

from __future__ import annotations

import re
from time import monotonic, sleep
from typing import Any, ClassVar

from queueing.engines.base import JSONSchema, LanguageOptions, Prompt, Resident
from queueing.engines.llm import faults, transport
from queueing.engines.llm.faults import unavailable
from queueing.engines.llm.served import CONTROL_SECONDS, Piece, ServedModel
from queueing.exceptions import Infrastructure

OLDEST = (0, 17, 1)  # below it, anyone who reaches the port can read the server's memory (CVE-2026-7482)
LOAD_SECONDS = 300.0
POLL_SECONDS = 0.1


class Ollama(ServedModel):
    """A model that an Ollama server keeps in memory from `load` to `unload`."""

    name: ClassVar[str] = "ollama"
    unload_seconds = 30.0  # how long Ollama may take to give the memory back

    def load(self) -> None:
        self._must_be_safe()
        # Nothing cancels this while Ollama loads: that has left runners behind that nothing unloads.
        self._keep_alive(-1, seconds=LOAD_SECONDS)
        self._wait_until(loaded=True, seconds=LOAD_SECONDS)
        self._must_have_room()

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
        models = self._call("GET", "/api/ps").get("models") or []
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
