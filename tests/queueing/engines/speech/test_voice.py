from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.engines.base import SAMPLE_RATE
from queueing.engines.speech.voice import Voice, stretches

RATE = SAMPLE_RATE


def seconds(*pairs: tuple[float, float]) -> list[tuple[int, int]]:
    return [(round(begin * RATE), round(end * RATE)) for begin, end in pairs]


def test_a_short_pause_stays_in_and_a_long_one_is_cut_out() -> None:
    found = stretches(seconds((1, 2), (3.5, 5), (9, 10)), 20 * RATE)
    assert found == seconds((0.6, 5.4), (8.6, 10.4))


def test_padding_stays_within_the_audio() -> None:
    assert stretches(seconds((0.1, 4.9)), 5 * RATE) == seconds((0, 5))


def test_silence_has_no_stretches() -> None:
    assert stretches([], 5 * RATE) == []


@pytest.mark.parametrize(("joined", "whole"), [(0.0, 1.0), (0.5, 1.5), (1.5, 6.5), (4.0, 9.0)])
def test_times_in_the_joined_audio_are_found_in_the_whole(joined: float, whole: float) -> None:
    voice = Voice(tuple(seconds((1, 2), (6, 9))), 4.0)
    assert voice.original(joined, within=joined) == pytest.approx(whole)


def test_a_word_that_ends_with_its_stretch_does_not_jump_over_the_pause() -> None:
    voice = Voice(tuple(seconds((1, 2), (6, 9))), 4.0)
    assert voice.original(1.0, within=0.8) == pytest.approx(2.0)
    assert voice.original(1.0, within=1.2) == pytest.approx(6.0)


gaps_and_lengths = st.lists(st.tuples(st.integers(1, 60_000), st.integers(4_000, 60_000)), min_size=1, max_size=12)


@given(gaps_and_lengths)
def test_what_is_cut_comes_back_to_where_it_was(pieces: list[tuple[int, int]]) -> None:
    speech, clock = [], 0
    for gap, length in pieces:
        speech.append((clock + gap, clock + gap + length))
        clock += gap + length
    voice = Voice(tuple(stretches(speech, clock)), 0.0)
    samples = np.arange(clock, dtype=np.float32)
    joined = voice.cut(samples)
    for place in np.linspace(0, len(joined) - 1, 50).astype(int):
        time = place / RATE
        assert voice.original(time, within=time) * RATE == pytest.approx(joined[place], abs=1.5)
