"""Codes that are typed from paper or from the board: no sign looks like another one, and slips are noticed.

A code is random signs and one that is computed from them, modulo the size of the alphabet, which is prime: any one
wrong sign, and any two neighbours in the wrong order, make it no code at all. So a slip is told from a guess without a
look at the database, and costs nobody a try.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # no 0, 1, I, L, O; 31 signs
GROUP: Final = 3

_IGNORED: Final = re.compile(r"[\s\-–—.]+")


def make(length: int) -> str:
    """A code of `length` signs, log2(31) = 4.95 bits each but the last one, which is computed; without hyphens."""
    body = "".join(secrets.choice(ALPHABET) for _ in range(length - 1))
    return body + _check_sign(body)


def shown(code: str) -> str:
    """`ABC-DEF-GHJ`, as it is printed."""
    return "-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP))


def read(typed: str, length: int) -> str | None:
    """The code that somebody typed, in any case, with or without hyphens and blanks; None: it is none, a slip."""
    code = _IGNORED.sub("", typed[:100]).upper()
    if len(code) != length or set(code) - set(ALPHABET) or _check_sign(code[:-1]) != code[-1]:
        return None
    return code


def _check_sign(body: str) -> str:
    # Weights … 4, 3, 2, and 1 for the sign that brings the sum to 0: neighbours differ, none is 0 modulo 31.
    weighted = sum(weight * ALPHABET.index(sign) for weight, sign in enumerate(reversed(body), 2))
    return ALPHABET[-weighted % len(ALPHABET)]
