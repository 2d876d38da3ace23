"""A fake Ollama that does what Ollama's API documents, and misbehaves as it is told.

It speaks HTTP for itself, holds its models on a `Card` that all fakes share, and "generates" answers that obey a
schema. What it knows of the real one: loading and unloading by `keep_alive`, `/api/ps`, slots and a queue, a prompt cut
without a word, an unload that is answered before the memory is free, errors in mid-stream under status 200.

A test gives it a `script`: what it does with the next requests for an answer (`tests.doubles.acts`); then all goes
well. In a process of its own (`python -m tests.doubles.ollama`), `/fake` takes the same orders and tells what was seen.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from tests.doubles import acts, words
from tests.doubles.acts import Act, Talk
from tests.doubles.card import FakeCard
from tests.doubles.http import Exchange, HttpDouble
from tests.doubles.ollama.runners import Refused, Runner, RunnerModel, Runners, duration

TINY = RunnerModel("tiny:latest", weights=1 << 30)


class FakeOllama:
    """One server. Its attributes, and those of its `runners`, may be set at any time."""

    def __init__(
        self, *models: RunnerModel, card: FakeCard | None = None, port: int = 0, script: list[Act] | None = None
    ) -> None:
        self.installed = {model.name: model for model in models or (TINY,)}
        self.runners = Runners(card)
        self.server = HttpDouble(self._handle, port)
        self.script = script or []
        self.version = "0.18.0"
        self.cuts_silently = False  # it doesn't know `truncate: false`, like those before 0.12.6
        self.real_context: int | None = None  # the tokens it really has room for, whatever it was asked for
        self.knows_logprobs = True  # as those from 0.12.11 on do
        self.prompt_counted = True  # whether it tells prompt_eval_count
        self.token_seconds = 0.0
        self.jitter_seconds = 0.0  # each answer begins up to so much later, as `chance` has it
        self.chance = random.Random(0)
        self.hangs = False  # accepts every request, answers none
        self.requests: list[str] = []  # paths
        self.questions: list[dict[str, Any]] = []  # those for an answer
        self.orders: list[dict[str, Any]] = []  # those to load and unload
        self.hang_ups = 0  # clients that left before their answer was complete

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def model(self) -> str:
        return next(iter(self.installed))

    def loaded(self) -> list[str]:
        return list(self.runners.held)

    async def die(self) -> None:
        """The port closes, connections break, the memory is free at once."""
        self.runners.forget_all()
        await self.server.close()

    async def _handle(self, exchange: Exchange) -> None:
        self.requests.append(exchange.path)
        route = _ROUTES.get((exchange.method, exchange.path))
        if route is None:
            return await exchange.reply(404, {"error": "404 page not found"})
        if self.hangs and exchange.path != "/fake":
            await asyncio.sleep(acts.FOR_EVER)
        try:
            await route(self, exchange)
        except Refused as refusal:
            await exchange.reply(refusal.status, {"error": refusal.words})
        except ValueError as error:
            await exchange.reply(400, {"error": str(error)})

    async def _version(self, exchange: Exchange) -> None:
        await exchange.reply(200, {"version": self.version})

    async def _tags(self, exchange: Exchange) -> None:
        listed = [{**_named(one), "modified_at": _now(), "size": one.weights} for one in self.installed.values()]
        await exchange.reply(200, {"models": listed})

    async def _ps(self, exchange: Exchange) -> None:
        listed = [
            {
                **_named(runner.model),
                "size": runner.size,
                "size_vram": runner.on_gpu,
                "expires_at": expires.isoformat(),
                "context_length": runner.context,
            }
            for runner, expires in self.runners.listed()
        ]
        await exchange.reply(200, {"models": listed})

    async def _show(self, exchange: Exchange) -> None:
        question = exchange.json()
        await exchange.reply(200, _shown(self._find(question.get("model") or question.get("name"))))

    async def _generate(self, exchange: Exchange) -> None:
        question = exchange.json()
        prompt = question.get("prompt") or ""
        system = [{"role": "system", "content": question["system"]}] if question.get("system") else []
        messages = [*system, {"role": "user", "content": prompt}] if prompt else []
        await self._serve(exchange, question, messages, Speaker(self, chat=False))

    async def _chat(self, exchange: Exchange) -> None:
        question = exchange.json()
        await self._serve(exchange, question, question.get("messages") or [], Speaker(self, chat=True))

    async def _serve(
        self, exchange: Exchange, question: dict[str, Any], messages: list[words.Message], speaker: Speaker
    ) -> None:
        model, stays = self._find(question.get("model")), duration(question.get("keep_alive"))
        (self.questions if messages else self.orders).append(question)
        if not messages and stays is not None and not stays:
            self.runners.expire(model.name)
            return await exchange.reply(200, speaker.line(model, "", done=True, done_reason="unload"))
        began = time.monotonic_ns()
        async with self.runners.use(model, (question.get("options") or {}).get("num_ctx"), stays) as runner:
            if not messages:
                return await exchange.reply(200, speaker.line(model, "", done=True, done_reason="load"))
            async with self.runners.slot(runner):
                speaker.prepare(runner, messages, began, time.monotonic_ns() - began)
                await asyncio.sleep(self.chance.uniform(0, self.jitter_seconds))
                act = self.script.pop(0) if self.script else acts.right
                try:
                    await act(Talk(exchange, question, speaker))
                except BaseException:
                    self.hang_ups += 1
                    raise

    def _find(self, name: object) -> RunnerModel:
        full = f"{name}" if ":" in str(name) else f"{name}:latest"
        if full not in self.installed:
            raise Refused(404, f"model '{name}' not found")
        return self.installed[full]

    async def _orders(self, exchange: Exchange) -> None:
        """Not Ollama's: what a test orders (`script`, and any attribute by name), and what was seen."""
        for name, value in exchange.json().items():
            if name == "script":
                self.script = [acts.named(text) for text in value]
            else:
                setattr(self if hasattr(self, name) else self.runners, name, value)
        seen = {"requests": self.requests, "hang_ups": self.hang_ups, "loaded": self.loaded()}
        await exchange.reply(200, {**seen, "cancels_during_load": self.runners.cancels_during_load})


class Speaker:
    """Ollama's lines, for one request; also how it answers when nothing is wrong."""

    def __init__(self, fake: FakeOllama, *, chat: bool) -> None:
        self.fake, self.chat = fake, chat

    def prepare(self, runner: Runner, messages: list[words.Message], began: int, load: int) -> None:
        self.runner, self.messages = runner, messages
        self.began, self.load = began, load  # nanoseconds
        self.prompt = words.render(messages)
        self.eval_count = 0

    async def answer(self, talk: Talk) -> None:
        question = talk.question
        options = question.get("options") or {}
        self._fit(question)
        text = words.answer(self.prompt, question.get("format"), options.get("seed"))
        most = options.get("num_predict", -1)
        if question.get("shift") is False:
            room = self.runner.context - words.count(self.prompt)
            most = room if most < 0 else min(most, room)
        said = list(words.pieces(text))
        kept = said if most < 0 else said[:most]
        self.eval_count = len(kept)
        reason = "stop" if len(kept) == len(said) else "length"
        if question.get("stream") is False:
            await asyncio.sleep(self.fake.token_seconds * len(kept))
            await talk.exchange.reply(200, self._last(reason, "".join(kept)))
            return
        await talk.begin()
        for piece in kept:
            await talk.say(piece)
            await asyncio.sleep(self.fake.token_seconds)
        await talk.finish(reason)

    def _fit(self, question: dict[str, Any]) -> None:
        room = min(self.runner.context, self.fake.real_context or self.runner.context)
        if question.get("truncate") is False and not self.fake.cuts_silently:
            if words.count(self.prompt) > room:
                raise Refused(400, "the input length exceeds the context length")
        else:
            self.prompt = words.cut(words.render(words.shortened(self.messages, room)), room)

    def schema(self, question: dict[str, Any]) -> dict[str, Any]:
        schema: dict[str, Any] = question["format"]
        return schema

    def piece(self, text: str, question: dict[str, Any]) -> bytes:
        known = question.get("logprobs") and self.fake.knows_logprobs
        logprobs: dict[str, Any] = {"logprobs": words.logprobs(text)} if known else {}
        return _as_line(self.line(self.runner.model, text, **logprobs))

    def thought(self, text: str) -> bytes:
        self.eval_count += 1
        return _as_line(self.line(self.runner.model, "") | {"message": {"role": "assistant", "thinking": text}})

    def end(self, reason: str) -> bytes:
        return _as_line(self._last(reason, ""))

    def error_line(self, message: str) -> bytes:
        return _as_line({"error": message})

    async def die(self) -> None:
        await self.fake.die()

    def line(self, model: RunnerModel, text: str, *, done: bool = False, **more: Any) -> dict[str, Any]:
        said = {"message": {"role": "assistant", "content": text}} if self.chat else {"response": text}
        return {"model": model.name, "created_at": _now(), **said, "done": done, **more}

    def _last(self, reason: str, text: str) -> dict[str, Any]:
        total = time.monotonic_ns() - self.began
        counted = {"prompt_eval_count": words.count(self.prompt)} if self.fake.prompt_counted else {}
        return self.line(
            self.runner.model,
            text,
            done=True,
            done_reason=reason,
            total_duration=total,
            load_duration=self.load,
            **counted,
            prompt_eval_duration=1,
            eval_count=self.eval_count,
            eval_duration=max(1, total - self.load),
        )


def _as_line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _named(model: RunnerModel) -> dict[str, Any]:
    digest = hashlib.sha256(model.name.encode()).hexdigest()
    return {"name": model.name, "model": model.name, "digest": digest, "details": _details(model)}


def _details(model: RunnerModel) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": model.family,
        "families": [model.family],
        "parameter_size": model.parameters,
        "quantization_level": "Q4_0",
    }


def _shown(model: RunnerModel) -> dict[str, Any]:
    family = model.family
    return {
        "modelfile": f"FROM {model.name}",
        "parameters": "",
        "template": "{{ .System }}{{ .Prompt }}",
        "details": _details(model),
        "model_info": {
            "general.architecture": family,
            "general.parameter_count": int(float(model.parameters.rstrip("B")) * 1e9),
            f"{family}.block_count": model.layers,
            f"{family}.attention.head_count": model.heads,
            f"{family}.attention.head_count_kv": model.heads_kv,
            f"{family}.embedding_length": model.embedding,
            f"{family}.context_length": model.context,
        },
        "capabilities": ["completion"],
        "modified_at": _now(),
    }


_ROUTES = {
    ("GET", "/api/version"): FakeOllama._version,
    ("GET", "/api/tags"): FakeOllama._tags,
    ("GET", "/api/ps"): FakeOllama._ps,
    ("POST", "/api/show"): FakeOllama._show,
    ("POST", "/api/generate"): FakeOllama._generate,
    ("POST", "/api/chat"): FakeOllama._chat,
    ("GET", "/fake"): FakeOllama._orders,
    ("POST", "/fake"): FakeOllama._orders,
}


@contextmanager
def serving(fake: FakeOllama) -> Iterator[FakeOllama]:
    """The fake in a thread of its own, until the end of the block."""
    fake.server.start()
    try:
        yield fake
    finally:
        fake.server.stop()
