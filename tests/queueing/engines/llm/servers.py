"""A fake of OpenAI's protocol on loopback, as llama.cpp serves it. It misbehaves by its script."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.doubles import acts, words
from tests.doubles.acts import Act, Talk
from tests.doubles.http import Exchange, HttpDouble

BUILD: Final = "b7000-0123abcd"


@dataclass
class FakeOpenAI:
    """llama.cpp's way: health, models, tokenizer, server-sent events.

    `script` is used up by requests for answers, then every answer is right.
    """

    script: list[Act] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    model: str = "tiny:latest"
    tokenizer: bool = True
    loading: int = 0  # how many times /health answers 503
    total_slots: object = None  # what /props reports; None: there is no such page
    template: str = "{{ messages }}"
    llama_cpp: bool = True  # /props has what llama.cpp's has
    knows_logprobs: bool = True
    prompt_tokens: int | None = None  # what it reports as read; None: what it was sent

    def __post_init__(self) -> None:
        self.server = HttpDouble(self._handle)

    @property
    def url(self) -> str:
        return self.server.url

    async def _handle(self, exchange: Exchange) -> None:
        self.requests.append(exchange.path)
        match exchange.path:
            case "/health":
                self.loading -= 1
                await exchange.reply(503 if self.loading >= 0 else 200, {"status": "ok"})
            case "/v1/models":
                await exchange.reply(200, {"data": [{"id": self.model, "aliases": ["small"]}]})
            case "/props":
                its_own = {"default_generation_settings": {}, "build_info": BUILD}
                told: dict[str, Any] = its_own | {"chat_template": self.template} if self.llama_cpp else {}
                await exchange.reply(200 if self.total_slots else 404, {"total_slots": self.total_slots, **told})
            case "/tokenize":
                tokens = re.findall(r"\w+|\W", exchange.json()["content"])
                await exchange.reply(200 if self.tokenizer else 404, {"tokens": list(range(len(tokens)))})
            case _:
                question = exchange.json()
                self.questions.append(question)
                act = self.script.pop(0) if self.script else acts.right
                await act(Talk(exchange, question, self))

    async def answer(self, talk: Talk) -> None:
        """A valid answer, in small pieces."""
        text = words.answer(
            _prompt(talk.question), talk.question.get("response_format") and self.schema(talk.question), 7
        )
        pieces = list(words.pieces(text))
        kept = pieces[: talk.question["max_tokens"]]
        await talk.begin()
        for piece in kept:
            await talk.say(piece)
        await talk.finish("stop" if kept == pieces else "length")

    def schema(self, question: dict[str, Any]) -> dict[str, Any]:
        schema: dict[str, Any] = question["response_format"]["json_schema"]["schema"]
        return schema

    def piece(self, text: str, question: dict[str, Any]) -> bytes:
        known = question.get("logprobs") and self.knows_logprobs
        logprobs = {"logprobs": {"content": words.logprobs(text)}} if known else {}
        said = {"delta": {"content": text}, "finish_reason": None, **logprobs}
        return self._event({"model": self.model, "choices": [said]})

    def thought(self, text: str) -> bytes:
        said = {"delta": {"reasoning_content": text}, "finish_reason": None}
        return self._event({"model": self.model, "choices": [said]})

    def end(self, reason: str) -> bytes:
        last = self._event({"choices": [{"delta": {}, "finish_reason": reason}]})
        read = words.count(_prompt(self.questions[-1])) if self.prompt_tokens is None else self.prompt_tokens
        usage = self._event({"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": 12}})
        return last + usage + b"data: [DONE]\n\n"

    def error_line(self, message: str) -> bytes:
        return self._event({"error": {"message": message, "code": 500}})

    async def die(self) -> None:
        await self.server.close()

    def _event(self, value: dict[str, Any]) -> bytes:
        return b": keep alive\n\ndata: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def _prompt(question: dict[str, Any]) -> str:
    return words.render(question["messages"])


@contextmanager
def serving(fake: FakeOpenAI, port: int = 0) -> Iterator[FakeOpenAI]:
    """The fake on that port of loopback, or on a free one, until the end of the block."""
    fake.server.port = port
    fake.server.start()
    try:
        yield fake
    finally:
        fake.server.stop()


def closed_port() -> str:
    """An address that nothing listens at."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{reserved.getsockname()[1]}"
