"""F57: where nobody speaks no word is heard, whatever else there is to hear."""

from __future__ import annotations

import numpy as np
import pytest

from queueing.engines.base import SAMPLE_RATE
from queueing.engines.speech.hosted import HostedSpeech
from queueing.engines.speech.voice import listen
from tests.queueing.engines.speech.conftest import ClipRecording, hear
from tests.queueing.engines.speech.sounds import SOUNDS, record

HINTS = ("Anna Miller", "Ben Carter", "Clara Wilson", "Daniel Cooper", "Emma Taylor", "Frank Harris", "Grace Parker")


def test_the_set_is_large_enough() -> None:
    assert len(SOUNDS) >= 40


@pytest.mark.slow
def test_no_word_is_heard_in_any_sound(engines: dict[str, HostedSpeech]) -> None:
    """F57: the whole set, 10 s of each."""
    heard = {name: hear(engines["faster-whisper"], record(name, 10)).text for name in SOUNDS}
    assert {name: text for name, text in heard.items() if text} == {}


@pytest.mark.slow
def test_names_to_listen_for_are_no_words_to_make_up(engines: dict[str, HostedSpeech]) -> None:
    """F57: with those sounds that have something of a voice, for no other reaches the model."""
    voices = {name: sound for name in SOUNDS if listen(sound := record(name, 10)).stretches}
    assert len(voices) >= 3
    heard = {name: hear(engines["faster-whisper"], sound, HINTS).text for name, sound in voices.items()}
    assert {name: text for name, text in heard.items() if text} == {}


@pytest.mark.slow
def test_no_word_is_heard_in_a_minute_of_silence_and_noise(engines: dict[str, HostedSpeech]) -> None:
    """F57: at the length that the fault was found with."""
    for name in ("silence", "white noise at 0.2", "pink noise at 0.2", "brown noise at 0.9", "hum of 50 Hz at 0.5"):
        assert hear(engines["faster-whisper"], record(name, 60)).text == ""


@pytest.mark.slow
def test_a_sound_with_a_voice_in_it_is_no_silence(recordings: dict[str, ClipRecording]) -> None:
    """What lets no noise through must let a student through who sits beside it."""
    voice = recordings["henry.wav"].samples
    for name in ("pink noise at 0.02", "hum of 50 Hz at 0.05", "a slow clock", "a fan"):
        beside = voice + np.float32(0.05) * record(name, len(voice) / SAMPLE_RATE)[: len(voice)]
        assert listen(beside).speech_seconds > 0.8 * listen(voice).speech_seconds
