"""One question to a model, what its answer must be, and the second request when it is unusable."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from queueing.engines.base import JSONSchema, LanguageOptions, Prompt
from queueing.engines.booleans import Token
from queueing.engines.llm import answers
from queueing.engines.llm.answers import CutAnswerError, CutPromptError, InvalidAnswerError, UnusableAnswerError
from queueing.engines.llm.canary import FIELD, TOKENS, Canary

SEEN_SHARE = 0.9  # of the fewest tokens that the prompt can have


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    text: str
    finish: str
    prompt_tokens: int  # 0 where the server doesn't report it
    output_tokens: int
    model: str = ""  # as the server names it; empty where it doesn't
    tokens: tuple[Token, ...] = ()  # with their probabilities, where they were asked for and are reported


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What is sent to the server: `prompt`, `options`, and the schema unless free text will do."""

    prompt: Prompt
    options: LanguageOptions
    schema: JSONSchema | None = None

    @property
    def wants_probabilities(self) -> bool:
        return self.options.probabilities and self.schema is not None

    def without_probabilities(self) -> ModelRequest:
        return replace(self, options=replace(self.options, probabilities=False))

    def must_be_seen_whole(self, reply: Reply) -> None:
        """Where the server counts its prompt's tokens, there must be as many as there are at the very least.

        Raises:
            CutPromptError: there are not.
        """
        fewest = answers.fewest_tokens(self.prompt)
        if reply.prompt_tokens and reply.prompt_tokens < SEEN_SHARE * fewest:
            raise CutPromptError(f"the server read {reply.prompt_tokens} tokens of a prompt of at least {fewest}")


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt and the schema of its answer, as the caller gave them.

    `canary`: the server may cut a prompt without an error, so the answer must show that the model saw its beginning.
    """

    prompt: Prompt
    schema: JSONSchema
    options: LanguageOptions
    canary: Canary | None

    def request(self) -> ModelRequest:
        if self.canary is None:
            return ModelRequest(self.prompt, self.options, self.schema)
        return ModelRequest(
            self.canary.ahead_of(self.prompt),
            replace(self.options, max_tokens=self.options.max_tokens + TOKENS),
            self.canary.asked_for_in(self.schema),
        )

    def value(self, reply: Reply) -> dict[str, Any]:
        """The answer in the reply.

        Raises:
            UnusableAnswerError: there is none.
        """
        if reply.finish == "length":
            raise CutAnswerError(f"it was cut at {reply.output_tokens or self.options.max_tokens} tokens")
        if self.canary:
            self.request().must_be_seen_whole(reply)
        value = answers.parse(reply.text)
        if self.canary and not self.canary.echoed_by(value.pop(FIELD, None)):
            raise CutPromptError("it does not repeat the code at the prompt's head")
        return answers.validated(value, self.schema)

    def again(self, fault: UnusableAnswerError, reply: Reply, *, context_tokens: int) -> Question | None:
        """The question once more, so that this fault may not come back; None when the context has no room for it."""
        sent = self.request()
        used = (reply.prompt_tokens or answers.most_tokens(sent.prompt)) + sent.options.max_tokens
        spare = context_tokens - used
        fresh = replace(self, canary=self.canary and self.canary.next())
        match fault:
            case CutAnswerError():
                more = min(spare, self.options.max_tokens)
                longer = replace(self.options, max_tokens=self.options.max_tokens + more)
                return replace(fresh, options=longer) if more > 0 else None
            case InvalidAnswerError():
                correction = answers.correction(fault)
                fits = answers.most_tokens(Prompt("", correction)) <= spare
                corrected = replace(self.prompt, user=self.prompt.user + correction)
                return replace(fresh, prompt=corrected) if fits else None
        return fresh
