"""What is heard: the demo class word by word, the two engines against each other, and nothing where nobody speaks."""

from __future__ import annotations

import re
from collections.abc import Callable

import jiwer
import numpy as np
import numpy.typing as npt
import pytest

from queueing.engines.base import SAMPLE_RATE, Samples
from queueing.engines.speech.faster_whisper import FasterWhisper
from queueing.engines.speech.hosted import HostedSpeech
from tests.queueing.engines.speech.conftest import SCRIPTS, Heard, Recording, hear

pytestmark = pytest.mark.slow
SECONDS = np.arange(20 * SAMPLE_RATE) / SAMPLE_RATE


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9 ]", "", text.lower().replace("-", " ")).split())


@pytest.mark.parametrize("file", SCRIPTS)
def test_at_most_a_tenth_of_a_demo_clips_words_is_wrong(
    file: str, heard: Heard, recordings: dict[str, Recording]
) -> None:
    said = heard["faster-whisper", file]
    assert jiwer.wer(plain(recordings[file].words), plain(said.text)) <= 0.10
    assert said.language == "en"


@pytest.mark.parametrize("file", SCRIPTS)
def test_openai_whisper_hears_the_same_words_at_the_same_times(file: str, heard: Heard) -> None:
    one, other = heard["faster-whisper", file], heard["openai-whisper", file]
    assert plain(other.text) == plain(one.text)
    starts = [
        np.array([word.start for segment in speech.segments for word in segment.words]) for speech in (one, other)
    ]
    assert np.median(np.abs(starts[0] - starts[1])) <= 0.1
    assert other.speech_seconds == one.speech_seconds


def test_the_larger_model_detects_the_language(
    engines: dict[str, HostedSpeech], recordings: dict[str, Recording]
) -> None:
    larger = FasterWhisper("base", cache=engines["faster-whisper"].cache)
    try:
        heard = hear(larger, recordings["clara.webm"].samples)
    finally:
        larger.unload()
    assert (heard.language, heard.language_probability > 0.9) == ("en", True)
    assert jiwer.wer(plain(recordings["clara.webm"].words), plain(heard.text)) <= 0.10


def white() -> Samples:
    return np.random.default_rng(1).standard_normal(len(SECONDS), dtype=np.float32) * np.float32(0.1)


def brown() -> Samples:
    walk: npt.NDArray[np.float64] = np.cumsum(np.random.default_rng(2).standard_normal(len(SECONDS)))
    return (walk / float(np.abs(walk).max())).astype(np.float32)


def hum() -> Samples:
    return (0.3 * np.sin(2 * np.pi * 50 * SECONDS) + 0.1 * np.sin(2 * np.pi * 150 * SECONDS)).astype(np.float32)


def melody() -> Samples:
    pitch = 220 * 2 ** (np.array([0, 4, 7, 12, 7, 4])[(SECONDS * 3).astype(int) % 6] / 12)
    wave: npt.NDArray[np.float64] = 0.3 * np.sin(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
    return wave.astype(np.float32)


@pytest.mark.parametrize("sound", [white, brown, hum, melody])
def test_no_words_are_made_up_where_nobody_speaks(
    sound: Callable[[], Samples], engines: dict[str, HostedSpeech]
) -> None:
    assert hear(engines["faster-whisper"], sound()).text == ""


def test_a_pause_stays_where_it_was(engines: dict[str, HostedSpeech], recordings: dict[str, Recording]) -> None:
    sentence = recordings["henry.wav"].samples
    pause = np.zeros(30 * SAMPLE_RATE, np.float32)
    heard = hear(engines["faster-whisper"], np.concatenate([sentence, pause, sentence]))
    inside = (len(sentence) / SAMPLE_RATE, len(sentence) / SAMPLE_RATE + 30)
    words = [word for segment in heard.segments for word in segment.words]
    assert not [word for word in words if inside[0] + 0.5 < word.start < inside[1] - 0.1]
    assert sum(word.start > inside[1] - 0.1 for word in words) > 15
