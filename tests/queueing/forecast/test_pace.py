"""How long a stage takes, by its last tries."""

from __future__ import annotations

from dataclasses import astuple, replace
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.forecast.pace import MIN_SAMPLES, MIN_SAMPLES_FOR_SLOPE, Pace, Sample, learn

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


def test_the_mean_of_few_tries_is_doubted_more_than_their_spread_alone_would_say() -> None:
    pace = learn([Sample(10.0), Sample(20.0), Sample(30.0)])
    assert pace
    assert astuple(pace.of(None)) == pytest.approx((20, 10, 10 / 3**0.5 * (1 + 2 / 3)))
    assert pace.of(60) == pace.of(None)  # how it grows with the recording is unknown


def test_one_counts_as_three_times_the_median_at_most() -> None:
    pace = learn([Sample(1_000.0), Sample(10.0), Sample(31.0), Sample(20.0), Sample(30.0)])
    assert pace
    assert pace.of(None).mean == pytest.approx((10 + 20 + 30 + 31 + 3 * 30) / 5)


def line_through(base: float, slope: float, number: int = MIN_SAMPLES_FOR_SLOPE) -> list[Sample]:
    """Of recordings from 10 s on, one second apart; every other one takes a second more, the others one less."""
    return [Sample(base + slope * (10 + n) + (1 if n % 4 in (0, 3) else -1), 10.0 + n) for n in range(number)]


def test_what_varies_around_the_line_is_less_than_what_varies() -> None:
    pace = learn(line_through(5, 2))
    assert pace
    assert (pace.base, pace.slope) == pytest.approx((5, 2))
    unknown = pace.of(None)
    assert astuple(pace.of(60)) == pytest.approx((125, 1, unknown.doubt))
    assert unknown.mean == pytest.approx(5 + 2 * 13.5)
    assert unknown.spread > 4


@pytest.mark.parametrize(
    "tries",
    [
        line_through(5, 2, MIN_SAMPLES_FOR_SLOPE - 1),
        [*line_through(5, 2, MIN_SAMPLES_FOR_SLOPE - 1), Sample(20.0)],
        [replace(each, audio=60.0) for each in line_through(5, 2)],
        line_through(50, -2),
        line_through(50, 0),
    ],
    ids=["too few", "too few of known length", "all of one length", "longer is quicker", "all alike"],
)
def test_no_line_is_drawn_where_none_shows(tries: list[Sample]) -> None:
    pace = learn(tries)
    assert pace
    assert pace == Pace(pace.plain)
    assert pace.of(600).mean == pytest.approx(fmean(each.seconds for each in tries))


def test_a_line_that_would_begin_below_nothing_begins_at_nothing() -> None:
    pace = learn(line_through(-10, 3))
    assert pace
    mean = 3 * 13.5 - 10
    assert (pace.base, pace.slope) == pytest.approx((0, mean / 13.5))
    assert pace.of(13.5).mean == pytest.approx(mean)
    assert pace.of(1).mean == pytest.approx(mean / 13.5)


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
