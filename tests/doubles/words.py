"""What fake models read and write: tokens by a simple rule, a prompt cut as Ollama cuts it, an answer."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from queueing.engines.llm.simulated import example

P_TRUE = {"true": 0.9, "false": 0.2}  # how sure it is of what it says
KEPT = 4  # Ollama's num_keep: so many first tokens stay when a prompt is cut
_TOKEN = re.compile(r"\w+|[^\w\s]")  # a token is a word or a sign
_PIECE = re.compile(r"\s*(?:\w+|[^\w\s])|\s+$")
MARK = re.compile(r"\bmark\d\w*")
_CODE = re.compile(r'The field "(\w+)" of your answer is "(\w+)"')

Message = dict[str, Any]


def count(text: str) -> int:
    return len(_TOKEN.findall(text))


def render(messages: list[Message]) -> str:
    """The chat template."""
    return "".join(f"<{one.get('role')}> {one.get('content', '')}\n" for one in messages) + "<assistant>"


def shortened(messages: list[Message], room: int) -> list[Message]:
    """Without the oldest messages, until it fits; system messages and the last one always stay."""
    for start in range(len(messages)):
        system = [one for one in messages[:start] if one.get("role") == "system"]
        left = system + messages[start:]
        if count(render(left)) <= room:
            return left
    return left


def cut(prompt: str, room: int) -> str:
    """What the runner makes of a prompt that is still too long: a gap after the first few tokens."""
    tokens = list(_TOKEN.finditer(prompt))
    if len(tokens) <= room:
        return prompt
    return f"{prompt[: tokens[KEPT - 1].end()]} {prompt[tokens[KEPT - room].start() :]}"


def answer(prompt: str, form: Any, seed: object) -> str:
    """The same for the same prompt. It does what it is told in one respect: it copies a code that it can see.

    In its own words it repeats the marks of the prompt, so that it can be told whose answer it is.
    """
    if not form:
        read = f"I have read {count(prompt)} tokens, and this is a simulated answer to them."
        return " ".join([read, *marked(MARK.findall(prompt))])
    schema = form if isinstance(form, dict) else {"type": "object", "properties": {"answer": {"type": "string"}}}
    value = example(schema, f"{prompt}\n{seed}")
    if (order := _CODE.search(prompt)) and order[1] in value:
        value[order[1]] = order[2]
    return json.dumps(value, ensure_ascii=False)


def marked(marks: Iterable[str]) -> list[str]:
    """What it says of the marks that it has read."""
    return [f"It is about {mark}, and again about {mark}, and to its end about {mark}." for mark in marks]


def code_in(prompt: str) -> str:
    """The code that it is told to copy; empty when there is none to be seen."""
    order = _CODE.search(prompt)
    return order[2] if order else ""


def logprobs(text: str) -> list[dict[str, Any]]:
    """The tokens of a piece of an answer with their probabilities, as every protocol reports them; see P_TRUE."""
    reported = []
    for piece in pieces(text):
        top = _top(piece)
        reported.append({**top[0], "top_logprobs": top})
    return reported


def _top(piece: str) -> list[dict[str, Any]]:
    word = piece.strip()
    if word not in P_TRUE:
        return [_entry(piece, 1.0)]
    true = P_TRUE[word]
    found = {"true": true, "false": 1 - true}
    return [_entry(piece.replace(word, each), found[each]) for each in sorted(found, key=lambda each: each != word)]


def _entry(token: str, probability: float) -> dict[str, Any]:
    return {"token": token, "logprob": math.log(probability), "bytes": list(token.encode())}


def pieces(text: str) -> Iterator[str]:
    return (found[0] for found in _PIECE.finditer(text))
