from __future__ import annotations

import pytest

from queueing.report import durations


@pytest.mark.parametrize(
    ("text", "seconds", "spoken"),
    [
        ("90", 90, "1 min 30 s"),
        ("45s", 45, "45 s"),
        ("10m", 600, "10 min"),
        ("2h", 7200, "2 h"),
        ("1.5h", 5400, "1 h 30 min"),
    ],
)
def test_lengths_of_time_are_read_and_written(text: str, seconds: float, spoken: str) -> None:
    assert durations.parse(text) == seconds
    assert durations.spoken(seconds) == spoken


@pytest.mark.parametrize("text", ["", "0", "-5", "ten", "5 weeks", "10mm", "nan", "1e9", "400d"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no length of time"):
        durations.parse(text)
