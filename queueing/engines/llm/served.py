"""A language model behind HTTP: what every protocol shares."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, ClassVar, TypeVar

import httpx

from queueing.engines import booleans
from queueing.engines.base import Generation, JSONSchema, LanguageOptions, Prompt, WrittenText
from queueing.engines.booleans import Token
from queueing.engines.llm import answers, faults, transport
from queueing.engines.llm.answers import CutPromptError, UnusableAnswerError
from queueing.engines.llm.canary import Canary
from queueing.engines.llm.pace import AnswerPace
from queueing.engines.llm.request import ModelRequest, Question, Reply
from queueing.exceptions import Permanent, Transient

T = TypeVar("T")
Body = dict[str, Any] | None  # of a request, as JSON


@dataclass(frozen=True, slots=True)
class Piece:
    """What one line of a streamed answer brought."""

    text: str = ""
    thought: str = ""  # of a model that thinks before it answers: no part of the answer, but a sign of progress
    finish: str | None = None  # "stop", "length", … on the line that ends the answer
    prompt_tokens: int = 0
    output_tokens: int = 0
    model: str = ""  # as the server names it
    tokens: tuple[Token, ...] = ()

    def then(self, piece: Piece) -> Piece:
        """Both pieces' facts about the answer's end."""
        return Piece(
            finish=piece.finish or self.finish,
            prompt_tokens=piece.prompt_tokens or self.prompt_tokens,
            output_tokens=piece.output_tokens or self.output_tokens,
            model=piece.model or self.model,
        )


class _ProbabilitiesRefusedError(Exception):
    """The server takes no request for the probabilities of tokens."""


def _ignore(_piece: str) -> None:
    """Ignore the pieces."""


class ServedModel(ABC):
    """The call from prompt to valid answer; a protocol defines how to encode a request and how to read a line."""

    name: ClassVar[str]
    simulated: ClassVar[bool] = False
    control_seconds = 5.0  # for queries that a server answers at once: which models, what is loaded
    ping_path: ClassVar[str]  # that costs a server nothing to answer

    def __init__(
        self, url: str, model: str, *, slots: int, context_tokens: int, key: str = "", cuts_prompts: bool = True
    ) -> None:
        self.url = url.rstrip("/")
        self.model = model
        self.slots = slots
        self.context_tokens = context_tokens  # of each slot: prompt and answer together
        self._key = key
        self._cuts_prompts = cuts_prompts  # it may drop what doesn't fit without an error
        self._digest = ""  # of the model's file, where the server tells it
        self._version = ""  # of the server, where it tells that
        self.silence = ""

    @property
    def server(self) -> str:
        return self.url

    def ping(self) -> None:
        transport.run(self._exchange("GET", self.ping_path))

    def needs(self) -> int | None:
        return None

    def token_bytes(self) -> int:
        return 0

    def generate(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions, *, stop: Event) -> Generation:
        began = monotonic()
        question = Question(prompt, schema, options, Canary(prompt) if self._cuts_prompts else None)
        value, replies = self._run(lambda http: self._generate(http, question), options, stop)
        last = replies[-1]
        return Generation(
            value=value,
            model=last.model or self.model,
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            output_tokens=sum(reply.output_tokens for reply in replies),
            seconds=monotonic() - began,
            asks=len(replies),
            finish=last.finish,
            text=last.text,
            digest=self._digest,
            engine_version=self._version,
            seed=options.seed,
            temperature=options.temperature,
            probabilities=booleans.probabilities(last.text, last.tokens, part=answers.json_part(last.text)),
        )

    def write(
        self, prompt: Prompt, options: LanguageOptions, *, on_text: Callable[[str], None], stop: Event
    ) -> WrittenText:
        began = monotonic()
        reply = self._run(lambda http: self._write(http, ModelRequest(prompt, options), on_text), options, stop)
        return WrittenText(
            reply.text,
            reply.model or self.model,
            reply.finish,
            reply.prompt_tokens,
            reply.output_tokens,
            monotonic() - began,
        )

    def _run(
        self, work: Callable[[httpx.AsyncClient], Coroutine[Any, Any, T]], options: LanguageOptions, stop: Event
    ) -> T:
        async def connected() -> T:
            with transport.naming_faults(self.url):
                async with transport.client(self.url, self._key) as http:
                    await self._make_ready()
                    return await work(http)

        try:
            return transport.run(connected(), seconds=options.deadline_seconds, stop=stop)
        except TimeoutError:
            late = f"{self.model} gave no whole answer within {options.deadline_seconds:g} s."
            raise Transient(late, code="too_slow") from None

    async def _generate(self, http: httpx.AsyncClient, question: Question) -> tuple[dict[str, Any], list[Reply]]:
        await self._must_fit(http, question.request())
        first = await self._answer(http, question.request())
        try:
            return question.value(first), [first]
        except UnusableAnswerError as fault:
            again = question.again(fault, first, context_tokens=self.context_tokens)
            if again is None:
                raise self._unusable(fault, question.request(), asks=1) from fault
        second = await self._answer(http, again.request())
        try:
            return again.value(second), [first, second]
        except UnusableAnswerError as fault:
            raise self._unusable(fault, again.request(), asks=2) from fault

    async def _write(self, http: httpx.AsyncClient, request: ModelRequest, on_text: Callable[[str], None]) -> Reply:
        await self._must_fit(http, request)
        reply = await self._answer(http, request, on_text)
        try:
            request.must_be_seen_whole(reply)
        except UnusableAnswerError as fault:
            raise self._unusable(fault, request, asks=1) from fault
        return reply

    async def _must_fit(self, http: httpx.AsyncClient, request: ModelRequest) -> None:
        """Refuse what can't fit, by the server's own tokenizer where it has one to ask.

        Without one, what may fit is sent: how many tokens a text has differs by model and script, a bound that holds
        for all of them is up to five times too high, and a server that has no room says so or is found out by the
        canary.
        """
        room = self.context_tokens - request.options.max_tokens
        if answers.most_tokens(request.prompt) <= room:
            return
        counted = await self._count(http, request.prompt)
        tokens = answers.fewest_tokens(request.prompt) if counted is None else counted + answers.TEMPLATE_TOKENS
        if tokens > room:
            raise self._too_long(request, tokens)

    def _too_long(self, request: ModelRequest, tokens: int) -> Permanent:
        return Permanent(
            f"A prompt of {tokens} tokens or more and an answer of {request.options.max_tokens} exceed the "
            f"{self.context_tokens} tokens of {self.model}'s context.",
            code="too_long_for_model",
        )

    def _unusable(self, fault: UnusableAnswerError, request: ModelRequest, *, asks: int) -> Permanent | Transient:
        """A prompt that was cut is cut again, if it may have been too long; any other fault may not come back."""
        room = self.context_tokens - request.options.max_tokens
        if isinstance(fault, CutPromptError) and answers.most_tokens(request.prompt) > room:
            return self._too_long(request, answers.fewest_tokens(request.prompt))
        again = "The second answer, too, can't be used" if asks == 2 else "The answer can't be used"
        return Transient(f"{again}: {fault}.", code=fault.code)

    async def _answer(
        self, http: httpx.AsyncClient, request: ModelRequest, on_text: Callable[[str], None] = _ignore
    ) -> Reply:
        try:
            return await self._streamed(http, request, on_text)
        except _ProbabilitiesRefusedError:
            return await self._streamed(http, request.without_probabilities(), on_text)

    async def _streamed(self, http: httpx.AsyncClient, request: ModelRequest, on_text: Callable[[str], None]) -> Reply:
        path, body = self._encode(request)
        answer = answers.GrowingAnswer(request.options)
        last = Piece()
        thinks = False
        tokens: list[Token] = []
        async with AnswerPace(request.options).kept() as pace, http.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                text = await transport.body(response)
                if request.wants_probabilities and faults.is_about_probabilities(response.status_code, text):
                    raise _ProbabilitiesRefusedError
                raise faults.refusal(response.status_code, text, missing=self._missing())
            async for line in transport.lines(response):
                if piece := self._read(line):
                    pace.came(piece.text or piece.thought)
                    thinks = thinks or bool(piece.thought)
                    answer.add(piece.text)
                    tokens += piece.tokens
                    last = last.then(piece)
                    if piece.text:
                        on_text(piece.text)
        if not last.finish:
            raise faults.unavailable(f"The language model server at {self.url} ended its stream in mid-answer.")
        if answers.is_only_thought(answer.text) or (thinks and not answer.text.strip()):
            raise faults.only_thought(self.model, last.finish)
        return Reply(answer.text, last.finish, last.prompt_tokens, last.output_tokens, last.model, tuple(tokens))

    async def _make_ready(self) -> None:  # noqa: B027 - most servers are ready, or report that they aren't
        """What must hold before a request is sent."""

    def _call(self, method: str, path: str, body: Body = None, *, seconds: float | None = None) -> dict[str, Any]:
        """`_query`, from a thread that has no event loop."""
        self._must_not_be_silent()
        return transport.run(self._query(method, path, body, seconds=seconds))

    def _must_not_be_silent(self) -> None:
        """Before whatever a worker's loop waits for: one that hangs would hold it up with each query."""
        if self.silence:
            raise faults.unavailable(self.silence)

    async def _query(
        self, method: str, path: str, body: Body = None, *, seconds: float | None = None
    ) -> dict[str, Any]:
        """Query the server about itself, or to do something; the JSON object that it answers."""
        status, text = await self._exchange(method, path, body, seconds=seconds)
        if status != 200:
            raise faults.refusal(status, text, missing=self._missing())
        return transport.json_object(text)

    async def _exchange(
        self, method: str, path: str, body: Body = None, *, seconds: float | None = None
    ) -> tuple[int, str]:
        seconds = seconds or self.control_seconds
        try:
            with transport.naming_faults(self.url):
                async with (
                    asyncio.timeout(seconds),
                    transport.client(self.url, self._key) as http,
                    http.stream(method, path, json=body) as response,
                ):
                    return response.status_code, await transport.body(response)
        except TimeoutError:
            # Late with what it should answer at once: the server's fault, not a task's.
            raise faults.unavailable(f"The language model server at {self.url} is silent for {seconds:g} s.") from None

    def _messages(self, prompt: Prompt) -> list[dict[str, str]]:
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        return [*system, {"role": "user", "content": prompt.user}]

    async def _count(self, http: httpx.AsyncClient, prompt: Prompt) -> int | None:
        """The prompt's tokens, counted by the server's tokenizer; None when it offers none."""
        return None

    @abstractmethod
    def _encode(self, request: ModelRequest) -> tuple[str, dict[str, Any]]:
        """Path and JSON body of the request for a streamed answer."""

    @abstractmethod
    def _read(self, line: bytes) -> Piece | None:
        """One line of the stream; None when it holds nothing of the answer. Raises the error that the line reports."""

    @abstractmethod
    def _missing(self) -> str:
        """How to get the model, for a person."""
