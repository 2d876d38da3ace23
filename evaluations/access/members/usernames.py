"""User names made from names: `Jürgen Groß` signs in as `juergen.gross`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Final

LONGEST: Final = 30  # signs; what is longer is a burden to type
NAMELESS: Final = "student"
"""For names in scripts that this module has no letters for."""

_LATIN: Final = {
    "ä": "ae",
    "ö": "oe",
    "ü": "ue",
    "ß": "ss",
    "æ": "ae",
    "œ": "oe",
    "ø": "o",
    "å": "a",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "þ": "th",
    "ı": "i",
    "ħ": "h",
    "ŋ": "ng",
    "ə": "e",
}
_CYRILLIC: Final = {  # as passports of Ukraine have it, with the letters that Russian has besides
    "а": "a",
    "б": "b",
    "в": "v",
    "г": "h",
    "ґ": "g",
    "д": "d",
    "е": "e",
    "є": "ie",
    "ж": "zh",
    "з": "z",
    "и": "y",
    "і": "i",
    "ї": "i",
    "й": "i",
    "к": "k",
    "л": "l",
    "м": "m",
    "н": "n",
    "о": "o",
    "п": "p",
    "р": "r",
    "с": "s",
    "т": "t",
    "у": "u",
    "ф": "f",
    "х": "kh",
    "ц": "ts",
    "ч": "ch",
    "ш": "sh",
    "щ": "shch",
    "ъ": "",
    "ы": "y",
    "ь": "",
    "э": "e",
    "ю": "iu",
    "я": "ia",
    "ё": "e",
}
_GREEK: Final = {
    "α": "a",
    "β": "v",
    "γ": "g",
    "δ": "d",
    "ε": "e",
    "ζ": "z",
    "η": "i",
    "θ": "th",
    "ι": "i",
    "κ": "k",
    "λ": "l",
    "μ": "m",
    "ν": "n",
    "ξ": "x",
    "ο": "o",
    "π": "p",
    "ρ": "r",
    "σ": "s",
    "ς": "s",
    "τ": "t",
    "υ": "y",
    "φ": "f",
    "χ": "ch",
    "ψ": "ps",
    "ω": "o",
}
_LETTERS: Final = str.maketrans({**_LATIN, **_CYRILLIC, **_GREEK})


def plain(text: str) -> str:
    """In small letters of ASCII, hyphens and blanks; other signs go."""
    # Composed first, so that "a" with two dots becomes "ae" and not "a".
    letters = unicodedata.normalize("NFC", text).lower().translate(_LETTERS)
    bare = unicodedata.normalize("NFKD", letters).translate(_LETTERS).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9 -]", "", bare)


def stem(first: str, last: str) -> str:
    """`first.last` of the first given name and the whole last name; no user name yet: somebody may have it."""
    given = (plain(first).split() or [""])[0].strip("-")
    family = re.sub(r"[ -]+", "-", plain(last)).strip("-")
    return ".".join(filter(None, (given, family)))[:LONGEST].strip(".-") or NAMELESS


def make(first: str, last: str, taken: Collection[str]) -> str:
    """A user name that is not in `taken` (user names in small letters): the stem, else with a number behind it."""
    wanted = stem(first, last)
    number, found = 1, wanted if wanted != NAMELESS else f"{NAMELESS}1"
    while found in taken:
        number += 1
        found = f"{wanted}{number}"
    return found
