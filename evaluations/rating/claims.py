"""Whether one sentence says what a model claims of its speaker."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from evaluations.rating import languages
from evaluations.rating.clauses import FILLER_WORDS, UNSPACED, Word, folded, read, tokens
from evaluations.rating.languages import Language

SUPPORT_SHARE = 0.6  # of a claim's content words that a sentence must say: two of three, but not one of two

# Fields of the form with rules of their own; a remark is a sentence of feedback.
NAME, AGE, HOBBIES, CAREER_GOALS, STRENGTHS, REMARK = "name", "age", "hobbies", "career_goals", "strengths", "remark"
_BY_WISHES: Final = frozenset({CAREER_GOALS, REMARK})  # a career goal is a wish by nature
_OF_TODAY: Final = frozenset({HOBBIES, STRENGTHS})  # what one used to do is none

# After "I am 10": then it is no age.
_UNITS: Final = frozenset(
    "of centimetres centimeters metres meters feet inches kilos pounds minutes hours days weeks months miles kilometres "
    "percent times points people minuten stunden tage wochen monate meter zentimeter kilo kilometer prozent uhr punkte "
    "minutos horas días semanas meses metros kilos".split()
)

_SPACES: Final = re.compile(r"[\W_]+")
_IS_UNSPACED: Final = re.compile(rf"[{UNSPACED}]")
_CONTENT_RUN: Final = re.compile(r"[\u30a0-\u30ff\u3400-\u9fff\uf900-\ufaff]+|[^\W_\u3040-\u309f]+")  # without hiragana
_UNSPACED_BREAKS: Final = re.compile(r"[、，,。！？；;]")
_UNSPACED_OTHERS: Final = re.compile(
    r"^(?:私の|僕の|わたしの|我的?)?[^はが私僕我]{0,4}?"
    r"(?:[兄弟姉妹父母]|兄弟|お[兄姉父母]さん|祖[父母]|友達|友だち|友人|先生|いとこ|[彼他她])[^私僕我]*?(?:は|が|も|と?は|是|在|的|喜|想|叫|今|$)"
    r"|^(?:我的?|我们的?)?(?:哥哥|弟弟|姐姐|妹妹|爸爸|妈妈|父亲|母亲|爷爷|奶奶|朋友|老师|同学|叔叔|阿姨)"
)
_UNSPACED_NEGATION: Final = re.compile(r"ません|ない|じゃな|嫌い|きらい|苦手|不|没|讨厌|討厭|別に")
_UNSPACED_NAME: Final = (
    r"(?:名前は|名は|私は|わたしは|僕は|ぼくは|俺は|我叫|我是|我的名字是|我的名字叫|名叫){name}"
    r"|(?:^|[、,はー]){name}(?:です|と申します|といいます|と言います|ともうします)"
)
_UNSPACED_AGE: Final = r"(?<![\d.]){number}(?:歳|才|さい|岁|歲)"
_KANJI_DIGITS: Final = {digit: value for value, digit in enumerate("〇一二三四五六七八九")}
_KANJI_NUMBER: Final = re.compile(r"[一二三四五六七八九]?十[一二三四五六七八九]?|[〇一二三四五六七八九]+")


class Statement:
    """One sentence, read once, in which claims are looked up."""

    def __init__(self, text: str, language: Language) -> None:
        self._text = text
        self._language = language
        self._words = read(text, language)

    def says(self, field: str, claim: str | int) -> bool:
        """Whether the speaker says `claim`, an answer to `field` of the form."""
        if field == AGE:
            return int(claim) in _ages(self._words, self._language) or _says_unspaced_age(self._text, int(claim))
        if _IS_UNSPACED.search(str(claim)):
            return _says_unspaced(self._text, str(claim), as_name=field == NAME)
        if field == NAME:
            return _says_name(self._words, str(claim), self._language)
        return _says(self._words, str(claim), field, self._language)


# Claims in words


def _says(words: Sequence[Word], claim: str, field: str, language: Language) -> bool:
    """Whether the sentence says SUPPORT_SHARE of the content words of `claim`, and none of them only of something else."""
    claimed = read(claim, language)
    wanted = _units(claimed, language)
    negated = any(word.negated for word in claimed)
    usable = [word for word in words if _counts(word, field) and word.negated == negated]
    anything, said = _stems(words, language), _stems(usable, language)
    own = _stems([word for word in usable if not word.shared], language)
    if any(unit <= anything and not unit <= said for unit in wanted) or not any(unit <= own for unit in wanted):
        return False
    return sum(unit <= said for unit in wanted) / len(wanted) >= SUPPORT_SHARE


def _counts(word: Word, field: str) -> bool:
    """Whether a word is about the speaker, in a way that fits the field."""
    if (word.other and not word.shared) or word.hypothetical or word.withdrawn:
        return False
    return not (word.wished and field not in _BY_WISHES) and not (word.past and field in _OF_TODAY)


def _units(claimed: Sequence[Word], language: Language) -> list[frozenset[str]]:
    """What a claim is made of: concepts, where a phrase of it has synonyms, and the stems of its other content words."""
    stems = {word.stem for word in claimed}
    units: list[frozenset[str]] = []
    for phrase, concept in language.concepts():
        if phrase <= stems:
            units.append(frozenset({concept}))
            stems -= phrase
    content = dict.fromkeys(word.stem for word in claimed if word.text not in language.empty and word.stem in stems)
    return units + [frozenset({stem}) for stem in content]


def _stems(words: Sequence[Word], language: Language) -> frozenset[str]:
    """The stems of words, and the concepts that those of one part of the sentence make."""
    by_part: dict[int, set[str]] = {}
    for word in words:
        by_part.setdefault(word.part, set()).add(word.stem)
    concepts = {
        concept for stems in by_part.values() for phrase, concept in language.concepts() if phrase <= stems
    }
    return frozenset({word.stem for word in words} | concepts)


# Names


def _says_name(words: Sequence[Word], name: str, language: Language) -> bool:
    """Whether the speaker introduces themselves by `name`, or by a longer name that begins with it.

    A name may be told in parts: "My first name is Ada and my last name is Lovelace".
    """
    wanted = "".join(map(_letters, tokens(name, language)))
    if language not in languages.TABLES.values():  # nothing but the name itself is known there
        return bool(wanted) and any("" in _remainders(words[at:], wanted) for at in range(len(words)))
    missing = {wanted} - {""}
    for at in _name_starts(words, language):
        missing |= {rest for one in missing for rest in _remainders(words[at:], one)}
    return "" in missing


def _name_starts(words: Sequence[Word], language: Language) -> Iterator[int]:
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


def _again(words: Sequence[Word], start: int) -> Iterator[int]:
    """Where a name begins that is said again in full: "I am Bond, James Bond"."""
    following = [at for at, word in enumerate(words) if word.part == words[start].part + 1]
    if any(words[at].text == words[start].text for at in following):
        yield following[0]


def _is_written_as_name(words: Sequence[Word], at: int, language: Language) -> bool:
    """Whether a word is capitalised, in a transcript that has capitals: "I am Rose", not "I am rose"."""
    capitals = any(word.written != word.text for word in words)
    if words[at].other or words[at].text in language.empty:
        return False
    return (not capitals or words[at].written != words[at].text)


def _remainders(words: Sequence[Word], wanted: str) -> Iterator[str]:
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


def _ages(words: Sequence[Word], language: Language) -> set[int]:
    """The ages that the speaker gives as their own. In a language without a table every number may be one."""
    has_table = language in languages.TABLES.values()
    found: set[int] = set()
    corrected = False
    for at, word in enumerate(words):
        if not word.text.isdecimal() or len(word.text) > 3:
            continue
        is_age = not has_table or _is_age(words, at, language) or (corrected and word.corrects)
        corrected |= is_age and word.withdrawn
        if is_age and not (word.withdrawn or word.other or word.negated or word.hypothetical or word.wished):
            found.add(int(word.text))
    return found


def _is_age(words: Sequence[Word], at: int, language: Language) -> bool:
    texts = [word.text for word in words]
    part = [word.text for word in words[:at] if word.part == words[at].part]
    if any(one in language.times or one in language.people for one in part):
        return False
    following = texts[at + 1] if at + 1 < len(texts) and words[at + 1].part == words[at].part else ""
    before = re.search(language.age_before, " ".join(texts[:at]))
    if before and following not in _UNITS and (not following or not language.age_years or following in language.age_years):
        return True
    after = re.match(language.age_after, " ".join(texts[at + 1 :]))
    if after:
        then = texts[at + 1 + len(after[0].split()) :][:1]
        speaks = any(one in language.speaker for one in part) or all(one in language.empty for one in part)
        return speaks and not any(one in language.people for one in then)
    return _stands_alone(words, at, language)


def _stands_alone(words: Sequence[Word], at: int, language: Language) -> bool:
    """Whether a part of the sentence is but the number, after a name: "I am Tom, seventeen"."""
    own = [word.text for word in words if word.part == words[at].part]
    before = [word.text for word in words if word.part == words[at].part - 1]
    alone = all(one == words[at].text or one in language.empty | language.joints | FILLER_WORDS for one in own)
    return alone and any(
        cues.length_at(before, 0) for cues in (language.name_cues, language.name_cues_weak)
    )


# Scripts without blanks


def _says_unspaced(text: str, claim: str, *, as_name: bool) -> bool:
    wanted = _SPACES.sub("", folded(claim))
    runs = [run for run in _CONTENT_RUN.findall(wanted)] or [wanted]
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
        pattern.search(_KANJI_NUMBER.sub(lambda found: str(_kanji_value(found[0])), part)) for part in _unspaced_parts(text)
    )


def _kanji_value(digits: str) -> int:
    tens, ten, ones = digits.partition("十")
    if ten:
        return 10 * _KANJI_DIGITS.get(tens, 1) + _KANJI_DIGITS.get(ones, 0)
    return int("".join(str(_KANJI_DIGITS[digit]) for digit in digits))
