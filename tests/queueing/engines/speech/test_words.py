"""What is heard: the demo class word by word, the two engines against each other, with names to listen for."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from threading import Event

import jiwer
import numpy as np
import pytest

from queueing.engines.base import SAMPLE_RATE
from queueing.engines.speech.faster_whisper import FasterWhisper
from queueing.engines.speech.hosted import HostedSpeech
from tests.queueing.engines.speech.conftest import DEMO, ClipRecording, Heard, hear

pytestmark = pytest.mark.slow
STUDENTS = {entry["file"]: entry["student"] for entry in json.loads((DEMO / "scripts.json").read_text())}
# The same is asked of all of the demo class, through a worker, in tests/processes/test_demo_class.py.
HEARD = ("clara.webm", "ben.mp4", "henry.wav")


def plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9 ]", "", text.lower().replace("-", " ")).split())


@pytest.mark.parametrize("file", HEARD)
def test_at_most_a_tenth_of_a_demo_clips_words_is_wrong(
    file: str, heard: Heard, recordings: dict[str, ClipRecording]
) -> None:
    said = heard["faster-whisper", file]
    assert jiwer.wer(plain(recordings[file].words), plain(said.text)) <= 0.10
    assert said.language == "en"


# It takes ten times as long; the benchmark of the engines hears all.
@pytest.mark.parametrize("file", ["henry.wav", "clara.webm"])
def test_openai_whisper_hears_the_same_words_at_the_same_times(file: str, heard: Heard) -> None:
    one, other = heard["faster-whisper", file], heard["openai-whisper", file]
    assert plain(other.text) == plain(one.text)
    starts = [
        np.array([word.start for segment in speech.segments for word in segment.words]) for speech in (one, other)
    ]
    assert np.median(np.abs(starts[0] - starts[1])) <= 0.1
    assert other.speech_seconds == one.speech_seconds


def test_the_larger_model_detects_the_language(
    engines: dict[str, HostedSpeech], recordings: dict[str, ClipRecording]
) -> None:
    larger = FasterWhisper("base", cache=engines["faster-whisper"].cache)
    try:
        heard = hear(larger, recordings["clara.webm"].samples)
    finally:
        larger.unload()
    assert (heard.language, heard.language_probability > 0.9) == ("en", True)
    assert jiwer.wer(plain(recordings["clara.webm"].words), plain(heard.text)) <= 0.10


def test_a_pause_stays_where_it_was(engines: dict[str, HostedSpeech], recordings: dict[str, ClipRecording]) -> None:
    sentence = recordings["henry.wav"].samples
    pause = np.zeros(30 * SAMPLE_RATE, np.float32)
    heard = hear(engines["faster-whisper"], np.concatenate([sentence, pause, sentence]))
    inside = (len(sentence) / SAMPLE_RATE, len(sentence) / SAMPLE_RATE + 30)
    words = [word for segment in heard.segments for word in segment.words]
    assert not [word for word in words if inside[0] + 0.5 < word.start < inside[1] - 0.1]
    assert sum(word.start > inside[1] - 0.1 for word in words) > 15


def test_a_long_file_is_heard_as_well_as_its_parts_and_in_its_order(
    engines: dict[str, HostedSpeech], recordings: dict[str, ClipRecording]
) -> None:
    """Its windows are cut at pauses, and no word of a voice is lost between two."""
    parts = [recordings[file] for file in ("henry.wav", "anna.webm", "frank.mp3")]
    seen: list[float] = []
    engine = engines["faster-whisper"]
    engine.load()
    heard = engine.transcribe(
        np.concatenate([part.samples for part in parts]), progress=lambda done, total: seen.append(done), stop=Event()
    )
    assert jiwer.wer(plain(" ".join(part.words for part in parts)), plain(heard.text)) <= 0.05
    words = [word for segment in heard.segments for word in segment.words]
    assert all(before.end <= after.start for before, after in pairwise(words))
    assert all(" ".join(word.text for word in segment.words) == segment.text for segment in heard.segments)
    assert max(segment.end - segment.start for segment in heard.segments) < 15  # sentences, not windows
    assert any(0 < done < heard.duration / 2 for done in seen)


def test_a_name_is_recognised_better_as_a_hint(
    engines: dict[str, HostedSpeech], recordings: dict[str, ClipRecording]
) -> None:
    """In the noise of a room; the words beside them get no worse."""
    found, wrong = [0, 0], [0.0, 0.0]
    for file in ("emma.m4a", "frank.mp3", "grace.ogg"):
        noise = np.random.default_rng(1).standard_normal(len(recordings[file].samples)).astype(np.float32)
        own = STUDENTS[file]
        for hinted, hints in enumerate(((), (own,))):
            text = plain(hear(engines["faster-whisper"], recordings[file].samples + 0.02 * noise, hints).text)
            found[hinted] += sum(part in text.split() for part in plain(own).split())
            wrong[hinted] += jiwer.wer(plain(recordings[file].words), text) / 3
    assert found[1] > found[0]
    assert wrong[1] <= wrong[0] + 0.01


@pytest.mark.parametrize("file", HEARD)
def test_a_hinted_name_changes_nothing_in_what_is_recognised_well(
    file: str, engines: dict[str, HostedSpeech], recordings: dict[str, ClipRecording], heard: Heard
) -> None:
    hinted = hear(engines["faster-whisper"], recordings[file].samples, [STUDENTS[file]])
    assert plain(hinted.text) == plain(heard["faster-whisper", file].text)
