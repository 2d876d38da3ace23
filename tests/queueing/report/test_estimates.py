"""The ranges as people read them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.forecast.published import Estimate
from queueing.report.estimates import spoken

MIN, H = 60, 3600


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0, 20, "less than a minute"),
        (40, 60, "less than a minute"),
        (40, 61, "less than 2 min"),
        (4 * MIN, 5.2 * MIN, "about 4–6 min"),
        (4 * MIN, 4 * MIN, "about 4 min"),
        (9.9 * MIN, 12 * MIN, "about 9–15 min"),
        (24 * MIN, 31 * MIN, "about 20–35 min"),
        (50 * MIN, 61 * MIN, "about ½–1½ h"),
        (62 * MIN, 80 * MIN, "about 1–1½ h"),
        (20 * MIN, 3 * H, "less than 3 h"),
        (2 * H, 2 * H, "about 2 h"),
        (12 * H, 20 * H, "more than 12 h"),
    ],
)
def test_a_range_in_words(low: float, high: float, text: str) -> None:
    assert spoken(Estimate(low, high)) == text


def test_what_is_not_known_is_being_estimated() -> None:
    assert spoken(None) == "estimating…"


def upper_end(text: str) -> float:
    """In seconds, as a reader understands it."""
    if text == "less than a minute":
        return MIN
    if text.startswith("more than"):
        return float("inf")
    found = re.search(r"([\d½]+) (min|h)$", text)
    assert found, text
    whole, half = found[1].rstrip("½") or "0", found[1].endswith("½") / 2
    return (int(whole) + half) * (MIN if found[2] == "min" else H)


ends = st.floats(0, 11 * H)


@given(ends, ends, st.floats(0, H), st.floats(0, H))
def test_the_words_hold_the_range_and_never_go_up_while_it_falls(
    one: float, other: float, less_low: float, less_high: float
) -> None:
    low, high = sorted((one, other))
    upper = upper_end(spoken(Estimate(low, high)))
    assert upper >= high
    later = max(high - less_high, 0)
    assert upper_end(spoken(Estimate(min(max(low - less_low, 0), later), later))) <= upper
