"""Did the model see the beginning of its prompt?

A server whose context is smaller than configured drops a prompt's beginning, the instructions and the rubric, and
answers well-formed nonsense without an error. So the prompt begins with a code that the answer must repeat. The field
for it is free text: from an enum or a pattern the grammar would spell out the code whether it was seen or not.

The code is computed from the prompt, so that the same question is the same request byte for byte and gets the same
answer. It needs no secret: it is there to be found missing, and another prompt, or another try, has another one.

It costs some 30 tokens of prompt, 15 of answer, and the server's cache of an earlier prompt with the same beginning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from queueing.engines.base import JSONSchema, Prompt

FIELD = "prompt_code"
TOKENS = 24  # of an answer, at most, for the field
_ALPHABET = "ACDEFHJKLMNPRTUVWXY34679"  # none that reads like another
_LENGTH = 6


@dataclass(frozen=True, slots=True)
class Canary:
    """The code of one try at a question."""

    prompt: Prompt  # of the first try
    attempt: int = 1

    @property
    def code(self) -> str:
        """Another one for each try: what a server caches of the last one can't answer this one."""
        content = json.dumps([self.prompt.system, self.prompt.user, self.attempt])
        digest = hashlib.sha256(content.encode()).digest()
        return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in digest[:_LENGTH])

    def next(self) -> Canary:
        return replace(self, attempt=self.attempt + 1)

    def ahead_of(self, prompt: Prompt) -> Prompt:
        """The prompt with the code at its head, whichever message that is."""
        # The code is not the first word: servers that cut keep a handful of tokens (Ollama 4) before the gap.
        # Worded so, even a model of 135 million parameters copies it; asked to copy a code "into the field", it fails.
        order = f'The field "{FIELD}" of your answer is "{self.code}".\n\n'
        if prompt.system:
            return Prompt(order + prompt.system, prompt.user)
        return Prompt("", order + prompt.user)

    def asked_for_in(self, schema: JSONSchema) -> JSONSchema:
        """The schema with the field for the code, first of all."""
        echo: Mapping[str, Any] = {"type": "string", "maxLength": 24}
        return {
            **schema,
            "properties": {FIELD: echo, **schema.get("properties", {})},
            "required": [FIELD, *schema.get("required", ())],
        }

    def echoed_by(self, echo: object) -> bool:
        return isinstance(echo, str) and self.code in echo.upper()
