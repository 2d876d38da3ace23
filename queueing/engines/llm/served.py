"""A language model behind HTTP: what every protocol shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import Any, ClassVar

import httpx

from queueing.engines.base import Generation, JSONSchema, LanguageOptions, Prompt
from queueing.engines.llm import answers, faults, transport
from queueing.exceptions import Permanent, Transient

CONTROL_SECONDS = 10.0  # for questions a server answers at once: which models, what is loaded


@dataclass(frozen=True, slots=True)
class Piece:
    """What one line of a streamed answer brought."""

    text: str = ""
    finish: str | None = None  # "stop", "length", … on the line that ends the answer
    prompt_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    prompt_tokens: int
    output_tokens: int


class ServedModel(ABC):
    """The call from prompt to valid answer; a protocol says how to ask and how to read a line."""

    name: ClassVar[str]
    simulated: ClassVar[bool] = False

    def __init__(self, url: str, model: str, *, slots: int, context_tokens: int, key: str = "") -> None:
        self.url = url.rstrip("/")
        self.model = model
        self.slots = slots
        self.context_tokens = context_tokens  # of each slot: prompt and answer together
        self._key = key

    @property
    def server(self) -> str:
        return self.url

    def needs(self) -> int | None:
        return None

    def token_bytes(self) -> int:
        return 0

    def generate(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions, *, stop: Event) -> Generation:
        began = monotonic()
        try:
            value, replies = transport.run(
                self._generate(prompt, schema, options), seconds=options.deadline_seconds, stop=stop
            )
        except TimeoutError:
            late = f"{self.model} gave no whole answer within {options.deadline_seconds:g} s."
            raise Transient(late, code="too_slow") from None
        return Generation(
            value=value,
            model=self.model,
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            output_tokens=sum(reply.output_tokens for reply in replies),
            seconds=monotonic() - began,
            asks=len(replies),
        )

    async def _generate(
        self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions
    ) -> tuple[dict[str, Any], list[Reply]]:
        replies: list[Reply] = []
        asked = prompt
        with transport.naming_faults(self.url):
            async with transport.client(self.url, self._key) as http:
                while True:
                    await self._must_fit(http, asked, options)
                    replies.append(await self._ask(http, asked, schema, options))
                    try:
                        return answers.check(replies[-1].text, schema), replies
                    except answers.InvalidAnswerError as fault:
                        if len(replies) == 2:
                            raise Transient(f"The answer was invalid twice: {fault}", code="invalid_answer") from fault
                        asked = answers.correction(prompt, fault)

    async def _must_fit(self, http: httpx.AsyncClient, prompt: Prompt, options: LanguageOptions) -> None:
        """A server that cuts the prompt to fit says nothing: refuse first what might not fit."""
        room = self.context_tokens - options.max_tokens
        tokens = answers.most_tokens(prompt)
        if tokens > room:
            counted = await self._count(http, prompt)
            tokens = tokens if counted is None else counted + answers.TEMPLATE_TOKENS
        if tokens > room:
            raise Permanent(
                f"A prompt of up to {tokens} tokens and an answer of {options.max_tokens} exceed the "
                f"{self.context_tokens} tokens of {self.model}'s context.",
                code="too_long_for_model",
            )

    async def _ask(
        self, http: httpx.AsyncClient, prompt: Prompt, schema: JSONSchema, options: LanguageOptions
    ) -> Reply:
        path, question = self._question(prompt, schema, options)
        answer = answers.GrowingAnswer(options)
        finish, prompt_tokens, output_tokens = "", 0, 0
        async with http.stream("POST", path, json=question) as response:
            if response.status_code != 200:
                raise faults.refusal(response.status_code, await transport.body(response), missing=self._missing())
            async for line in transport.lines(response):
                if piece := self._read(line):
                    answer.add(piece.text)
                    finish = piece.finish or finish
                    prompt_tokens = piece.prompt_tokens or prompt_tokens
                    output_tokens = piece.output_tokens or output_tokens
        if not finish:
            raise faults.unavailable(f"The language model server at {self.url} ended its stream in mid-answer.")
        if finish == "length":
            cut = f"{self.model}'s answer was cut at {output_tokens or options.max_tokens} tokens."
            raise Transient(cut, code="answer_cut")
        return Reply(answer.text, prompt_tokens, output_tokens)

    def _call(
        self, method: str, path: str, question: dict[str, Any] | None = None, *, seconds: float = CONTROL_SECONDS
    ) -> dict[str, Any]:
        """Ask the server about itself, or to do something; the JSON object that it answers."""
        status, text = self._reply(method, path, question, seconds=seconds)
        if status != 200:
            raise faults.refusal(status, text, missing=self._missing())
        return transport.json_object(text)

    def _reply(
        self, method: str, path: str, question: dict[str, Any] | None = None, *, seconds: float = CONTROL_SECONDS
    ) -> tuple[int, str]:
        try:
            return transport.run(self._exchange(method, path, question), seconds=seconds)
        except TimeoutError:
            # Late here is the server's fault, not a task's.
            raise faults.unavailable(f"The language model server at {self.url} is silent for {seconds:g} s.") from None

    async def _exchange(self, method: str, path: str, question: dict[str, Any] | None) -> tuple[int, str]:
        with transport.naming_faults(self.url):
            async with (
                transport.client(self.url, self._key) as http,
                http.stream(method, path, json=question) as response,
            ):
                return response.status_code, await transport.body(response)

    def _messages(self, prompt: Prompt) -> list[dict[str, str]]:
        system = [{"role": "system", "content": prompt.system}] if prompt.system else []
        return [*system, {"role": "user", "content": prompt.user}]

    async def _count(self, http: httpx.AsyncClient, prompt: Prompt) -> int | None:
        """The prompt's tokens, counted by the server's tokenizer; None when it offers none."""
        return None

    @abstractmethod
    def _question(self, prompt: Prompt, schema: JSONSchema, options: LanguageOptions) -> tuple[str, dict[str, Any]]:
        """Path and JSON body of the request for a streamed answer."""

    @abstractmethod
    def _read(self, line: bytes) -> Piece | None:
        """One line of the stream; None when it says nothing. Raises the error that the line reports."""

    @abstractmethod
    def _missing(self) -> str:
        """How to get the model, for a person."""
