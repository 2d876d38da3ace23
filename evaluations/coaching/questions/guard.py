"""What is declined before a model is asked, and what of its answer is shown: by code, whatever the model was told.

A model that obeys everything it reads must still show a student no other person's name, no score, nothing of its
instructions, no address, and not that it was a person. So an answer is looked at as it is written. Its last words are
held back, so that what leads up to a fault is seldom seen, and beyond them whatever the words to come may still make a
fault of. What a question is about is found by a sieve of words; what that lets through is the prompt's to decline.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from evaluations.coaching.questions.forms import (
    ADDRESS,
    ASKS_FOR_A_ROLE,
    ASKS_FOR_A_SCORE,
    ASKS_FOR_ELSE,
    BEGINS,
    MARK,
    PERSON,
    PROGRAM,
    SCORE,
    SPELT,
    WORDS_TOO,
)
from evaluations.rating import instructions

HELD_WORDS: Final = 4  # always; nobody waits much longer for a first word by that
LONGEST: Final = 16  # words, of what may not be shown; names that are spelt aside
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
    TOPIC = "topic", _("I only help with your recording, with speaking and with introducing yourself.")
    EMPTY = "empty", _("I have no answer to that. Try to ask in other words.")

    @property
    def words(self) -> str | Promise:
        return self.label


_COMPLETE: Final = re.compile(r".*\s", re.DOTALL)
_FAULTS: Final = (
    *((Fault.PROMPT, MARK), (Fault.SCORE, SCORE)),
    *((Fault.PERSON, PERSON), (Fault.ADDRESS, ADDRESS), (Fault.TOPIC, PROGRAM)),
)


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
        self._runs = {
            tuple(instructed[at : at + count])
            for count in range(1, RUN_WORDS + 1)
            for at in range(len(instructed) - count + 1)
        }
        self._text = ""
        self._shown = 0  # characters
        self.fault: Fault | None = None  # of the answer

    def of_question(self, question: str) -> Fault | None:
        """Why it is declined without asking a model."""
        line = _plain_line(question)
        if MARK.search(line) or ASKS_FOR_A_ROLE.search(line):
            return Fault.ORDER
        if kinds := set(instructions.kinds(question)) - instructions.INNOCENT_IN_A_QUESTION:
            return Fault.SCORE if "a result asked for" in kinds or "an order to rate" in kinds else Fault.ORDER
        if self._names_somebody(question):
            return Fault.NAME
        if ASKS_FOR_A_SCORE.search(line):
            return Fault.SCORE
        return Fault.TOPIC if ASKS_FOR_ELSE.search(line) else None

    def add(self, piece: str) -> str:
        """The model has written this; returns what may be shown by now. Nothing more, once there is a fault."""
        if self.fault:
            return ""
        self._text += piece
        # Only a complete word can be judged.
        complete = _COMPLETE.match(self._text)
        written = complete[0] if complete else ""
        return self._show(written, self._decided(written))

    def finish(self) -> str:
        """The answer is complete; returns the rest of what may be shown."""
        if not self.fault and not self._text.strip():
            self.fault = Fault.EMPTY
        return "" if self.fault else self._show(self._text, len(self._text))

    def _show(self, written: str, end: int) -> str:
        """Up to `end`, unless `written` has a fault."""
        self.fault = self.of_answer(written)
        if self.fault:
            return ""
        shown = written[self._shown : end]
        self._shown = max(self._shown, end)
        return shown

    def _decided(self, written: str) -> int:
        """How much of it, in characters, no words to come can turn into something that may not be shown."""
        spelt = SPELT.search(written)
        starts = [found.start() for found in re.finditer(r"\S+", written)]
        end = min(spelt.start() if spelt else len(written), *starts[-HELD_WORDS:], len(written))
        return next((start for start in starts[-LONGEST:] if start < end and self._begins(written[start:])), end)

    def _begins(self, rest: str) -> bool:
        """Whether the text that ends with `rest` may go on so that this, from its first word on, may not be shown."""
        for reading in _readings(rest):
            line, words = _plain_line(reading), _plain(reading).split()
            found = BEGINS.search(line)
            if (found and found.start() < len(line.split(" ")[0])) or tuple(words) in self._runs:
                return True
        return False

    def of_answer(self, text: str) -> Fault | None:
        """Why it may not be shown."""
        return next(filter(None, map(self._fault_of, _readings(text))), None)

    def _fault_of(self, text: str) -> Fault | None:
        line, words = _plain_line(text), _plain(text).split()
        if self._names_somebody(text):
            return Fault.NAME
        if any(tuple(words[at : at + RUN_WORDS]) in self._runs for at in range(len(words) - RUN_WORDS + 1)):
            return Fault.PROMPT
        for fault, pattern in _FAULTS:
            if pattern.search(line):
                return fault
        return None

    def _names_somebody(self, text: str) -> bool:
        found = _together(text)
        plain = set(_plain(found).split())
        named = self._names & plain
        if named - WORDS_TOO:
            return True
        within = {_plain(word).strip() for word in re.findall(r"(?<=[\w,;] )[A-ZÄÖÜ]\w+", found)}
        return bool(named & within)


def _readings(text: str) -> dict[str, None]:
    """As it is written, and as a page shows it: B**e**n as Ben."""
    return dict.fromkeys((text, re.sub(r"(?<=\w)[*`]+(?=\w)", "", text)))


def _together(text: str) -> str:
    """B-e-n and B e n are read as Ben."""
    text = unicodedata.normalize("NFKC", text)
    text = "".join(sign for sign in text if unicodedata.category(sign) != "Cf")  # nothing that can't be seen
    return re.sub(r"\b(?:\w[\s.\-_*]){2,}\w\b", lambda spelt: re.sub(r"[\s.\-_*]", "", spelt[0]), text)


def _plain_line(text: str) -> str:
    return " ".join(_together(text).casefold().replace("\u2019", "'").split())


def _plain(text: str) -> str:
    """Words in small letters, one blank between."""
    return " ".join(re.sub(r"[^\w\s]|_", " ", _plain_line(text)).split())
