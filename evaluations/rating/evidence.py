"""Evidence that can't be invented: a model picks numbered sentences, and quotes are cut from the transcript."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from evaluations.rating.claims import NAME, REMARK, Claim, Statement, clauses, languages
from evaluations.rating.claims.clauses import UNSPACED
from evaluations.rating.speech import Spoken

SENTENCE_END: Final = (".", "!", "?", "…", "。", "！", "？")
MAX_WORDS = 40  # a transcript without punctuation is cut here, so that a quote stays a quote
BEGINNING_WORDS = 4  # by which a sentence is quoted

_CLOSING: Final = "\"'”’»›)]」』"
_ABBREVIATIONS: Final = frozenset(
    {"mr.", "mrs.", "ms.", "dr.", "st.", "prof.", "z.b.", "bzw.", "nr.", "ca.", "sr.", "sra."}
)
_ORDINAL: Final = re.compile(r"\d{1,2}\.")  # "die 10. Klasse": German writes the full stop of an ordinal
_JOINED: Final = re.compile(rf"[{UNSPACED}\u3001-\u303f\uff01-\uff60]")  # and the punctuation of these scripts
_AFTER_END: Final = re.compile(r"(?<=[。！？])")


@dataclass(frozen=True, slots=True)
class Sentence:
    number: int  # from 1, as the model sees it
    text: str
    start: float  # seconds
    end: float  # seconds

    def as_quote(self) -> dict[str, object]:
        return {"sentence": self.number, "quote": self.text, "start": self.start, "end": self.end}


def sentences(words: Sequence[Spoken], language: str = "") -> list[Sentence]:
    """Cut the words of a transcript into numbered sentences, each with its times. `language`: its code, if known."""
    return [
        Sentence(number, _joined([word.text for word in group]), group[0].start, group[-1].end)
        for number, group in enumerate(_groups(words, language), start=1)
    ]


def sentences_of_text(text: str, language: str = "") -> list[Sentence]:
    """The sentences of a transcript without times: all of them are 0."""
    return sentences(
        [Spoken(piece, 0.0, 0.0, 1.0) for word in text.split() for piece in _AFTER_END.split(word) if piece], language
    )


def _groups(words: Sequence[Spoken], language: str) -> Iterator[list[Spoken]]:
    group: list[Spoken] = []
    for word in words:
        group.append(word)
        if _ends(word.text, language) or len(group) >= MAX_WORDS:
            yield group
            group = []
    if group:
        yield group


def _ends(word: str, language: str) -> bool:
    if word.casefold() in _ABBREVIATIONS or (language == "de" and _ORDINAL.fullmatch(word)):
        return False
    return word.rstrip(_CLOSING).endswith(SENTENCE_END)


def _joined(words: Sequence[str]) -> str:
    """The words with blanks between them, unless their script has none."""
    text = words[0] if words else ""
    for before, word in pairwise(words):
        joined = _JOINED.match(before[-1:]) and _JOINED.match(word[:1])
        text += word if joined else f" {word}"
    return text


def numbered(found: Sequence[Sentence]) -> str:
    """The transcript as the model reads it: `[1] Hello, I am Ada.`"""
    return "\n".join(f"[{sentence.number}] {sentence.text}" for sentence in found)


def beginnings(found: Sequence[Sentence]) -> dict[str, int]:
    """The first words of each sentence, as few as tell it from the others but not under four → its number.

    Of sentences that are the same throughout, the first one has them.
    """
    words = {sentence.number: sentence.text.split() for sentence in found}
    first: dict[str, int] = {}
    for number, own in words.items():
        others = [each for other, each in words.items() if other != number and each != own]
        first.setdefault(_beginning(own, others), number)
    return first


def _beginning(own: Sequence[str], others: Sequence[Sequence[str]]) -> str:
    length = BEGINNING_WORDS
    while length < len(own) and any(other[:length] == own[:length] for other in others):
        length += 1
    return " ".join(own[:length])


class Introduction:
    """What a speaker said, to look claims up in: sentence by sentence, since two together say what neither does."""

    def __init__(self, found: Sequence[Sentence], language: str = "") -> None:
        """`language`: the transcript's code, such as `en`; if it is empty, it is guessed from the words."""
        code = language or languages.guessed(clauses.folded(" ".join(sentence.text for sentence in found)).split())
        self._language = languages.language(code)
        self._statements = list(_statements(found, self._language))

    def saying(self, field: str, claim: str | int) -> list[int]:
        """The numbers of the sentences in which the speaker says `claim`, an answer to `field` of the form."""
        looked_up = Claim(field, claim, self._language)
        return [number for numbers, statement in self._statements if statement.says(looked_up) for number in numbers]


def _statements(found: Sequence[Sentence], language: languages.Language) -> Iterator[tuple[list[int], Statement]]:
    """Each sentence with its number, and with the next one that corrects it: "I am twenty. Sorry, twenty one." """
    numbers: list[int] = []
    statement: Statement | None = None
    for sentence in found:
        corrected = statement and statement.corrected_by(sentence.text)
        if corrected:
            numbers, statement = [*numbers, sentence.number], corrected
            continue
        if statement:
            yield numbers, statement
        numbers, statement = [sentence.number], Statement(sentence.text, language)
    if statement:
        yield numbers, statement


def is_said(found: Sequence[Sentence], field: str, claim: str | int, language: str = "") -> bool:
    """Whether the speaker says `claim`, an answer to `field` of the form, in one of the sentences."""
    return bool(Introduction(found, language).saying(field, claim))


def says(text: str, claim: str, language: str = "") -> bool:
    """Whether one sentence of a transcript says `claim`, a remark about the speaker."""
    return is_said(sentences_of_text(text, language), REMARK, claim, language)


def says_name(text: str, name: str, language: str = "") -> bool:
    """Whether the speaker of a transcript introduces themselves by `name`."""
    return is_said(sentences_of_text(text, language), NAME, name, language)
