"""How long a stage takes, by its last tries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.forecast.pace import MIN_SAMPLES, MIN_SAMPLES_FOR_SLOPE, Sample, learn

seconds = st.floats(0.01, 10_000)
samples = st.lists(st.builds(Sample, seconds, st.none() | st.floats(0.1, 3_600)), min_size=MIN_SAMPLES, max_size=40)


def test_two_tries_are_too_few() -> None:
    assert learn([Sample(10.0)] * (MIN_SAMPLES - 1)) is None
    assert learn([Sample(10.0)] * MIN_SAMPLES) is not None


def test_a_recording_twice_as_long_takes_longer_by_what_the_others_tell() -> None:
    pace = learn([Sample(5 + 0.1 * audio, audio) for audio in range(10, 10 + MIN_SAMPLES_FOR_SLOPE)])
    assert pace
    assert pace.of(60).mean == pytest.approx(11)
    assert pace.of(120).mean == pytest.approx(17)
    assert pace.of(60).spread == pytest.approx(0, abs=1e-6)


def test_one_that_hung_says_little_of_the_others() -> None:
    pace = learn([*[Sample(10.0)] * 9, Sample(1_800.0)])
    assert pace
    assert 10 < pace.of(None).mean < 13


@given(samples, st.floats(0.1, 3_600))
def test_nothing_takes_less_than_nothing_and_a_longer_one_no_less(found: list[Sample], audio: float) -> None:
    pace = learn(found)
    assert pace
    longest = max(sample.seconds for sample in found)
    assert 0 < pace.of(None).mean <= longest + 1e-6
    assert 0 <= pace.of(audio).mean <= pace.of(audio + 1).mean
    assert min(pace.of(audio).spread, pace.of(audio).doubt) >= 0
