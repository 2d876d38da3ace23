"""Honest media: every container becomes samples and facts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluations.media.decode import decode
from tests.evaluations.media import corpus
from tests.evaluations.media.conftest import Clips
from tests.evaluations.media.reading import read_facts

RECIPES = pytest.mark.parametrize("recipe", corpus.RECIPES, ids=lambda recipe: recipe.name)


def loudest_frequency(samples: np.ndarray[tuple[int], np.dtype[np.float32]]) -> float:
    spectrum = np.abs(np.fft.rfft(samples))
    return float(np.argmax(spectrum) * 16_000 / len(samples))


@RECIPES
def test_every_container_decodes_to_the_tone_that_was_put_in(recipe: corpus.Recipe, clips: Clips) -> None:
    decoded = decode(clips[recipe.name], max_seconds=10)
    assert decoded.samples.dtype == np.float32
    assert decoded.samples.ndim == 1
    assert len(decoded.samples) == pytest.approx(2 * 16_000, abs=500)
    assert loudest_frequency(decoded.samples) == pytest.approx(corpus.TONE_HZ, abs=3)
    assert 0.1 < np.abs(decoded.samples).max() <= 1.0


@RECIPES
def test_the_facts_hold_container_duration_codecs_and_size(recipe: corpus.Recipe, clips: Clips) -> None:
    facts = read_facts(clips[recipe.name])
    assert facts.container == recipe.container
    assert facts.duration == pytest.approx(2.0, abs=0.05)
    assert (facts.video_codec is None) == (recipe.video is None)
    assert (facts.width, facts.height) == ((64, 48) if recipe.video else (None, None))
    assert not facts.damaged


def test_a_browser_recording_without_a_duration_has_the_duration_of_its_samples(tmp_path: Path) -> None:
    facts = read_facts(corpus.browser_recording(tmp_path / "recording.webm"))
    assert (facts.container, facts.video_codec) == ("webm", "vp8")
    assert facts.duration == pytest.approx(2.0, abs=0.05)


def test_of_two_channels_the_one_with_sound_is_heard_at_its_own_loudness(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    left_only = np.zeros((32_000, 2), np.int16)
    left_only[:, 0] = 16_000
    data = bytearray(corpus.wav(left_only.tobytes()))
    data[22:24] = b"\2\0"
    data[32:34] = b"\4\0"
    path.write_bytes(data)
    samples = decode(path, max_seconds=10).samples
    assert len(samples) == 32_000
    assert samples[1000:-1000].mean() == pytest.approx(16_000 / 32_768, rel=0.01)


def test_a_file_of_exactly_the_longest_length_is_accepted(clips: Clips) -> None:
    assert decode(clips["sound.m4a"], max_seconds=2).facts.duration == pytest.approx(2.0, abs=0.05)


def test_floating_point_samples_beyond_full_scale_or_undefined_come_back_within_it(tmp_path: Path) -> None:
    path = tmp_path / "wild.wav"
    wild = np.tile(np.array([np.nan, np.inf, -np.inf, 1e30, -7.0, 0.25], np.float32), 16_000 // 6 * 2)
    path.write_bytes(corpus.wav(wild.tobytes(), kind=3, bits=32))
    samples = decode(path, max_seconds=10).samples
    assert len(samples) == len(wild)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0


@pytest.mark.parametrize("side", [64, 5000])
def test_a_cover_picture_is_no_video_whatever_its_size(side: int, clips: Clips, tmp_path: Path) -> None:
    path = corpus.with_cover(tmp_path / "covered.mp3", clips["sound.mp3"].read_bytes(), side=side)
    facts = read_facts(path)
    assert (facts.container, facts.video_codec, facts.width) == ("mp3", None, None)
    assert facts.duration == pytest.approx(2.0, abs=0.05)


@RECIPES
def test_the_name_of_a_file_decides_nothing(recipe: corpus.Recipe, clips: Clips, tmp_path: Path) -> None:
    """S10: the container is known by its content."""
    for lie in {"wav", "mp3", "webm"} - {recipe.container}:
        path = tmp_path / f"renamed.{lie}"
        path.hardlink_to(clips[recipe.name])
        assert read_facts(path).container == recipe.container


def test_a_name_that_looks_like_an_option_is_a_name(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S20."""
    monkeypatch.chdir(tmp_path)
    names = ("-i", "--help", "-f lavfi", "concat:a|b", "http:", "fd:", "a\nb", "\u202egpj", "$(touch x)", "é" * 120)
    for name in names:
        Path(name).hardlink_to(clips["sound.wav"])
        assert read_facts(Path(name)).container == "wav"
    assert {path.name for path in tmp_path.iterdir()} == set(names)
