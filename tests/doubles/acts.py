"""What a model server may do with a request for an answer, whatever its protocol: every way to misbehave, by name."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from queueing.engines.llm.simulated import example
from tests.doubles import words
from tests.doubles.http import Exchange

FOR_EVER = 3600.0
_dying: set[asyncio.Future[None]] = set()


class Dialect(Protocol):
    """How one protocol says it."""

    async def answer(self, talk: Talk) -> None:
        """As it should be."""

    def schema(self, question: dict[str, Any]) -> dict[str, Any]: ...

    def piece(self, text: str, question: dict[str, Any]) -> bytes: ...

    def thought(self, text: str) -> bytes:
        """A piece of what a model thinks before it answers."""

    def end(self, reason: str) -> bytes: ...

    def error_line(self, message: str) -> bytes: ...

    async def die(self) -> None:
        """Close the port, cut all connections, free all memory."""


@dataclass
class Talk:
    """One request for an answer, and the way to answer it."""

    exchange: Exchange
    question: dict[str, Any]
    dialect: Dialect

    async def begin(self) -> None:
        await self.exchange.begin()

    async def say(self, text: str) -> None:
        await self.exchange.send(self.dialect.piece(text, self.question))

    async def finish(self, reason: str = "stop") -> None:
        await self.exchange.send(self.dialect.end(reason))


Act = Callable[[Talk], Awaitable[None]]


async def right(talk: Talk) -> None:
    await talk.dialect.answer(talk)


def saying(text: str, reason: str = "stop") -> Act:
    """This text, as the model's whole answer. CODE in it is the code at the prompt's head, if the prompt has one."""

    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.say(text.replace("CODE", words.code_in(words.render(talk.question.get("messages", [])))))
        await talk.finish(reason)

    return act


def thinking(pieces: int, *, seconds: float = 0.0, reason: str = "", obeys: bool = True) -> Act:
    """So many pieces of a thought and then the answer, or nothing but this `reason`. `obeys`: `think: false`."""

    async def act(talk: Talk) -> None:
        if obeys and talk.question.get("think") is False:
            await right(talk)
            return
        await talk.begin()
        for _ in range(pieces):
            await talk.exchange.send(talk.dialect.thought("Let me see. "))
            await asyncio.sleep(seconds)
        if not reason:
            await talk.say(words.answer(_prompt(talk), talk.dialect.schema(talk.question), 7))
        await talk.finish(reason or "stop")

    return act


def wrapping(before: str, after: str = "") -> Act:
    """A good answer between these words."""

    async def act(talk: Talk) -> None:
        text = words.answer(_prompt(talk), talk.dialect.schema(talk.question), 7)
        await saying(f"{before}{text}{after}")(talk)

    return act


def _prompt(talk: Talk) -> str:
    return words.render(talk.question.get("messages", []))


def refusing(field: str) -> Act:
    """As a server that is strict about what it is sent, and does not know this field."""

    async def act(talk: Talk) -> None:
        await (status(400, f"unknown field: {field}") if field in talk.question else right)(talk)

    return act


def status(code: int, message: str = "out of order") -> Act:
    async def act(talk: Talk) -> None:
        await talk.exchange.reply(code, {"error": message})

    return act


async def hang(_talk: Talk) -> None:
    """Take the request and say nothing at all."""
    await asyncio.sleep(FOR_EVER)


async def hang_after_headers(talk: Talk) -> None:
    await talk.begin()
    await asyncio.sleep(FOR_EVER)


async def hang_midway(talk: Talk) -> None:
    """The start of an answer, then nothing more."""
    await talk.begin()
    await talk.say('{"name": "A')
    await asyncio.sleep(FOR_EVER)


def drip(seconds: float = 0.05) -> Act:
    """The bytes of an answer one by one: no read is ever late."""

    async def act(talk: Talk) -> None:
        await talk.begin()
        for byte in talk.dialect.piece("x" * 10_000, talk.question):
            await talk.exchange.send(bytes([byte]))
            await asyncio.sleep(seconds)

    return act


def dawdle(seconds: float) -> Act:
    """A whole piece of an answer each so many seconds, for ever."""

    async def act(talk: Talk) -> None:
        await talk.begin()
        while True:
            await talk.say("a ")
            await asyncio.sleep(seconds)

    return act


async def empties(talk: Talk) -> None:
    """Pieces without a word in them, for ever, as of a model that only thinks."""
    await talk.begin()
    while True:
        await talk.say("")
        await asyncio.sleep(0.02)


async def blanks(talk: Talk) -> None:
    """The start of an answer, then whitespace without end."""
    await talk.begin()
    await talk.say('{"name":')
    while True:
        await talk.say(" \n")
        await asyncio.sleep(0.0005)


async def flood(talk: Talk) -> None:
    """Words without end, whatever the limit was."""
    await talk.begin()
    await talk.say('{"name": "')
    while True:
        await talk.say("and so on " * 500)


async def endless_line(talk: Talk) -> None:
    await talk.begin()
    while True:
        await talk.exchange.send(b"x" * 65536)


def error_midway(message: str) -> Act:
    """Half an answer under status 200, then an error in its place."""

    async def act(talk: Talk) -> None:
        await talk.begin()
        await talk.say('{"name": "A')
        await talk.exchange.send(talk.dialect.error_line(message))

    return act


async def break_off(talk: Talk) -> None:
    """Half an answer, then a proper end of the body."""
    await talk.begin()
    await talk.say('{"name": "A')


async def reset(talk: Talk) -> None:
    """Half an answer, then the connection breaks."""
    await talk.begin()
    await talk.say('{"name": "A')
    talk.exchange.cut()


def truncate(share: float = 0.5) -> Act:
    """That much of a good answer, called whole."""

    async def act(talk: Talk) -> None:
        whole = json.dumps(example(talk.dialect.schema(talk.question), "seed"))
        await saying(whole[: int(len(whole) * share)])(talk)

    return act


async def dies(talk: Talk) -> None:
    await talk.begin()
    await talk.say('{"name": "A')
    dying = asyncio.ensure_future(talk.dialect.die())  # not here: it ends this very handler, too
    _dying.add(dying)
    dying.add_done_callback(_dying.discard)
    await asyncio.sleep(FOR_EVER)


_PLAIN: dict[str, Act] = {
    act.__name__: act
    for act in (
        right,
        hang,
        hang_after_headers,
        hang_midway,
        empties,
        blanks,
        flood,
        endless_line,
        break_off,
        reset,
        dies,
    )
}


def named(text: str) -> Act:
    """The act that a command line means: `hang`, `drip:5`, `status:503:server busy`, `error_midway:out of memory`."""
    name, _, rest = text.partition(":")
    match name:
        case "status":
            code, _, message = rest.partition(":")
            return status(int(code), message or "out of order")
        case "drip":
            return drip(float(rest or 5))
        case "dawdle":
            return dawdle(float(rest or 5))
        case "truncate":
            return truncate(float(rest or 0.5))
        case "error_midway":
            return error_midway(rest or "an error was encountered while running the model")
        case "saying":
            return saying(rest)
    return _PLAIN[name]
