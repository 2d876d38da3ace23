"""How sure a model was of each true or false that it wrote, from the probabilities of its tokens.

The servers report them alike: for each token its text, its log probability and the likeliest tokens in its place. A
boolean is decided by the token that its first letter is in; what other tokens would have said there, true or false, is
weighed against each other. What the grammar of the answer forbids has no say: `P = p(true) / (p(true) + p(false))`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

LEAST = 1e-6  # P(true) is between this and 1 - LEAST: a list of the likeliest tokens can't tell 0 from very little
TOP = 10  # alternatives to ask for; blanks, quotes and the like take some of the places
MOST_LOST = 32  # signs of an answer that a server may leave out, or add, in one place
ALIKE = 8  # so many signs must agree after that

_SIGNS = range(ord("!"), ord("~") + 1)
_WORDS: Final[Mapping[bool, bytes]] = {True: b"true", False: b"false"}
_LEXEME = re.compile(r'(?P<key>"(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|true|false|[{}\[\],]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer. Bytes, because a character may be split between tokens."""

    text: bytes
    logprob: float
    alternatives: Mapping[bytes, float]  # the likeliest tokens in its place, by log probability


@dataclass(frozen=True, slots=True)
class Place:
    """A boolean of an answer."""

    path: str  # keys and indexes from the root, with dots between them
    start: int  # in the text, in characters
    value: bool


def places(text: str) -> Iterator[Place]:
    """The booleans of a text that is valid JSON, in its order."""
    path: list[str | int] = []
    for found in _LEXEME.finditer(text):
        lexeme = found[0]
        if lexeme == "{":
            path.append("")
        elif lexeme == "[":
            path.append(0)
        elif lexeme in "}]":
            path.pop()
        elif lexeme == "," and isinstance(path[-1], int):
            path[-1] += 1
        elif key := found["key"]:
            path[-1] = json.loads(key)
        elif lexeme in ("true", "false"):
            yield Place(".".join(map(str, path)), found.start(), lexeme == "true")


def probabilities(text: str, tokens: Sequence[Token], *, part: str = "") -> dict[str, float]:
    """P(true) of each boolean of `text`, by its path; without those whose token the server did not report.

    `part`: of the text, the JSON, where there is something else around it.
    """
    written = _aligned(text, tokens)
    ahead = text.rindex(part) if part else 0
    found = {place.path: written.get(ahead + place.start) for place in places(part or text)}
    return {path: _true(*at) for path, at in found.items() if at}


def reported(listed: Any) -> tuple[Token, ...]:
    """The tokens of a server's list of `{token, logprob, bytes, top_logprobs}`; none where it is something else."""
    return tuple(
        Token(_text(one), one["logprob"], {_text(other): other["logprob"] for other in _entries(one["top_logprobs"])})
        for one in _entries(listed)
        if isinstance(one.get("top_logprobs"), list)
    )


def _entries(listed: Any) -> Iterator[dict[str, Any]]:
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and isinstance(one.get("token"), str):
            logprob = one.get("logprob")
            if isinstance(logprob, float | int) and math.isfinite(logprob):
                yield one


def _text(entry: Mapping[str, Any]) -> bytes:
    try:
        return bytes(entry["bytes"])
    except (KeyError, TypeError, ValueError):
        return str(entry["token"]).encode("utf-8", "surrogatepass")


def _aligned(text: str, tokens: Sequence[Token]) -> dict[int, tuple[Token, int]]:
    """For each ASCII sign of the text, by its position: its token, and its byte there.

    Servers drop blanks at the ends of an answer and tokens that are a part of a character only, and add tokens that end
    the answer and are no text. So blanks and all that isn't ASCII are skipped, and what then still differs is too, as
    long as both go on alike soon.
    """
    signs = [(token, at) for token in tokens for at, byte in enumerate(token.text) if byte in _SIGNS]
    said = "".join(chr(token.text[at]) for token, at in signs)
    positions = [at for at, character in enumerate(text) if ord(character) in _SIGNS]
    shown = "".join(text[at] for at in positions)
    found = {}
    i = j = 0
    while i < len(said) and j < len(shown):
        if said[i] == shown[j]:
            found[positions[j]] = signs[i]
            i, j = i + 1, j + 1
        elif gap := _gap(said[i : i + MOST_LOST + ALIKE], shown[j : j + MOST_LOST + ALIKE]):
            i, j = i + gap[0], j + gap[1]
        else:
            break
    return found


def _gap(said: str, shown: str) -> tuple[int, int] | None:
    """How many signs of each to skip, the fewest, so that both go on alike."""
    for lost in range(1, MOST_LOST + 1):
        for skipped in range(lost + 1):
            ahead = said[skipped:][:ALIKE]
            if ahead and shown[lost - skipped :].startswith(ahead):
                return skipped, lost - skipped
    return None


def _true(token: Token, before: int) -> float:
    """P(true) at a token whose boolean begins after `before` bytes of it."""
    prefix = token.text[:before]
    weights: dict[bool, list[float]] = {True: [], False: []}
    for text, logprob in {**token.alternatives, token.text: token.logprob}.items():
        meant = _meant(text, prefix)
        if meant is not None:
            weights[meant].append(logprob)
    most = max(weights[True] + weights[False])  # one at least: what was said
    true, false = (sum(math.exp(logprob - most) for logprob in weights[value]) for value in (True, False))
    return min(1 - LEAST, max(LEAST, true / (true + false)))


def _meant(text: bytes, prefix: bytes) -> bool | None:
    """Which boolean a token begins; None when it begins neither, or leaves it open. Blanks before it don't matter."""
    signs, text = prefix.strip(), text.strip()  # what stands before it, e.g. a colon
    rest = text.removeprefix(signs).strip()
    if not rest or not text.startswith(signs):
        return None
    for value, word in _WORDS.items():
        if word.startswith(rest) or (rest.startswith(word) and not rest[len(word) :][:1].isalnum()):
            return value
    return None
