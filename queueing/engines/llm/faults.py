"""What a model server's error means for the task: one table for all protocols."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from queueing.exceptions import Crashed, Infrastructure, OutOfMemory, Permanent, StageError, Transient

_TOO_LONG = re.compile(
    r"exceed_context|context_length_exceeded|exceeds the (available|model's|maximum) .*context|maximum context length"
    r"|input length exceeds|prompt (is )?too long",
    re.IGNORECASE,
)
_MEMORY = re.compile(
    r"out of memory|requires more (system )?memory|failed to allocate|cudaMalloc|bad_alloc|\bOOM\b", re.IGNORECASE
)
_DIED = re.compile(
    r"runner (process )?(has )?(terminated|crashed|exited|unexpectedly stopped|no longer running)"
    r"|(engine|process) (is )?dead",
    re.IGNORECASE,
)
# What a server answers that is well, but can't serve this model, or not in the way that is asked for → the cure.
_UNFIT: Final = {
    re.compile(pattern, re.IGNORECASE): cure
    for pattern, cure in {
        r"failed to load model vocabulary|invalid json schema|invalid format"
        r"|failed to (parse|initialize|compile) .*grammar"
        r"|does not support .*(json|schema|structured|grammar|response_format|format)": (
            "With this model the server can't keep to a form: update the server, or choose another model."
        ),
        r"unable to load model|unknown model architecture|unsupported model|unknown (pre-)?tokenizer"
        r"|wrong number of tensors|missing tensor|invalid (file )?magic|newer version of ollama": (
            "The server can't load this model: update the server, or install the model again."
        ),
        r"does not support (chat|completion|generat)": "Choose a model that answers in a chat.",
    }.items()
}
_NOT_LOADED = re.compile(r"timed out waiting for .*runner|(failed to|error) load(ing)? model", re.IGNORECASE)


def refusal(status: int, text: str, *, missing: str) -> StageError:
    """The error for an HTTP status other than 200. `missing` says how to get the model."""
    message = error_text(text)
    if status == 404:
        return Infrastructure(f"{missing} (The server said: {message})", code="model_missing")
    if status in (401, 403):
        return Infrastructure(f"The language model server refuses us (HTTP {status}): {message}", code="engine_refuses")
    if status in (408, 429, 503):
        busy = f"The language model server is busy or not ready (HTTP {status}): {message}"
        return Infrastructure(busy, code="engine_busy")
    if status > 500:
        return unavailable(f"The language model server is not there (HTTP {status}): {message}")
    return complaint(message, where=f"HTTP {status}")


def is_about_probabilities(status: int, text: str) -> bool:
    """Whether a request was refused because it asked for the probabilities of tokens."""
    return status in (400, 422) and "logprobs" in text


def complaint(text: str, *, where: str) -> StageError:
    """The error for a server's error text, sent with a status of 400 or 500, or in the middle of an answer."""
    message = f"The language model server reports an error ({where}): {text}"
    if _TOO_LONG.search(text):
        return Permanent(message, code="too_long_for_model")
    if _MEMORY.search(text):
        return OutOfMemory(message)
    for pattern, cure in _UNFIT.items():
        if pattern.search(text):
            return unfit(f"{message.rstrip('.')}. {cure}")
    if _DIED.search(text):
        return Crashed(message)
    if _NOT_LOADED.search(text):
        return unavailable(message)
    return Transient(message)


def unavailable(message: str) -> Infrastructure:
    """The server isn't there, isn't ready or isn't what it should be; no task is to blame."""
    return Infrastructure(message, code="engine_unavailable")


def unfit(message: str) -> Infrastructure:
    """The server is there and well, but not as it must be for this work."""
    return Infrastructure(message, code="engine_unfit")


def only_thought(model: str, finish: str) -> Infrastructure:
    """The error for an answer of which nothing but the model's thoughts came."""
    how = "until its tokens were used up" if finish == "length" else "and answered nothing"
    return unfit(f"{model} only thought, {how}: choose a model that does not think, or one whose thinking can be off.")


def error_text(text: str) -> str:
    """The error's text out of a body: `{"error": "…"}`, `{"error": {"message": "…"}}`, or the text as it is.

    Newer Ollamas hand on their runner's body as a string: `{"error": "{\\"error\\": {\\"message\\": …"}`.
    """
    value = _parsed(text)
    while isinstance(value, dict):
        value = value.get("error") or value.get("message") or value.get("detail") or str(value)
        if isinstance(value, str) and value.startswith('{"'):
            value = _parsed(value)
    return str(value).strip()[:500]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
