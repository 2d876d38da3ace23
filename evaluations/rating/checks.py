"""Items that words and times alone can decide, without a model. An item names its check by the key in `CHECKS`.

None of them looks at a recogniser's certainty, at accent, pitch or emotion. A check that can't be made (no times in a
written text, too few words, no punctuation) doesn't apply: its item then counts neither way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from evaluations.rating.evidence import SENTENCE_END, Sentence
from evaluations.rating.speech import LONG_PAUSE_SECONDS, Spoken

# Tauroza and Allison, "Speech rates in British English", Applied Linguistics 11 (1990), measured 140 words a minute on
# average in lectures to learners and 210 in conversation. The band leaves room at both ends: half of the one, and a
# tenth more than the other.
MIN_PACE, MAX_PACE = 70.0, 230.0  # words a minute
MIN_WORDS_FOR_PACE = 30
MAX_CUT_PAUSES = 2.0  # a minute: pauses of LONG_PAUSE_SECONDS within a sentence
MAX_UNFINISHED = 0.2  # share of the sentences
MAX_HEDGES = 2.0  # in 100 words
MIN_OWN = 3  # sentences in the first person, or times "I": below it nobody can tell how they speak of themselves
MIN_SENTENCES = 3  # below it nothing can be said of how they end
OPENING, CLOSING = 2, 2  # sentences


@dataclass(frozen=True, slots=True)
class Transcribed:
    """What checks look at."""

    sentences: Sequence[Sentence]
    words: Sequence[Spoken] | None = None  # None for a written text, which has no times


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`answer` is None where the check doesn't apply. `sentences` are the numbers of those that decide."""

    answer: bool | None
    sentences: tuple[int, ...] = ()


_GREETING = re.compile(
    r"^\W*(?:(?:um|uh|so|okay|well|also|äh|ähm)\W+)*(?:hi|hey|hello|hallo|dear|welcome|greetings|"
    r"ladies and gentlemen|meine damen und herren|"
    r"good (?:morning|afternoon|evening|day)|guten (?:morgen|tag|abend)|servus|moin|liebe[rs]?|herzlich willkommen)\b",
    re.IGNORECASE,
)
_NAME = (
    re.compile(
        r"\b(?:[Mm]y (?:full |first |nick)?name(?: is|['’]s|s)?|[Tt]hey call me|[Ee]veryone calls me|[Pp]eople call me|"
        r"[Yy]ou can call me|[Cc]all me|[Mm]ein Name ist|[Ii]ch hei(?:ß|ss)e)\s+(?:\w+,? )?[^\W\d_]"
    ),
    # "Jack Thornton here.", "Chiara Fontana, seventeen"; two capitals are needed, for anything may begin a sentence.
    re.compile(
        r"^(?!(?:[Gg]ood|[Gg]uten|[Dd]ear|[Ll]iebe[rs]?)\b)[A-ZÄÖÜÀ-Þ][\w'’-]+ [A-ZÄÖÜÀ-Þ][\w'’-]+(?:,| here\b| hier\b)"
    ),
    # "I am" is followed by much else: only a capital letter makes a name of it.
    re.compile(
        r"\b(?:I am|I['’]m|[Tt]his is|[Ii]ch bin(?: der| die)?)\s+(?!I\b)[A-ZÄÖÜÀ-Þ][\w'’-]+"
        r"(?=\s*(?:[A-ZÄÖÜ,.!]|and|und|from|aus|$))"
    ),
)
_SAYS_I = re.compile(r"\b(?:i|i['’](?:m|ve|d|ll)|ich)\b", re.IGNORECASE)
_I = re.compile(r"\b(?:i|i['’](?:m|ve|d|ll)|my|me|myself|ich|mein\w{0,2}|mich|mir)\b", re.IGNORECASE)
_HEDGE = re.compile(
    r"\b(?:i guess|i suppose|maybe|perhaps|kind of|kinda|sort of|sorta|i don['’]?t know|not (?:really )?sure|"
    r"or something|or whatever|and stuff|probably|somehow|i think|"
    r"vielleicht|irgendwie|glaube ich|ich glaube|ich denke|keine ahnung|oder so|sozusagen|wahrscheinlich|eigentlich)\b",
    re.IGNORECASE,
)
_APOLOGY = re.compile(
    r"^\W*sorry\W*$|\b(?:(?:i['’]?m |i am |so )?sorry (?:for|that|about|if|my)|my english is (?:bad|not|so|very)|"
    r"excuse my|i apologi[sz]e|i (?:can['’]?t|cannot) do (?:this|it)\b|"
    r"i(?: am|['’]m) (?:really |so |very )?(?:bad|terrible|awful|no good|not (?:very |so |really )?good) at "
    r"(?:this|that|it|talking|speaking|presenting|introduc\w+|english)|"
    r"i (?:don['’]?t|do not) know what (?:else )?(?:to|i should) say|that['’]?s all i (?:have|can)|"
    r"nothing (?:special|interesting) about me|tut mir leid|entschuldigung|"
    r"ich bin (?:nicht (?:so )?gut|schlecht) (?:darin|im|in so)|ich wei(?:ß|ss) nicht,? was ich)\b",
    re.IGNORECASE,
)
_TRAILS_OFF = frozenset(
    {"and", "but", "so", "because", "or", "then", "um", "uh", "er", "like", "the", "a", "my", "to", "with"}
    | {"und", "aber", "also", "weil", "oder", "dann", "äh", "ähm", "mit", "der", "die", "das", "ein"}
)


def opens(talk: Transcribed) -> CheckResult:
    """A greeting, or the speaker's name, in the first two sentences."""
    found = [one.number for one in talk.sentences[:OPENING] if _GREETING.search(one.text) or _names(one.text)]
    return CheckResult(bool(found), tuple(found[:1]))


def pace(talk: Transcribed) -> CheckResult:
    """From the first word to the last, between MIN_PACE and MAX_PACE."""
    if talk.words is None or len(talk.words) < MIN_WORDS_FOR_PACE:
        return CheckResult(None)
    minutes = max(talk.words[-1].end - talk.words[0].start, 1.0) / 60
    return CheckResult(MIN_PACE <= len(talk.words) / minutes <= MAX_PACE)


def phrases(talk: Transcribed) -> CheckResult:
    """At most one long pause in the middle of a sentence, or MAX_CUT_PAUSES a minute."""
    if talk.words is None or len(talk.words) < MIN_WORDS_FOR_PACE:
        return CheckResult(None)
    minutes = max(talk.words[-1].end - talk.words[0].start, 1.0) / 60
    cuts = sum(
        later.start - earlier.end >= LONG_PAUSE_SECONDS and not earlier.text.endswith((*SENTENCE_END, ",", ";", ":"))
        for earlier, later in pairwise(talk.words)
    )
    return CheckResult(cuts <= 1 or cuts / minutes <= MAX_CUT_PAUSES)


def finished(talk: Transcribed) -> CheckResult:
    """Few sentences trail off or are fragments of one or two words, greetings aside."""
    ended = [one for one in talk.sentences if one.text.endswith(SENTENCE_END)]
    if len(talk.sentences) < MIN_SENTENCES or len(ended) < len(talk.sentences) / 2:
        return CheckResult(None)  # a recogniser that writes no full stops
    broken = tuple(one.number for one in talk.sentences if _breaks_off(one.text))
    if len(broken) / len(talk.sentences) > MAX_UNFINISHED:
        return CheckResult(False, broken)
    return CheckResult(True)


def name(talk: Transcribed) -> CheckResult:
    """The speaker says their name."""
    found = tuple(one.number for one in talk.sentences if _names(one.text))
    return CheckResult(bool(found), found[:1])


def direct(talk: Transcribed) -> CheckResult:
    """Speaks of themselves, with few hedges."""
    hedged = [(one.number, len(_HEDGE.findall(one.text))) for one in talk.sentences]
    hedges = sum(count for _, count in hedged)
    words = sum(len(one.text.split()) for one in talk.sentences)
    if not speaks_of_themselves(talk):
        return CheckResult(False)
    if hedges > 1 and 100 * hedges / words > MAX_HEDGES:
        return CheckResult(False, tuple(number for number, count in hedged if count))
    return CheckResult(True)


def no_apology(talk: Transcribed) -> CheckResult:
    """Speaks of themselves, without an apology for it."""
    if not speaks_of_themselves(talk):
        return CheckResult(False)
    found = tuple(one.number for one in talk.sentences if _APOLOGY.search(one.text))
    return CheckResult(not found, found)


def speaks_of_themselves(talk: Transcribed) -> bool:
    """Whether "I" is said as often as in any self-introduction; not in a poem, a recipe or a talk on somebody else."""
    # What was said in one breath is one sentence, however often it says "I".
    own = sum(bool(_I.search(one.text)) for one in talk.sentences)
    return own >= MIN_OWN or sum(len(_SAYS_I.findall(one.text)) for one in talk.sentences) >= MIN_OWN


CHECKS: Final[Mapping[str, Callable[[Transcribed], CheckResult]]] = MappingProxyType(
    {
        "opens": opens,
        "pace": pace,
        "phrases": phrases,
        "finished": finished,
        "name": name,
        "direct": direct,
        "no_apology": no_apology,
    }
)


def _names(text: str) -> bool:
    return any(pattern.search(text) for pattern in _NAME)


def _breaks_off(text: str) -> bool:
    words = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())
    if not words or _GREETING.search(text):
        return False
    return len(words) <= 2 or words[-1] in _TRAILS_OFF or text.endswith(("…", "..."))
