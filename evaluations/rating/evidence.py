"""Evidence that can't be invented: a model picks numbered sentences; its claims are checked against the transcript."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import snowballstemmer

from evaluations.rating.speech import Spoken

SENTENCE_END = (".", "!", "?", "…")
MAX_WORDS = 40  # a transcript without punctuation is cut here, so that a quote stays a quote
SUPPORT_SHARE = 0.6  # of a claim's content words that must have been said: two of three, but not one of two

_NUMBERS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
# The longest match of whole words: `twenty one` is 21, and neither 20 nor 1.
_NUMBER = re.compile(
    rf"(?<!\S)(?:(?P<digits>\d{{1,9}})|(?P<tens>{'|'.join(_TENS)})(?: (?P<ones>{'|'.join(_NUMBERS[1:10])}))?"
    rf"|(?P<small>{'|'.join(_NUMBERS)}))(?!\S)"
)
_EMPTY_WORDS = frozenset(
    {
        "a",
        "about",
        "am",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "become",
        "been",
        "but",
        "by",
        "can",
        "for",
        "from",
        "had",
        "has",
        "have",
        "he",
        "her",
        "his",
        "i",
        "in",
        "into",
        "is",
        "it",
        "its",
        "like",
        "me",
        "my",
        "of",
        "on",
        "or",
        "our",
        "she",
        "so",
        "that",
        "the",
        "their",
        "them",
        "they",
        "this",
        "to",
        "want",
        "was",
        "we",
        "were",
        "will",
        "with",
        "would",
        "you",
        "your",
    }
)


@dataclass(frozen=True, slots=True)
class Sentence:
    number: int  # from 1, as the model sees it
    text: str
    start: float  # seconds
    end: float  # seconds

    def as_quote(self) -> dict[str, object]:
        return {"sentence": self.number, "quote": self.text, "start": self.start, "end": self.end}


def sentences(words: Sequence[Spoken]) -> list[Sentence]:
    """Cut the words of a transcript into numbered sentences, each with its times."""
    return [
        Sentence(number, " ".join(word.text for word in group), group[0].start, group[-1].end)
        for number, group in enumerate(_groups(words), start=1)
    ]


def _groups(words: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    group: list[Spoken] = []
    for word in words:
        group.append(word)
        if word.text.endswith(SENTENCE_END) or len(group) >= MAX_WORDS:
            yield group
            group = []
    if group:
        yield group


def numbered(found: Sequence[Sentence]) -> str:
    """The transcript as the model reads it: `[1] Hello, I am Ada.`"""
    return "\n".join(f"[{sentence.number}] {sentence.text}" for sentence in found)


def says(text: str, claim: str) -> bool:
    """Whether at least SUPPORT_SHARE of the content words of `claim` are in `text`, compared by their stems."""
    stemmer = snowballstemmer.stemmer("english")  # a new one: it writes into itself, and a worker has many threads
    said = set(stemmer.stemWords(_words(text)))
    content = stemmer.stemWords([word for word in _words(claim) if word not in _EMPTY_WORDS])
    return bool(content) and sum(word in said for word in content) / len(content) >= SUPPORT_SHARE


def says_name(text: str, name: str) -> bool:
    """Whether every part of a name is in `text`."""
    said = set(_words(text))
    parts = _words(name)
    return bool(parts) and all(part in said for part in parts)


def says_number(text: str, number: int) -> bool:
    """Whether a number is in `text`, in digits or in words."""
    return any(_value(said) == number for said in _NUMBER.finditer(" ".join(_words(text))))


def _value(said: re.Match[str]) -> int:
    if digits := said["digits"]:
        return int(digits)
    if tens := said["tens"]:
        return _TENS[tens] + _NUMBERS.index(said["ones"] or "zero")
    return _NUMBERS.index(said["small"])


def _words(text: str) -> list[str]:
    """The words of any script, normalised: `Zoë` has one spelling, composed or not."""
    return re.findall(r"[^\W_](?:[^\W_]|')*", unicodedata.normalize("NFKC", text).casefold())
