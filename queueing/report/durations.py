"""Lengths of time as people type and read them."""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import pgettext_lazy

UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DAY = pgettext_lazy("unit", "d")
_HOUR = pgettext_lazy("unit", "h")
_MINUTE = pgettext_lazy("unit", "min")
_SECOND = pgettext_lazy("unit", "s")


def parse(text: str) -> float:
    """`90`, `90s`, `10m`, `2h` or `1d`, in seconds.

    Raises:
        ValueError: it is none of these, or no time at all.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip())
    seconds = float(found[1]) * UNITS[found[2]] if found else 0.0
    if not 0 < seconds <= 366 * UNITS["d"]:
        raise ValueError(f"{text!r} is no length of time; write 90s, 10m or 2h")
    return seconds


def spoken(seconds: float) -> str:
    """45 s, 3 min 20 s, 2 h 5 min, 3 d 4 h: as much as a person wants to know."""
    whole = max(0, round(seconds))
    for unit, word, below, below_word in (
        (86400, _DAY, 3600, _HOUR),
        (3600, _HOUR, 60, _MINUTE),
        (60, _MINUTE, 1, _SECOND),
    ):
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {word}" + (f" {rest} {below_word}" if rest else "")
    return f"{whole} {_SECOND}"
