"""What a sentence says of whom: for each word, whether it is about somebody else, negated, wished for or withdrawn."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from evaluations.rating.claims.languages import Language, Phrases
from evaluations.rating.speech import FILLERS

# Scripts without blanks between words: Thai, Lao, Burmese, Khmer, kana, Han.
UNSPACED: Final = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff"
FILLER_WORDS: Final = FILLERS | {"äh", "ähm", "öh", "hm", "like", "eh", "este"}
_NEAR = 3  # words between a preposition, or a possessive, and the person it belongs to

_APOSTROPHES: Final = str.maketrans(dict.fromkeys("’‘ʼ´`＇", "'"))
_CONTRACTIONS: Final = (
    (re.compile(r"\bcan't\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon't\b", re.IGNORECASE), "will not"),
    (re.compile(r"n't\b", re.IGNORECASE), " not"),
    (re.compile(r"'m\b", re.IGNORECASE), " am"),
    (re.compile(r"'re\b", re.IGNORECASE), " are"),
    (re.compile(r"'ve\b", re.IGNORECASE), " have"),
    (re.compile(r"'ll\b", re.IGNORECASE), " will"),
    (re.compile(r"'d\b", re.IGNORECASE), " would"),
)
_BREAK: Final = ""  # a token that is no word: punctuation at which a part of a sentence ends
_BREAKS: Final = frozenset(',;:.!?…–—()[]"“”„«»、。！？，；：')


@dataclass(slots=True)
class SaidWord:
    text: str  # normalised, without case
    written: str
    stem: str
    part: int  # of the sentence, from 0
    other: bool = False  # about somebody else
    shared: bool = False  # about somebody else, where the speaker tells of themselves: "I help when people are sad"
    negated: bool = False
    wished: bool = False
    hypothetical: bool = False
    past: bool = False  # no longer so
    withdrawn: bool = False
    corrects: bool = False  # says anew what was withdrawn


@dataclass(slots=True)
class _Part:
    words: list[str]
    at: int  # index of its first word in the sentence
    after_break: bool
    correction: int = 0  # how many words of a correction it begins with: "no wait", "I mean"
    joints: int = 0  # how many joints come then
    other: bool = False
    shared: bool = False
    negated: bool = False
    wished: bool = False
    hypothetical: bool = False
    past: bool = False
    has_subject: bool = False

    @property
    def joint(self) -> str:
        return self.words[self.correction] if self.joints else ""

    @property
    def body(self) -> list[str]:
        return self.words[self.correction + self.joints :]


def normalised(text: str) -> str:
    """One spelling for what is typed in several ways: composed letters, straight apostrophes, contractions in full."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # without half characters, which a model's JSON can hold
    text = unicodedata.normalize("NFKC", text).translate(_APOSTROPHES)
    for pattern, full in _CONTRACTIONS:
        text = pattern.sub(full, text)
    return re.sub(r"(?<=\w)[-‐‑](?=\w)", " ", text)


def tokens(text: str, language: Language) -> list[str]:
    """The words of any script as written, number words as digits, and _BREAK where punctuation divides the sentence."""
    found: list[str] = []
    word = ""
    text = language.digits(normalised(text))
    for character, following in zip(text, f"{text[1:]} ", strict=False):
        if character.isalnum() or unicodedata.category(character)[0] == "M":
            word += character
            continue
        inside_number = character in ".,:" and word[-1:].isdigit() and following.isdigit()
        if word:
            found.append(word)
        word = ""
        if character in _BREAKS and not inside_number:
            found.append(_BREAK)
    return [*found, word] if word else found


def folded(word: str) -> str:
    return unicodedata.normalize("NFKC", word.casefold())


def read(text: str, language: Language) -> list[SaidWord]:
    """The words of one sentence, each with what the sentence says of it."""
    found = tokens(text, language)
    parts = list(_parts(found, language))
    _judge(parts, language)
    written = [token for token in found if token != _BREAK]
    words = [
        SaidWord(
            text=one,
            written=written[part.at + offset],
            stem=language.stem(one),
            part=number,
            other=part.other,
            shared=part.shared,
            negated=part.negated,
            wished=part.wished,
            hypothetical=part.hypothetical,
            past=part.past,
        )
        for number, part in enumerate(parts)
        for offset, one in enumerate(part.words)
    ]
    _withdraw(words, parts, language)
    return words


def begins_with_correction(text: str, language: Language) -> bool:
    found = tokens(text, language)
    return bool(language.corrections.length_at([folded(token) for token in found], 0))


def _parts(found: Sequence[str], language: Language) -> Iterator[_Part]:
    """Cut a sentence at punctuation, before joints, and before a new subject where it stands before its verb."""
    part = _Part([], at=0, after_break=False)
    at = 0
    for token in found:
        word = folded(token)
        subject = not language.inverts and word in language.speaker | language.addressed | language.others
        whole = any(each not in language.joints for each in part.words)
        if part.words and (token == _BREAK or (whole and (word in language.joints or subject))):
            yield _begun(part, language)
            # "No wait I mean checkers" is one correction, however it is punctuated.
            after_break = token == _BREAK or len(part.words) == part.correction
            part = _Part([], at=at, after_break=after_break)
        if token == _BREAK:
            part.after_break = True
        else:
            part.words.append(word)
            at += 1
    if part.words:
        yield _begun(part, language)


def _begun(part: _Part, language: Language) -> _Part:
    part.correction = _correction(part, language)
    rest = part.words[part.correction :]
    part.joints = next((number for number, word in enumerate(rest) if word not in language.joints), len(rest))
    return part


def _correction(part: _Part, language: Language) -> int:
    """How many words of a correction a part begins with. `no` is one by itself alone: "no sports" is a negation."""
    length = language.corrections.length_at(part.words, 0) if part.after_break else 0
    only_negates = length == 1 and language.negations.length_at(part.words, 0)
    return 0 if only_negates and len(part.words) > 1 else length


def _judge(parts: Sequence[_Part], language: Language) -> None:
    before: _Part | None = None
    for part in parts:
        subject = _is_about_another(part, before, language)
        part.has_subject = subject is not None
        part.other = subject if subject is not None else bool(before and before.other)
        goes_on = (
            before is not None and not part.has_subject and (not part.joints or part.joint in language.lists)
        ) or bool(part.correction)
        reported = before is not None and (not part.after_break or part.joint in language.lists)
        part.negated = _negates(part.body, language) or bool(
            before
            and before.negated
            and (goes_on or (reported and any(word in language.opinions for word in before.words)))
        )
        part.wished = _has(part.words, language.wishes, unless=language.statements) or bool(
            before and goes_on and before.wished
        )
        part.past = language.past.are_in(part.words)
        if before and _only_takes_back(part, language):  # "but not any more", "but it is not for me"
            before.past = True
        conditional = any(word in language.conditions for word in part.words[: part.correction + part.joints])
        part.hypothetical = (conditional and any(word in language.unreal for word in part.words)) or bool(
            before and reported and any(word in language.regrets for word in before.words)
        )
        if before and before.other and not part.other and language.places.length_at(part.words, part.correction):
            before.shared = True
        if part.other and before and not before.other and part.joint in language.times:
            part.shared = True
        before = part
    if any(part.hypothetical for part in parts):
        for part in parts:
            part.hypothetical |= part.wished


def _is_about_another(part: _Part, before: _Part | None, language: Language) -> bool | None:
    """Whether the subject of a part is somebody else; None if it has none, and is about whom the last one was."""
    body = part.body
    if before and before.words[-1] in language.people and part.words[0] in language.relatives:
        return True
    if language.theirs.length_at(body, 0):
        return True
    if language.descriptions.are_in(body):
        return False
    if body and body[0] in language.addressed:
        return bool(before and before.other)
    for at, word in enumerate(body):
        if word in language.speaker:
            return False
        if word in language.others:
            return True
        if word in language.people and _is_subject(body, at, part, before, language):
            return True
        if at == 0 and word in language.own and not any(one in language.people for one in body[1 : _NEAR + 1]):
            return False
    return None


def _is_subject(body: list[str], at: int, part: _Part, before: _Part | None, language: Language) -> bool:
    """Whether the person at `at` acts: not "with my brother", "helping my brother", "and help my brother"."""
    nearby = body[max(at - _NEAR, 0) : at]
    if at == len(body) - 1 and not any(word in language.own for word in nearby):
        return False  # "or a teacher"
    if any(word in language.prepositions for word in nearby) or body[0].endswith("ing"):
        return False
    if language.determiners and nearby and not any(word in language.determiners for word in nearby):
        return False
    if part.joint in language.lists and before:
        continues_people = before.words[-1] in language.people and not before.other
        only_speaker = not before.other and all(word in language.empty | language.speaker for word in before.words)
        return not (
            continues_people or only_speaker or (at > 0 and body[0] not in language.empty | language.determiners)
        )
    return True


def _only_takes_back(part: _Part, language: Language) -> bool:
    """Whether a part names nothing of its own, and says that what was named before is no longer, or not, so."""
    negates = part.past or _negates(part.body, language)
    return negates and not part.has_subject and all(word in language.taking_back for word in part.body)


def _negates(words: list[str], language: Language) -> bool:
    return _has(words, language.negations, unless=language.affirmations)


def _has(words: list[str], phrases: Phrases, *, unless: Phrases) -> bool:
    """Whether one of `phrases` is in `words`, outside of those of `unless`."""
    at = 0
    while at < len(words):
        passed_over = unless.length_at(words, at)
        if not passed_over and phrases.length_at(words, at):
            return True
        at += passed_over or 1
    return False


def _withdraw(words: list[SaidWord], parts: Sequence[_Part], language: Language) -> None:
    """Mark what a speaker corrects: "I play chess, no wait, I mean checkers" says nothing of chess."""
    said: list[SaidWord] = []  # of the last part before the correction
    correcting = False
    for part in parts:
        marker, repair = words[part.at : part.at + part.correction], _of(words, part)[part.correction :]
        for word in marker:
            word.withdrawn = True
        correcting |= bool(marker)
        if repair and correcting and said and _corrects(repair, said, language):
            _replace(said, repair, language)
        if repair:
            said, correcting = repair, False
    for first, between, second in zip(words, words[1:], words[2:], strict=False):  # "twenty sorry twenty one"
        if first.text.isdecimal() and second.text.isdecimal() and language.corrections.length_at([between.text], 0):
            first.withdrawn, second.corrects = True, True


def _replace(said: Sequence[SaidWord], repair: Sequence[SaidWord], language: Language) -> None:
    """As many of the last words that claim something as the correction has."""
    anew = [word for word in repair if word.text not in language.empty]
    for word in [word for word in said if word.text not in language.empty][-len(anew) :] if anew else []:
        word.withdrawn = True
    for word in repair:
        word.corrects = True


def _of(words: list[SaidWord], part: _Part) -> list[SaidWord]:
    return words[part.at : part.at + len(part.words)]


def _corrects(repair: Sequence[SaidWord], said: Sequence[SaidWord], language: Language) -> bool:
    """Whether it can take the place of what was said: a few words, or a sentence with a number or a word in common."""
    if any(
        word.text in language.speaker | language.others or word.text in {"it", "that", "es", "das"} for word in repair
    ):
        content = {word.stem for word in said if word.text not in language.empty}
        numbers = any(word.text.isdecimal() for word in repair) and any(word.text.isdecimal() for word in said)
        return numbers or any(word.stem in content for word in repair)
    return True
