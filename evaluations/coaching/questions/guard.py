"""What is declined before a model is asked, and what of its answer is shown: by code, whatever the model was told.

A model that obeys everything it reads must still show a student no other person's name, no score, nothing of its
instructions, no address, and not that it was a person. So an answer is looked at as it is written; its last words are
held back until those after them can't turn them into something that may not be shown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from evaluations.rating import instructions

HELD_WORDS: Final = 8  # nothing that may not be shown is recognised by more
RUN_WORDS: Final = 6  # so many words in a row are repeated from the instructions, not found by chance
SHORTEST_NAME: Final = 3  # letters


class Fault(TextChoices):
    """Why a question is declined, or an answer withheld; the label is what the student reads in its place."""

    ORDER = "order", _("I am a program that talks with you about your recording. I follow no other orders.")
    NAME = "name", _("I only talk about you and your recording, not about other people.")
    SCORE = "score", _("I can give no scores and change none. Ask me what you can do better next time.")
    PERSON = "person", _("I am a program, not a person. Ask me about your recording.")
    PROMPT = "prompt", _("I only talk about your recording and how you present yourself.")
    ADDRESS = "address", _("I give no addresses. Ask me about your recording.")
    EMPTY = "empty", _("I have no answer to that. Try to ask in other words.")

    @property
    def words(self) -> str | Promise:
        return self.label


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns))


_NUMBER: Final = (
    r"(?:\d+(?:[.,]\d+)?|one|two|three|four|five|six|seven|eight|nine|ten|zero|full|perfect|maximum|highest|"
    r"eins?|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|null|volle?|höchste?)"
)
_RESULT: Final = (
    r"(?:scores?|grades?|marks?|ratings?|(?:deine|meine|die|eine|als|schul)\W?note|noten|punktzahl|bewertung|wertung)"
)
_FEW: Final = r"(?:\W+\w+){0,4}?\W+"
_SCORE: Final = _any(
    rf"\b{_RESULT}\b{_FEW}{_NUMBER}\b",
    rf"\b{_NUMBER}\b{_FEW}{_RESULT}\b",
    rf"\b{_NUMBER}\W*(?:/|\bout of\b|\bvon\b|\bof\b)\W*(?:10|100|ten|hundred|zehn|hundert)\b",
    rf"\b{_NUMBER}\W+(?:points?|punkten?)\b",
    rf"\b(?:i|ich)\b{_FEW}(?:changed?|raised?|set|updated?|corrected?|geändert|erhöht|gesetzt|korrigiert)\b"
    rf"{_FEW}{_RESULT}\b",
    rf"\b{_RESULT}\b{_FEW}(?:changed|raised|set|updated|corrected|geändert|erhöht|gesetzt|korrigiert)\b",
    r"\b\d+(?:[.,]\d+)?\W*(?:%|percent\b|prozent\b)",
    rf"\b{_RESULT}\b{_FEW}(?:an a|a[+-]|[b-f][+-]?)(?!\w)",
)
_PERSON: Final = _any(
    r"\bi(?:'m| am)(?: really| actually| in fact)? (?:an? )?(?:human|person|real|teacher|man|woman|student)\b",
    r"\bich bin (?:eine? )?(?:echter? |wirkliche[rs]? )?"
    r"(?:mensch|person|lehrer|lehrerin|mann|frau|schüler|schülerin)\b",
    r"\bnot a(?:n ai| program| machine| computer| robot)\b",
    r"\bkein(?:e)? (?:ki|programm|maschine|computer|roboter)\b",
)
_ADDRESS: Final = _any(
    r"https?:", r"\bwww\b", r"\S@\S", r"\w\.(?:com|org|net|info|io|tv|de|eu|co|uk|app)\b", r"\d(?:[ /-]?\d){6}"
)
_ASKS_FOR_A_SCORE: Final = _any(
    rf"\b(?:what|which|tell|show|say|give|welche\w*|sag|zeig|gib)\b(?:\W+\w+){{0,3}}?\W+{_RESULT}\b",
    rf"\b(?:change|raise|set|änder\w*|erhöh\w*|setz\w*)\b(?:\W+\w+){{0,2}}?\W+{_RESULT}\b",
)
# Names that are words, too: such a one is a name only where it is written as one within a sentence.
_WORDS_TOO: Final = frozenset(
    [
        "will", "mark", "grace", "hope", "rose", "may", "june", "art", "bill", "frank", "joy", "faith", "dawn", "eve",
        "amber", "ruby", "heather", "ivy", "pat", "rich", "sue", "guy", "drew", "chase", "hunter", "king", "young",
        "long", "short", "white", "black", "brown", "green", "gray", "grey", "rice", "day", "stone", "wood", "hill",
        "brook", "field", "max", "ernst", "gross", "klein", "lang", "kurz", "jung", "weiss", "schwarz", "braun", "koch",
        "fischer", "bauer", "lehrer", "lehrerin", "mut", "wolf", "teacher", "student", "admin", "root", "pupil", "user",
        "test", "coach", "demo",
    ]
)  # fmt: skip


class AnswerGuard:
    """For one question and its answer."""

    def __init__(self, names: Iterable[str], own_words: Collection[str], prompt: str) -> None:
        """
        Args:
            names: of everybody else; parts of them count by themselves.
            own_words: that the student uses, in small letters: a name among them is the student's to talk about.
            prompt: the instructions to the model.
        """
        words = {part for name in names for part in _plain(name).split() if len(part) >= SHORTEST_NAME}
        self._names = words - set(own_words)
        instructed = _plain(prompt).split()
        self._runs = {tuple(instructed[at : at + RUN_WORDS]) for at in range(len(instructed) - RUN_WORDS + 1)}
        self._text = ""
        self._shown = 0  # characters
        self.fault: Fault | None = None  # of the answer

    def of_question(self, question: str) -> Fault | None:
        """Why it is declined without asking a model."""
        if kinds := instructions.kinds(question):
            return Fault.SCORE if "a result asked for" in kinds or "an order to rate" in kinds else Fault.ORDER
        if self._names_somebody(question):
            return Fault.NAME
        return Fault.SCORE if _ASKS_FOR_A_SCORE.search(_plain_line(question)) else None

    def add(self, piece: str) -> str:
        """The model has written this; returns what may be shown by now. Nothing more, once there is a fault."""
        if self.fault:
            return ""
        self._text += piece
        # Only a complete word can be judged.
        written = self._text[: self._text.rfind(" ") + 1] if not self._text[-1:].isspace() else self._text
        return self._show(written, held=HELD_WORDS)

    def finish(self) -> str:
        """The answer is complete; returns the rest of what may be shown."""
        if not self.fault and not self._text.strip():
            self.fault = Fault.EMPTY
        return "" if self.fault else self._show(self._text, held=0)

    def _show(self, written: str, *, held: int) -> str:
        self.fault = self.of_answer(written)
        if self.fault:
            return ""
        starts = [found.start() for found in re.finditer(r"\S+", written)]
        end = len(written) if not held else starts[-held] if len(starts) > held else 0
        shown = written[self._shown : end]
        self._shown = max(self._shown, end)
        return shown

    def of_answer(self, text: str) -> Fault | None:
        """Why it may not be shown."""
        line, words = _plain_line(text), _plain(text).split()
        if self._names_somebody(text):
            return Fault.NAME
        if any(tuple(words[at : at + RUN_WORDS]) in self._runs for at in range(len(words) - RUN_WORDS + 1)):
            return Fault.PROMPT
        for fault, pattern in ((Fault.SCORE, _SCORE), (Fault.PERSON, _PERSON), (Fault.ADDRESS, _ADDRESS)):
            if pattern.search(line):
                return fault
        return None

    def _names_somebody(self, text: str) -> bool:
        found = _together(text)
        plain = set(_plain(found).split())
        named = self._names & plain
        if named - _WORDS_TOO:
            return True
        within = {_plain(word).strip() for word in re.findall(r"(?<=[\w,;] )[A-ZÄÖÜ]\w+", found)}
        return bool(named & within)


def _together(text: str) -> str:
    """B-e-n and B e n are read as Ben."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")  # nothing that can't be seen
    return re.sub(r"\b(?:\w[ .\-_*]){2,}\w\b", lambda spelt: re.sub(r"[ .\-_*]", "", spelt[0]), text)


def _plain_line(text: str) -> str:
    return " ".join(_together(text).casefold().replace("\u2019", "'").split())


def _plain(text: str) -> str:
    """Words in small letters, one blank between."""
    return " ".join(re.sub(r"[^\w\s]|_", " ", _plain_line(text)).split())
