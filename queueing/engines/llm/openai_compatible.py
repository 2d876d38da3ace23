"""Any server with OpenAI's chat completions and JSON schemas: llama.cpp, vLLM, LM Studio …"""

from __future__ import annotations

from time import monotonic, sleep
from typing import Any, ClassVar

import httpx

from queueing.engines import booleans
from queueing.engines.base import Prompt, Resident
from queueing.engines.llm import faults, transport
from queueing.engines.llm.request import ModelRequest
from queueing.engines.llm.served import Piece, ServedModel
from queueing.exceptions import Infrastructure, StageError

LOAD_SECONDS = 300.0  # timeout for a server that reports "still loading"
POLL_SECONDS = 0.2
THINKING_SWITCH = "enable_thinking"  # of the chat templates that have one; /props of llama.cpp shows the template
LLAMA_CPP_PROP = "default_generation_settings"  # on the page /props of llama.cpp, and of no other server known to us


class OpenAICompatible(ServedModel):
    """A model that a server of someone else's keeps in memory.

    Its memory isn't ours: `load` only makes sure that the model is served, `unload` does nothing, `resident` is empty.
    """

    name: ClassVar[str] = "openai-compatible"
    ping_path: ClassVar[str] = "/health"  # whatever is answered: servers without such a page say so

    def __init__(
        self,
        url: str,
        model: str,
        *,
        slots: int,
        context_tokens: int,
        key: str = "",
        cuts_prompts: bool = True,
        llama_cpp: bool = False,
        digest: str = "",
        version: str = "",
    ) -> None:
        """`llama_cpp`: it is known to be that; else `load` finds out. `digest`: of the model's file, if it is known.

        `version`: the server's, if it is known; llama.cpp tells it when it is loaded.
        """
        super().__init__(
            url.rstrip("/").removesuffix("/v1"),  # people write the address with and without the version
            model,
            slots=slots,
            context_tokens=context_tokens,
            key=key,
            cuts_prompts=cuts_prompts,
        )
        self.wanted_slots = slots
        self._llama_cpp = llama_cpp
        self._thinking_can_be_off = False
        self._digest = digest
        self._version = version

    def needs(self) -> int:
        return 0

    def load(self) -> None:
        self._wait_until_ready()
        served = self._served()
        if self.model not in served:
            known = ", ".join(sorted(served)) or "none"
            raise Infrastructure(f"{self._missing()} It serves: {known}.", code="model_missing")
        props = self._props()
        self._llama_cpp = LLAMA_CPP_PROP in props
        self._version = str(props.get("build_info") or "")
        self._thinking_can_be_off = THINKING_SWITCH in str(props.get("chat_template") or "")
        self.slots = min(self.wanted_slots, _slots(props) or self.wanted_slots)

    def unload(self) -> None:
        """Nothing to do: the server decides what stays in its memory."""

    def resident(self) -> tuple[Resident, ...]:
        """Nothing that is ours."""
        return ()

    def _wait_until_ready(self) -> None:
        # llama.cpp and vLLM answer /health with 503 while they load; servers without it answer 404.
        self._must_not_be_silent()
        give_up = monotonic() + LOAD_SECONDS
        while transport.run(self._exchange("GET", "/health"))[0] == 503:
            if monotonic() > give_up:
                raise faults.unavailable(f"The server at {self.url} has been loading its model for {LOAD_SECONDS:g} s.")
            sleep(POLL_SECONDS)

    def _served(self) -> set[str]:
        listed = self._call("GET", "/v1/models").get("data")
        models = [model for model in listed if isinstance(model, dict)] if isinstance(listed, list) else []
        return {str(name) for model in models for name in (model.get("id"), *(model.get("aliases") or ())) if name}

    def _props(self) -> dict[str, Any]:
        """What llama.cpp reports about itself; nothing where the server has no such page."""
        try:
            return self._call("GET", "/props")
        except StageError:
            return {}

    async def _count(self, http: httpx.AsyncClient, prompt: Prompt) -> int | None:
        # llama.cpp takes `content` and gives `tokens`, vLLM takes `messages` and gives `count`; each skips the rest.
        question = {
            "model": self.model,
            "content": f"{prompt.system}\n{prompt.user}",
            "messages": self._messages(prompt),
        }
        response = await http.post("/tokenize", json=question)
        if response.status_code != 200:
            return None
        counted = transport.json_object(response.content)
        if isinstance(count := counted.get("count"), int):
            return count
        return len(tokens) if isinstance(tokens := counted.get("tokens"), list) else None

    def _encode(self, request: ModelRequest) -> tuple[str, dict[str, Any]]:
        form = {"name": "answer", "strict": True, "schema": request.schema}
        return "/v1/chat/completions", {
            "model": self.model,
            "messages": self._messages(request.prompt),
            **({"response_format": {"type": "json_schema", "json_schema": form}} if request.schema is not None else {}),
            "max_tokens": request.options.max_tokens,
            "temperature": request.options.temperature,
            "seed": request.options.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            # An answer to a prompt whose beginning is still in its cache differs from the same answer without.
            **({"cache_prompt": False} if self._llama_cpp else {}),
            **({"chat_template_kwargs": {THINKING_SWITCH: False}} if self._thinking_can_be_off else {}),
            **({"logprobs": True, "top_logprobs": booleans.TOP} if request.wants_probabilities else {}),
        }

    def _read(self, line: bytes) -> Piece | None:
        field, _, data = line.partition(b":")
        data = data.strip()
        if field not in (b"data", b"error") or data == b"[DONE]":
            return None  # a comment that keeps the connection alive, an event's name, or the end
        event = transport.json_object(data)
        if field == b"error" or event.get("error"):
            raise faults.complaint(faults.error_text(data.decode("utf-8", "replace")), where="in mid-answer")
        return _piece(event)

    def _missing(self) -> str:
        return f"The server at {self.url} does not serve the model {self.model!r}."


def _piece(event: dict[str, Any]) -> Piece:
    usage = event.get("usage") or {}
    choice: dict[str, Any] = next(iter(event.get("choices") or ()), {})
    delta = choice.get("delta") or {}
    return Piece(
        text=delta.get("content") or "",
        thought=delta.get("reasoning_content") or delta.get("reasoning") or "",
        finish=choice.get("finish_reason"),
        prompt_tokens=usage.get("prompt_tokens", 0),
        output_tokens=usage.get("completion_tokens", 0),
        model=event.get("model") or "",
        tokens=booleans.reported((choice.get("logprobs") or {}).get("content")),
    )


def _slots(props: dict[str, Any]) -> int | None:
    """How many answers the server gives at once, if it reports that. More calls would wait there, claimed and doing
    nothing."""
    total = props.get("total_slots")
    return total if isinstance(total, int) and total > 0 else None
