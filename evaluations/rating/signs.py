"""Which sentences can show an item at all, by their words or their place; an item names its sign by the key in `SIGNS`.

A sign is necessary, never enough: whether such a sentence shows the item is asked of the model. What it says of an item
for which no sentence has the sign doesn't count, and it can quote no other sentence. So the lists are generous, and in
a language without one every sentence has the sign.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from evaluations.rating.evidence import Sentence
from evaluations.rating.instructions.forms import compiled_on_use

ENDING: Final = 3  # sentences: what is said after a closing one, such as "okay, that was it", is short


def _words(*parts: str) -> re.Pattern[str]:
    """Any of the words; each may be a pattern, several stand in a string, between blanks."""
    pattern = "|".join(part.replace(" ", "|") for part in parts).replace("_", " ")
    return compiled_on_use(rf"(?i)\b(?:{pattern})\b")


_LIKE_PAST: Final = (
    "need|indeed|feed|speed|seed|weed|breed|bleed|hundred|naked|sacred|exceed|proceed|succeed|bed|red|shed|ted|fred"
    "|bored|tired|interested|excited|scared|married|named|mixed"
)
_HAVE: Final = "(?:habe?|hast|haben|habt|hat|bin|bist|sind|ist)"
_PARTICIPLE: Final = r"(?:\w{0,6}ge\w{2,}(?:t|en)|\w{3,}iert|(?:be|ver|er|ent|emp|zer|über|unter|wieder)\w{3,}(?:t|en))"
_PAST: Final[Mapping[str, re.Pattern[str]]] = {
    "en": _words(
        # Irregular forms that are the present's, too (read, put, cut), show the past by a word of time.
        "was were had did went came took made got gave said told knew thought saw found won lost met ran began",
        "built bought brought caught taught led left felt kept held heard sold sent spent stood spoke wrote ate",
        "drank drove rode rose sang sat slept swam threw wore woke chose broke fell flew forgot grew hid shook",
        "shot showed stole stuck swept swore tore understood became fought drew dealt dreamt learnt lit hung paid",
        "rang fed froze overcame been done gone taken gotten given known seen spoken written eaten driven ridden",
        "sung worn chosen broken fallen flown forgotten grown hidden drawn stolen thrown swum risen shown proven",
        "wasn't weren't didn't hadn't could couldn't ago yesterday once last",
        # Regular ones; not "I am interested", and no word that merely ends like one.
        rf"(?<!am_)(?<!is_)(?<!are_)(?<!be_)(?<!'m_)(?<!'re_)(?<!'s_)(?!(?:{_LIKE_PAST})\b)[a-z]{{2,}}ed",
    ),
    "de": _words(
        "war waren warst hatte hatten wurde wurden konnte konnten musste mussten durfte durften wollte wollten",
        "ging gingen kam kamen half halfen fand fanden gab gaben nahm nahmen sah sahen sprach sprachen schrieb",
        "schrieben las lasen lief liefen fuhr fuhren blieb blieben hielt hielten stand standen gewann gewannen",
        "verlor verloren begann begannen bekam bekamen ließ liess ließen trug trugen traf trafen fiel fielen flog",
        "flogen schlief sang sangen schwamm aß trank brachte brachten dachte dachten wusste wussten kannte stieg",
        "zog zogen lud rief riefen warf verstand wuchs schnitt rannte entschied bat saß lag lagen schloss schlug",
        r"damals gestern früher neulich einmal letzte[snmr]? vor_\w+_\w+",
        rf"{_HAVE}\b.*\b{_PARTICIPLE} {_PARTICIPLE}_{_HAVE}",  # "dass ich geholfen habe"
        # Regular ones: "ich spielte", "und wir organisierten"; not "ich möchte".
        r"(?:ich|wir)_(?:\w+_)?(?!(?:möch|könn|hät|soll|müss|dürf|bräuch|heu|rech|gu|bes|ers)te)\w{3,}te[nt]?",
    ),
}
_REASON: Final[Mapping[str, re.Pattern[str]]] = {
    "en": _words(
        "because cause cuz since so as reason_(?:is|was|why|for|i) why therefore thus hence inspired?",
        r"inspires? when decided fascinat\w+ motivat\w+ realised realized knew",
        "due_to thanks_to in_order_to what_i_(?:like|love|enjoy)",
        "(?:makes?|made|gives?|gave|helps?|helped|lets?|taught|shows?|showed)_(?:me|us|you)",
    ),
    "de": _words(
        "weil denn da damit deshalb deswegen daher darum dadurch wegen grund gründe also so nämlich um dank durch",
        "seitdem seither als gemerkt entschieden entschloss beschlossen wusste gefällt macht_(?:mir|mich) daran",
        r"davon dabei faszini\w+ begeister\w+ interessier\w+",
    ),
}


# "I have played for six years", "since I was eight": how long something has lasted, and nothing that happened.
_LASTING: Final[Mapping[str, re.Pattern[str]]] = {
    "en": re.compile(
        r"(?:\b(?:have|has)|'ve|'s) (?:\w+ )?\w+ [^,;.]*\bfor (?:\w+ )?(?:\w+ )?(?:years?|months?|weeks?)\b"
        r"|(?:(?:\b(?:have|has)|'ve|'s) [^,;.]*)?\bsince (?:i|we) (?:was|were|am|are|started|began)\b[^,;.]*",
        re.IGNORECASE,
    ),
    "de": re.compile(r"\bseit(?:dem)? (?:ich|wir)\b[^,;.]*", re.IGNORECASE),
}


def past(sentences: Sequence[Sentence], language: str) -> frozenset[int]:
    """The numbers of those that tell of something that has happened."""
    lasting = _LASTING.get(language)
    told = [replace(one, text=lasting.sub(" ", _straight(one.text))) for one in sentences] if lasting else sentences
    return _with(_PAST, told, language)


def reason(sentences: Sequence[Sentence], language: str) -> frozenset[int]:
    """The numbers of those that join something to its reason."""
    return _with(_REASON, sentences, language)


def ending(sentences: Sequence[Sentence], language: str) -> frozenset[int]:
    """The numbers of the last ones."""
    return frozenset(one.number for one in sentences[-ENDING:])


def _with(words: Mapping[str, re.Pattern[str]], sentences: Sequence[Sentence], language: str) -> frozenset[int]:
    known = words.get(language)
    return frozenset(one.number for one in sentences if known is None or known.search(_straight(one.text)))


def _straight(text: str) -> str:
    """With the apostrophes of the lists."""
    return text.replace("\u2019", "'")


SIGNS: Final[Mapping[str, Callable[[Sequence[Sentence], str], frozenset[int]]]] = MappingProxyType(
    {function.__name__: function for function in (past, reason, ending)}
)
