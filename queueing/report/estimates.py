"""An estimate as text for people. Whole phrases, so that each can be translated."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor
from typing import Final

from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _

from queueing.forecast.published import Estimate

UNKNOWN: Final = _("estimating…")
MOMENT: Final = _("less than a minute")
UP_TO_MINUTES: Final = _("less than {high} min")
MINUTES: Final = _("about {low}–{high} min")
EXACT_MINUTES: Final = _("about {high} min")
UP_TO_HOURS: Final = _("less than {high} h")
HOURS: Final = _("about {low}–{high} h")
EXACT_HOURS: Final = _("about {high} h")
LONG: Final = _("more than {low} h")

MINUTE, HOUR = 60, 3600
FINE_MINUTES: Final = 10  # up to here each minute counts, beyond it every five
LONG_HOURS: Final = 12  # beyond it nobody wants to know exactly


def spoken(estimate: Estimate | None) -> str:
    """The range, its ends rounded away from each other; None: not known yet."""
    if estimate is None:
        return gettext(UNKNOWN)
    if estimate.high_seconds <= MINUTE:
        return gettext(MOMENT)
    if estimate.low_seconds >= LONG_HOURS * HOUR:
        return gettext(LONG).format(low=LONG_HOURS)
    if (high := _minutes(estimate.high_seconds, ceil)) <= HOUR / MINUTE:
        return _phrase(_minutes(estimate.low_seconds, floor), high, UP_TO_MINUTES, EXACT_MINUTES, MINUTES)
    low, high = floor(estimate.low_seconds / HOUR * 2), ceil(estimate.high_seconds / HOUR * 2)
    return _phrase(low / 2, high / 2, UP_TO_HOURS, EXACT_HOURS, HOURS)


def _minutes(seconds: float, rounded: Callable[[float], int]) -> int:
    minutes = seconds / MINUTE
    step = 1 if minutes <= FINE_MINUTES else 5
    return rounded(minutes / step) * step


def _phrase(low: float, high: float, up_to: str, exact: str, between: str) -> str:
    if not low:
        return gettext(up_to).format(high=_half(high))
    return gettext(exact if low == high else between).format(low=_half(low), high=_half(high))


def _half(number: float) -> str:
    """1½ for 1.5."""
    whole, half = divmod(number, 1)
    return f"{int(whole) or ''}½" if half else f"{int(whole)}"
