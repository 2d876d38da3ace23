"""The words by which `guard` knows what is declined and what is not shown, as regular expressions. Data only.

They are for text in small letters with one blank between words, English and German.
"""

from __future__ import annotations

import re
from typing import Final

from evaluations.rating.instructions.forms import compiled_on_use

BETWEEN_WORDS: Final = 4  # between two parts of what may not be shown, at most


def _any(*patterns: str) -> re.Pattern[str]:
    return compiled_on_use("|".join(patterns))


_NUMBER: Final = (
    r"(?:\d+(?:[.,]\d+)?|one|two|three|four|five|six|seven|eight|nine|ten|zero|full|perfect|maximum|highest|"
    r"eins?|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|null|volle?|höchste?)"
)
_RESULT: Final = (
    r"(?:scores?|grades?|marks?|ratings?|(?:deine|meine|die|eine|als|schul)\W?note|noten|punktzahl|bewertung|wertung)"
)
_FEW: Final = rf"(?:\W+\w+){{0,{BETWEEN_WORDS}}}?\W+"
_I: Final = r"(?:i|ich)"
_CHANGED: Final = (
    r"(?:changed?|raised?|set|updated?|corrected?|moved?|increased?|adjusted?|geändert|erhöht|gesetzt|korrigiert|"
    r"angehoben|angepasst|eingetragen)"
)
# Each is parts with few words between them.
_CHAINS: Final = ((_RESULT, _NUMBER), (_NUMBER, _RESULT), (_I, _CHANGED, _RESULT), (_RESULT, _CHANGED))
SCORE: Final = _any(
    *(rf"\b{_FEW.join(parts)}\b" for parts in _CHAINS),
    rf"\b{_NUMBER}\W*(?:/|\bout of\b|\bvon\b|\bof\b)\W*(?:10|100|ten|hundred|zehn|hundert)\b",
    rf"\b{_NUMBER}\W+(?:points?|punkten?)\b",
    r"\b\d+(?:[.,]\d+)?\W*(?:%|percent\b|prozent\b)",
    rf"\b{_RESULT}\b{_FEW}(?:an a|a[+-]|[b-f][+-]?)(?!\w)",
    r"\bnote:? [1-6](?=\W*(?:$|[,.;!(]))",
)
PERSON: Final = _any(
    r"\bi(?:'m| am)(?: really| actually| in fact)? (?:an? )?(?:human|person|real|teacher|man|woman|student)\b",
    r"\bich bin (?:eine? )?(?:echter? |wirkliche[rs]? )?"
    r"(?:mensch|person|lehrer|lehrerin|mann|frau|schüler|schülerin)\b",
    r"\bnot a(?:n ai| program| machine| computer| robot)\b",
    r"\bkein(?:e)? (?:ki|programm|maschine|computer|roboter)\b",
)
# At the end of a text: what the words to come can make one of the above, or a telephone number, of.
BEGINS: Final = _any(
    *(
        rf"\b{_FEW.join(parts[:count])}(?:\W+\w+){{0,{BETWEEN_WORDS + 1}}}\W*$"
        for parts in _CHAINS
        for count in range(1, len(parts))
    ),
    r"\b(?:not(?: an?)?|keine?)\W*$",
)
SPELT: Final = re.compile(r"(?:(?<!\w)\w\W+)+$")  # letters at the end of a text
MARK: Final = _any(
    r"\b(?=[a-f]*\d)[0-9a-f]{8}\b",  # of `instructions.fence`
    r"<\|\w+\|>|\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>|</s>",  # what parts the turns of a conversation
)
ADDRESS: Final = _any(
    r"https?:", r"\bwww\b", r"\S@\S", r"\w\.(?:com|org|net|info|io|tv|de|eu|co|uk|app)\b", r"\d(?:[ /-]?\d){6}"
)
ASKS_FOR_A_SCORE: Final = _any(
    rf"\b(?:what|which|tell|show|say|give|welche\w*|sag|zeig|gib)\b(?:\W+\w+){{0,3}}?\W+{_RESULT}\b",
    rf"\b(?:change|raise|set|änder\w*|erhöh\w*|setz\w*)\b(?:\W+\w+){{0,2}}?\W+{_RESULT}\b",
)
PROGRAM: Final = _any(
    r"\bdef \w+\(", r"\bimport \w+ ", r"#include", r"\bfunction \w*\(", r"\bselect \S+ from\b", r"</\w+>"
)
ASKS_FOR_A_ROLE: Final = _any(
    r"\byou(?:'re| are) (?:now|from now on)\b",
    r"\b(?:from now on|from this moment|starting now),? you(?:'re| are)\b",
    r"\bpretend (?:that )?(?:you|to be (?:an?|my|the)\b)",
    r"\b(?:act|speak|talk|answer|reply) as (?:if you (?:were|are)|my|an? \w+ who)\b",
    r"\bbe my (?:friend|girlfriend|boyfriend|grandmother|mother|father|teacher)\b",
    r"\btu (?:bitte )?so,? als (?:wärst|wärest|seist|ob) (?:du|sie)\b",
    r"\b(?:ab jetzt|von nun an|ab sofort) (?:bist|spielst) du\b|\bdu bist (?:jetzt|nun|ab jetzt|ab sofort)\b",
    r"\bspiel\w* (?:jetzt |bitte )?(?:einen?|meine?n?) ",
    r"\bstell dir vor,? du (?:bist|wärst|füllst)\b",
)
ASKS_FOR_ELSE: Final = _any(
    r"(?<!\bi )\b(?:write|compose|create|generate|draft|make|code)\b(?: \w+){0,4} "
    r"(?:poems?|songs?|raps?|lyrics|essays?|recipes?|python|javascript|html|sql|programs?|functions?|code)\b",
    r"\b(?:tell|give) me (?:an?|another|one)(?: \w+)? (?:joke|riddle|recipe|story about)\b",
    r"\b(?:solve|calculate|compute|work out)\b.*\d|\bwhat(?:'s| is) \d+ ?[-+*/x]",
    r"\b(?:do|need it for|finish|answer) my (?:\w+ )?homework\b|\bcapital of\b|\b(?:weather|lottery|stock price)\b",
    r"\bwho (?:won|invented|discovered|wrote|is the president)\b",
    r"(?<!\bich )\b(?:schreib\w*|dichte|verfass\w*|erfinde|programmier\w*|mach)\b(?: \w+){0,4} "
    r"(?:gedicht\w*|lied|rap|aufsatz|rezept|python|programm|funktion|code)\b",
    r"\b(?:erzähl\w*|sag) mir (?:bitte |mal )*(?:einen witz|ein rätsel|eine geschichte)\b",
    r"\b(?:löse|berechne|rechne)\b.*\d|\bwas ist \d+ ?(?:[-+*/x]|mal|plus|minus)",
    r"\bmeine \w*hausaufgaben? (?:machen|lösen)\b|\bhauptstadt von\b|\bwetter\b",
    r"\bwer (?:hat|ist|war|gewann)\b.*"
    r"\b(?:gewonnen|erfunden|entdeckt|geschrieben|präsident\w*|weltmeister|kanzler\w*)\b",
)
# Names that are words, too: such a one is a name only where it is written as one within a sentence.
WORDS_TOO: Final = frozenset(
    [
        "will", "mark", "grace", "hope", "rose", "may", "june", "art", "bill", "frank", "joy", "faith", "dawn", "eve",
        "amber", "ruby", "heather", "ivy", "pat", "rich", "sue", "guy", "drew", "chase", "hunter", "king", "young",
        "long", "short", "white", "black", "brown", "green", "gray", "grey", "rice", "day", "stone", "wood", "hill",
        "brook", "field", "max", "ernst", "gross", "klein", "lang", "kurz", "jung", "weiss", "schwarz", "braun", "koch",
        "fischer", "bauer", "lehrer", "lehrerin", "mut", "wolf", "teacher", "student", "admin", "root", "pupil", "user",
        "test", "coach", "demo",
    ]
)  # fmt: skip
