"""Which of a model's words a transcript supports: what nobody said is dropped, and counted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from evaluations.rating import evidence, instructions
from evaluations.rating.claims import REMARK, clauses, languages
from evaluations.rating.claims.clauses import UNSPACED, SaidWord
from evaluations.rating.evidence import Sentence

Part = dict[str, Any]
"""`{text, sentence, quote, start, end}`: see `evaluations.models.operations`."""

_KNOWING: Final = frozenset({"know", "sure", "idea", "clue", "weiß", "weiss", "sicher", "ahnung"})
FREE_LETTERS: Final = 4  # shorter words of no meaning, such as "is", may stand in a claim though nobody said them
_UNSPACED: Final = re.compile(rf"[{UNSPACED}]")


class Support:
    """What one speaker said, to look a model's words up in."""

    def __init__(self, said: Sequence[Sentence], language: str, *, trust: bool) -> None:
        """
        Args:
            said: all sentences; those that address the rater support nothing.
            language: the transcript's code, such as `en`; if it is empty, it is guessed from the words.
            trust: skip the check: a simulated engine's words say nothing, and its results are marked as simulated.
        """
        hidden = instructions.addressed(said)
        self._said, self._trust = said, trust
        self.honest = {one.number: one for one in said if one.number not in hidden}
        self._introduction = evidence.Introduction(list(self.honest.values()), language)
        code = language or languages.guessed(clauses.folded(" ".join(one.text for one in said)).split())
        self._language = languages.language(code)
        self._words = {number: clauses.read(one.text, self._language) for number, one in self.honest.items()}
        self._stems = {word.stem for words in self._words.values() for word in words}
        self.dropped = 0

    def of(self, quoted: int, text: str) -> Part | None:
        """The part, with the sentence `quoted` where that says it, else with the first one that does.

        None, and counted in `dropped`, where none does; where a longer word of it is in no sentence; and where it
        repeats what was said to the rater.
        """
        text = "".join(one for one in " ".join(text.split()) if one.isprintable())
        number = self._sentence(quoted, text)
        if number is None:
            self.dropped += 1
            return None
        return {"text": text, **self.honest[number].as_quote()}

    def _sentence(self, quoted: int, text: str) -> int | None:
        if self._trust:
            return quoted if quoted in self.honest else None
        words = clauses.read(text, self._language)
        claimed = [word for word in words if word.text not in self._language.empty]
        if instructions.kinds(text) or instructions.echoes(text, self._said):
            return None
        # Of "I have a hamster" a model makes "I love hamsters". Scripts without blanks have no words to compare.
        longer = {word.stem for word in words if len(word.text) >= FREE_LETTERS} | {word.stem for word in claimed}
        if not (_UNSPACED.search(text) or longer <= self._stems):
            return None
        found = set(self._introduction.saying(REMARK, text)) | {
            number for number, words in self._words.items() if _retells(claimed, words)
        }
        found = {number for number in found if not _is_unknown(claimed, self._words[number])}
        return quoted if quoted in found else min(found, default=None)


def _retells(claimed: Sequence[SaidWord], said: Sequence[SaidWord]) -> bool:
    """Whether a sentence has the words of a claim about whomever it is about: "My aunt is a nurse" retells itself.

    `Introduction.saying` knows only what speakers say of themselves.
    """
    there = {(word.stem, word.negated, _of_others(word)) for word in said if not (word.withdrawn or word.hypothetical)}
    shown = sum((word.stem, word.negated, _of_others(word)) in there for word in claimed)
    return any(map(_of_others, claimed)) and shown == len(claimed)


def _is_unknown(claimed: Sequence[SaidWord], said: Sequence[SaidWord]) -> bool:
    """Whether the claim is what somebody says they don't know: "I don't know what I want to do later"."""
    unknown = {word.part + 1 for word in said if word.negated and word.text in _KNOWING}
    stems = {word.stem for word in claimed}
    parts = {word.part for word in said if word.stem in stems}
    return bool(unknown) and parts <= unknown and not any(word.negated for word in claimed)


def _of_others(word: SaidWord) -> bool:
    return word.other and not word.shared
