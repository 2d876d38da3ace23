"""Whether one sentence says what a model claims of its speaker."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from evaluations.rating.claims.clauses import (
    FILLER_WORDS,
    UNSPACED,
    SaidWord,
    begins_with_correction,
    folded,
    read,
    tokens,
)
from evaluations.rating.claims.languages import Language

SUPPORT_SHARE = 0.6  # of a claim's content words that a sentence must say: two of three, but not one of two
AGE_DIGITS = 3

# Fields of the form with rules of their own; a remark is a sentence of feedback.
NAME, AGE, HOBBIES, CAREER_GOALS, STRENGTHS, REMARK = "name", "age", "hobbies", "career_goals", "strengths", "remark"
_BY_WISHES: Final = frozenset({CAREER_GOALS, REMARK})  # a career goal is a wish by nature
_OF_TODAY: Final = frozenset({HOBBIES, STRENGTHS, CAREER_GOALS})  # what one used to do or want is none

# After "I am 10": then it is no age.
_UNITS: Final = re.compile(
    r"of|(?:kilo|centi)?met(?:re|er)s?|feet|inches|kilos?|pounds|miles|percent|points|people|times|minutes|hours|days|weeks|"
    r"months|(?:kilo|zenti)?meter|prozent|punkte|uhr|minuten|stunden|tage|wochen|monate|minutos|horas|días|semanas|meses"
)

_SPACES: Final = re.compile(r"[\W_]+")
_IS_UNSPACED: Final = re.compile(rf"[{UNSPACED}]")
_CONTENT_RUN: Final = re.compile(r"[\u30a0-\u30ff\u3400-\u9fff\uf900-\ufaff]+|[^\W_\u3040-\u309f]+")  # without hiragana
_UNSPACED_BREAKS: Final = re.compile(r"[、，,。！？；;]")
_UNSPACED_OTHERS: Final = re.compile(
    r"^(?:私の|僕の|わたしの)?.{0,4}?(?:[兄弟姉妹父母]|お[兄姉父母]さん|祖[父母]|友達|友だち|友人|先生|いとこ|彼女?)(?:たち)?"
    r"(?:[はがも]|の[^私僕]{1,6}[はが])"
    r"|^(?:我的?|我们的?)?(?:哥哥|弟弟|姐姐|妹妹|爸爸|妈妈|父亲|母亲|爷爷|奶奶|朋友|老师|同学|叔叔|阿姨|[他她]们?)"
)
_UNSPACED_NEGATION: Final = re.compile(r"ません|ない|じゃな|嫌い|きらい|苦手|不|没|讨厌|討厭|別に")
_UNSPACED_NAME: Final = (
    r"(?:名前は|名は|私は|わたしは|僕は|ぼくは|俺は|我叫|我是|我的名字是|我的名字叫|名叫){name}"
    r"|(?:^|[、,はー]){name}(?:です|と申します|といいます|と言います|ともうします)"
)
_UNSPACED_AGE: Final = r"(?<![\d.]){number}(?:歳|才|さい|岁|歲)"
_KANJI_DIGITS: Final = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}
_KANJI_NUMBER: Final = re.compile(r"[一二三四五六七八九]?十[一二三四五六七八九]?|[〇一二三四五六七八九]{1,3}")


class Claim:
    """What a model answered to a field of the form, read once to be looked up in many sentences."""

    def __init__(self, field: str, value: str | int, language: Language) -> None:
        self.field = field
        self.text = str(value)
        self.age = int(self.text) if self.text.isdecimal() and len(self.text) <= AGE_DIGITS else None
        words = read(self.text, language)
        self.units = _units(words, language)
        self.negated = any(word.negated for word in words)
        self.is_unspaced = bool(_IS_UNSPACED.search(self.text))


class Statement:
    """One sentence, read once, in which claims are looked up."""

    def __init__(self, text: str, language: Language) -> None:
        self._text = text
        self._language = language
        self._words = read(text, language)
        self._stems = _stems(self._words, language)

    def corrected_by(self, following: str) -> Statement | None:
        """This and the following sentence as one, if that withdraws something of this: "Sorry, twenty one." """
        if not begins_with_correction(following, self._language):
            return None
        both = Statement(f"{self._text.rstrip('.!?… ')}, {following}", self._language)
        return both if any(word.corrects for word in both._words) else None

    def says(self, claim: Claim) -> bool:
        """Whether the speaker says it of themselves."""
        if claim.field == AGE:
            return claim.age is not None and (
                claim.age in _ages(self._words, self._language) or _says_unspaced_age(self._text, claim.age)
            )
        if claim.is_unspaced and _says_unspaced(self._text, claim.text, as_name=claim.field == NAME):
            return True
        if claim.is_unspaced and not self._language.has_table:
            return False
        if claim.field == NAME:
            return _says_name(self._words, claim.text, self._language)
        return self._says_words(claim)

    def _says_words(self, claim: Claim) -> bool:
        """Whether it says SUPPORT_SHARE of the claim's units, and none of them only of something else."""
        if not _is_enough(claim.units, self._stems):
            return False
        usable = [word for word in self._words if word.negated == claim.negated and _counts(word, claim.field)]
        said = _stems(usable, self._language)
        if any(unit in self._stems and unit not in said for unit in claim.units):
            return False
        own = _stems([word for word in usable if not word.shared], self._language)
        return _is_enough(claim.units, said) and any(unit in own for unit in claim.units)


# Claims in words. Their units are stems, and concepts: what phrases of the same meaning have in common.


def _is_enough(units: Sequence[str], said: frozenset[str]) -> bool:
    return bool(units) and sum(unit in said for unit in units) / len(units) >= SUPPORT_SHARE


def _counts(word: SaidWord, field: str) -> bool:
    """Whether a word is about the speaker, in a way that fits the field."""
    if (word.other and not word.shared) or word.hypothetical or word.withdrawn:
        return False
    return not (word.wished and field not in _BY_WISHES) and not (word.past and field in _OF_TODAY)


def _units(claimed: Sequence[SaidWord], language: Language) -> list[str]:
    """What a claim is made of: the concepts that it names, then the stems of its other content words."""
    stems = {word.stem for word in claimed}
    units: list[str] = []
    for phrase, concept in language.concepts_among(stems):
        if phrase <= stems:  # no word belongs to two
            units.append(concept)
            stems -= phrase
    content = (word.stem for word in claimed if word.text not in language.empty and word.stem in stems)
    return list(dict.fromkeys([*units, *content]))


def _stems(words: Sequence[SaidWord], language: Language) -> frozenset[str]:
    """The stems of words, and the concepts that those of one part of the sentence make."""
    by_part: dict[int, set[str]] = {}
    for word in words:
        by_part.setdefault(word.part, set()).add(word.stem)
    concepts = {concept for stems in by_part.values() for _, concept in language.concepts_among(stems)}
    return frozenset({word.stem for word in words} | concepts)


# Names


def _says_name(words: Sequence[SaidWord], name: str, language: Language) -> bool:
    """Whether the speaker introduces themselves by `name`, or by a longer name that begins with it.

    A name may be told in parts: "My first name is Ada and my last name is Lovelace".
    """
    wanted = "".join(map(_letters, tokens(name, language)))
    if not language.has_table:  # nothing but the name itself is known there
        return bool(wanted) and any("" in _remainders(words[at:], wanted) for at in range(len(words)))
    missing = {wanted} - {""}
    for at in _name_starts(words, language):
        missing |= {rest for one in missing for rest in _remainders(words[at:], one)}
    return "" in missing


def _name_starts(words: Sequence[SaidWord], language: Language) -> Iterator[int]:
    """The indices at which the speaker's name may begin."""
    texts = [word.text for word in words]
    for at, word in enumerate(words):
        sure = language.name_cues.length_at(texts, at)
        start = at + (sure or language.name_cues_weak.length_at(texts, at))
        while start < len(words) and (words[start].text in FILLER_WORDS or words[start].withdrawn):
            start += 1
        if at < start < len(words) and (sure or _is_written_as_name(words, start, language)):
            yield start
            yield from _again(words, start)
        if word.text in language.name_ends:
            first = next(one for one in range(len(words)) if words[one].part == word.part)
            if first < at and _is_written_as_name(words, first, language):
                yield first


def _again(words: Sequence[SaidWord], start: int) -> Iterator[int]:
    """Where a name begins that is said again in full: "I am Bond, James Bond"."""
    following = [at for at, word in enumerate(words) if word.part == words[start].part + 1]
    if any(words[at].text == words[start].text for at in following):
        yield following[0]


def _is_written_as_name(words: Sequence[SaidWord], at: int, language: Language) -> bool:
    """Whether a word is capitalised, in a transcript that has capitals: "I am Rose", not "I am rose"."""
    capitals = any(word.written != word.text for word in words)
    if words[at].other or words[at].text in language.empty:
        return False
    return not capitals or words[at].written != words[at].text


def _remainders(words: Sequence[SaidWord], wanted: str) -> Iterator[str]:
    """What is left of `wanted` after each of the next words, however they are divided: `Mac Donald`, `O'Brien`."""
    said = ""
    for word in words:
        said += _letters(word.text)
        if not wanted.startswith(said):
            return
        yield wanted[len(said) :]


def _letters(word: str) -> str:
    """A word without accents: a recogniser writes `Zoe` or `Zoë`."""
    return "".join(one for one in unicodedata.normalize("NFD", folded(word)) if unicodedata.category(one) != "Mn")


# Ages


def _ages(words: Sequence[SaidWord], language: Language) -> set[int]:
    """The ages that the speaker gives as their own. In a language without a table every number may be one."""
    found: set[int] = set()
    corrected = False
    for at, word in enumerate(words):
        if not word.text.isdecimal() or len(word.text) > AGE_DIGITS:
            continue
        is_age = not language.has_table or _is_age(words, at, language) or (corrected and word.corrects)
        corrected |= is_age and word.withdrawn
        if is_age and not (word.withdrawn or word.other or word.negated or word.hypothetical or word.wished):
            found.add(int(word.text))
    return found


def _is_age(words: Sequence[SaidWord], at: int, language: Language) -> bool:
    texts = [word.text for word in words]
    part = [word.text for word in words[:at] if word.part == words[at].part]
    if any(one in language.times or one in language.people for one in part):
        return False
    following = texts[at + 1] if at + 1 < len(texts) and words[at + 1].part == words[at].part else ""
    before = re.search(language.age_before, " ".join(texts[:at]))
    if (
        before
        and not _UNITS.fullmatch(following)
        and (not following or not language.age_years or following in language.age_years)
    ):
        return True
    after = re.match(language.age_after, " ".join(texts[at + 1 :]))
    if after:
        then = texts[at + 1 + len(after[0].split()) :][:1]
        speaks = any(one in language.speaker for one in part) or all(one in language.empty for one in part)
        return speaks and not any(one in language.people for one in then)
    return _stands_alone(words, at, language)


def _stands_alone(words: Sequence[SaidWord], at: int, language: Language) -> bool:
    """Whether a part of the sentence is but the number, after a name: "I am Tom, seventeen"."""
    own = [word.text for word in words if word.part == words[at].part]
    before = [word.text for word in words if word.part == words[at].part - 1]
    alone = all(one == words[at].text or one in language.empty | language.joints | FILLER_WORDS for one in own)
    return alone and any(cues.length_at(before, 0) for cues in (language.name_cues, language.name_cues_weak))


# Scripts without blanks


def _says_unspaced(text: str, claim: str, *, as_name: bool) -> bool:
    wanted = _SPACES.sub("", folded(claim))
    runs = _CONTENT_RUN.findall(wanted) or [wanted]
    for part in _unspaced_parts(text):
        if as_name:
            if re.search(_UNSPACED_NAME.format(name=re.escape(wanted)), part):
                return True
        elif bool(_UNSPACED_NEGATION.search(part)) == bool(_UNSPACED_NEGATION.search(wanted)) and (
            wanted in part or sum(run in part for run in runs) / len(runs) >= SUPPORT_SHARE
        ):
            return True
    return False


def _unspaced_parts(text: str) -> Iterator[str]:
    """The parts of a sentence that are not about somebody else, without blanks."""
    for part in _UNSPACED_BREAKS.split(folded(text)):
        joined = _SPACES.sub("", part)
        if joined and not _UNSPACED_OTHERS.search(joined):
            yield joined


def _says_unspaced_age(text: str, age: int) -> bool:
    pattern = re.compile(_UNSPACED_AGE.format(number=age))
    return any(
        pattern.search(_KANJI_NUMBER.sub(lambda found: str(_kanji_value(found[0])), part))
        for part in _unspaced_parts(text)
    )


def _kanji_value(digits: str) -> int:
    tens, ten, ones = digits.partition("十")
    if ten:
        return 10 * _KANJI_DIGITS.get(tens, 1) + _KANJI_DIGITS.get(ones, 0)
    return int("".join(str(_KANJI_DIGITS[digit]) for digit in digits))
