"""H: the track and the channels in which somebody speaks are listened to, whatever else the file holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluations.media.audio import Chosen
from evaluations.media.decode import decode
from evaluations.media.tracks import choose
from queueing.engines.speech.voice import listen
from tests.evaluations.media import corpus
from tests.evaluations.media.corpus import Sound

CLIP = Path(__file__).resolve().parents[3] / "evaluations" / "demo" / "clips" / "grace.ogg"
SECONDS = 6
RATE = 16_000


@pytest.fixture(scope="module")
def speech() -> Sound:
    return decode(CLIP, max_seconds=600).samples[: SECONDS * RATE]


NOISE = (0.3 * np.random.default_rng(1).standard_normal(SECONDS * RATE)).astype(np.float32)
TONE = corpus.tone(SECONDS, RATE)
SILENCE = np.zeros(SECONDS * RATE, np.float32)


def chosen(path: Path, *tracks: list[Sound], preferred: int = 0) -> Chosen:
    return choose(corpus.with_tracks(path / "sound.mkv", tracks, preferred=preferred), 600)


def half(speech: Sound, *, first: float, second: float) -> Sound:
    middle = len(speech) // 2
    return np.concatenate([first * speech[:middle], second * speech[middle:]])


def test_a_channel_that_is_the_other_ones_opposite_does_not_cancel_it(speech: Sound, tmp_path: Path) -> None:
    path = corpus.with_tracks(tmp_path / "sound.mkv", [[speech, -speech]])
    heard = decode(path, max_seconds=600).samples
    assert np.corrcoef(np.abs(heard[: len(speech)]), np.abs(speech))[0, 1] > 0.99


def test_opposite_channels_in_which_nobody_speaks_are_not_cancelled_either(tmp_path: Path) -> None:
    assert chosen(tmp_path, [TONE, -TONE]).weights == (0.5, -0.5)


def test_channels_that_become_opposite_half_way_lose_nothing(speech: Sound, tmp_path: Path) -> None:
    choice = chosen(tmp_path, [speech, half(speech, first=1, second=-1)])
    assert choice.weights in ((1.0, 0.0), (0.0, 1.0))


@pytest.mark.parametrize("beside", ["noise", "silence", "tone"])
def test_the_channel_that_speaks_is_taken_alone(beside: str, speech: Sound, tmp_path: Path) -> None:
    other = {"noise": NOISE, "silence": SILENCE, "tone": TONE}[beside]
    assert chosen(tmp_path, [other, speech * 0.3]).weights == (0.0, 1.0)


def test_two_who_speak_in_turn_into_a_channel_each_are_both_heard(speech: Sound, tmp_path: Path) -> None:
    first, second = half(speech, first=1, second=0), half(speech, first=0, second=1)
    assert chosen(tmp_path, [first, second]).weights == (0.5, 0.5)


def test_the_same_in_both_channels_is_averaged(speech: Sound, tmp_path: Path) -> None:
    assert chosen(tmp_path, [speech, speech * 0.9]).weights == (0.5, 0.5)


def test_of_six_channels_the_one_with_the_voice_is_taken(speech: Sound, tmp_path: Path) -> None:
    around = [NOISE * 0.1, NOISE * 0.05, speech, SILENCE, NOISE * 0.1, TONE]
    assert chosen(tmp_path, around).weights == (0, 0, 1, 0, 0, 0)


@pytest.mark.parametrize("first", ["silence", "noise", "tone"])
def test_the_track_that_speaks_is_taken_though_another_one_comes_first(
    first: str, speech: Sound, tmp_path: Path
) -> None:
    other = {"noise": NOISE, "silence": SILENCE, "tone": TONE}[first]
    assert chosen(tmp_path, [other], [speech]).stream == 1
    assert chosen(tmp_path, [other], [speech], preferred=0).stream == 1


@pytest.mark.parametrize("preferred", [0, 1])
def test_of_two_tracks_that_speak_the_one_that_players_take_is_taken(
    preferred: int, speech: Sound, tmp_path: Path
) -> None:
    assert chosen(tmp_path, [speech], [speech * 0.8], preferred=preferred).stream == preferred


def test_of_tracks_without_a_voice_the_preferred_one_that_is_not_silent_is_taken(tmp_path: Path) -> None:
    assert chosen(tmp_path, [TONE], [NOISE], preferred=1).stream == 1
    assert chosen(tmp_path, [SILENCE], [TONE]).stream == 1
    assert chosen(tmp_path, [SILENCE], [SILENCE], preferred=1).stream == 1


def test_the_second_track_of_the_decoded_file_speaks(speech: Sound, tmp_path: Path) -> None:
    path = corpus.with_tracks(tmp_path / "sound.mkv", [[SILENCE, SILENCE], [SILENCE, speech]])
    assert listen(decode(path, max_seconds=600).samples).speech_seconds > 3
