"""Spoken instructions: sentences that talk to whoever rates, found by their words, without a model.

What is said is never an instruction. A sentence that addresses the rater is masked where a model reads the transcript;
it keeps its number, so no other sentence moves. A false alarm costs a student a sentence of their own, so no single
word is enough, such as "score" or "ignore": it takes an order, a second person, or a form that only programs have.

Words are a sieve, not a wall: of attacks worded in ways that nobody had thought of, it found a third at first sight,
the last time 17 of 40 (tests/evaluations/rating/test_instructions.py). What it misses is still data between the marks
of `fence`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Final

from evaluations.rating.evidence import Sentence
from evaluations.rating.instructions.forms import (
    COMMON_WORDS,
    DATA_LABEL,
    FOREIGN_TO_FEEDBACK,
    IMPERATIVE,
    JUDGING,
    RESULT,
    TURNING,
    forms,
)

MASK: Final = "[masked: addressed to the rater]"
MARKER_DIGITS: Final = 8  # hexadecimal, of the text's SHA-256
INNOCENT_IN_A_QUESTION: Final = frozenset(
    {"what is wanted, listed", "a plea"}
)  # kinds: one who asks of a talk names both
CLOSE: Final = 11  # words, within which judging, a result and somebody addressed are one request


def kinds(text: str) -> list[str]:
    """In what ways a sentence addresses the rater; empty for one that does not."""
    heard = _heard(text)
    found = [kind for kind, pattern in forms().items() if pattern.search(heard)]
    return [*found, *(["a result asked for"] if _asks_for_a_result(heard.split()) else [])]


def addressed(sentences: Iterable[Sentence]) -> frozenset[int]:
    """The numbers of the sentences that address the rater."""
    return frozenset(sentence.number for sentence in sentences if kinds(sentence.text))


def masked(sentences: Sequence[Sentence]) -> list[Sentence]:
    """The sentences as a model may see them: MASK in place of those that address the rater, all else unchanged."""
    hidden = addressed(sentences)
    return [replace(one, text=MASK) if one.number in hidden else one for one in sentences]


def echoes(text: str, sentences: Sequence[Sentence]) -> bool:
    """Whether a text for a student repeats what was said to the rater, or has a promise, an order or an address in it.

    Repeated are two words, or the only one, that a masked sentence has and no other sentence: words of feedback in
    general, such as "clear", don't count.
    """
    if FOREIGN_TO_FEEDBACK.search(_words_and_signs(text)):
        return True
    written = _content(text)
    hidden = addressed(sentences)
    free = set().union(*(_content(one.text) for one in sentences if one.number not in hidden))
    return any(
        own and len(own & written) >= min(2, len(own))
        for own in (_content(one.text) - free for one in sentences if one.number in hidden)
    )


def fence(text: str) -> tuple[str, str]:
    """A marker, and the text between two lines of it: data whose end nobody can speak.

    The marker is of the text's own hash: the same text gets the same one, and a text that foretold it would have
    another. Should it be in the text all the same, the next hash is taken.
    """
    marker = _marker(text)
    while marker in text:
        marker = _marker(text + marker)
    return marker, f"{marker}\n{text}\n{marker}"


def _asks_for_a_result(words: Sequence[str]) -> bool:
    parts = (" ".join(words[at : at + CLOSE]) for at in range(max(1, len(words) - CLOSE + 1)))
    return any(
        JUDGING.search(part) and RESULT.search(part) and (TURNING.search(part) or IMPERATIVE.search(part))
        for part in parts
    )


def _content(text: str) -> set[str]:
    return {word for word in re.findall(r"\w{4,}", _plain(text)) if word not in COMMON_WORDS}


def _words_and_signs(text: str) -> str:
    return " ".join(_plain(text).split())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().replace("\u2019", "'")


def _marker(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:MARKER_DIGITS]


def _heard(text: str) -> str:
    """A sentence as the forms read it: small letters, one blank between words, no signs but those of data."""
    plain = re.sub(rf"^\s*({DATA_LABEL})\s*[:,.](?=.*\w)", r"\1 colon ", _plain(text))
    plain = re.sub(r"(?<=\w)\s*:(?=\s|$)|\bdoppelpunkt\b", " colon ", plain)
    plain = re.sub(r"\b(?:\w ){3,}\w\b", lambda spelt: spelt[0].replace(" ", ""), plain)
    return " ".join(re.sub(r"[^\w\s'\"{}\[\]:]", " ", plain).split())
