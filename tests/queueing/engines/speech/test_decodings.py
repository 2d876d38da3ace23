"""How often the model may decode a window, whatever it hears, and what a long file is cut into."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from queueing.engines.base import Samples
from queueing.engines.speech import models
from queueing.engines.speech.faster_whisper import load, sentences
from queueing.engines.speech.transcriber import Thrift, Transcriber, fitting
from queueing.engines.speech.voice import WINDOW, cut, windows
from tests.queueing.engines.speech.conftest import ClipRecording


class Doubtful:
    """The real model, but it doubts every word; counts the windows that it looks at and decodes."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.seen = self.decoded = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def encode(self, features: Any, **options: Any) -> Any:
        self.seen += features.shape[0]
        return self.model.encode(features, **options)

    def generate(self, encoded: Any, prompts: list[Any], **options: Any) -> list[Any]:
        self.decoded += len(prompts)
        return [
            SimpleNamespace(sequences_ids=one.sequences_ids, scores=[-1.2], no_speech_prob=0.0)
            for one in self.model.generate(encoded, prompts, **options)
        ]


@pytest.fixture(scope="module")
def transcriber() -> Transcriber:
    return load(str(models.find("tiny.en")), "cpu", 1, Thrift.NONE)


@pytest.fixture
def doubtful(transcriber: Any, monkeypatch: pytest.MonkeyPatch) -> Doubtful:
    counting = Doubtful(transcriber.model.model)
    monkeypatch.setattr(transcriber.model, "model", counting)
    return counting


@pytest.fixture
def speech(recordings: dict[str, ClipRecording]) -> Samples:
    return np.concatenate([recordings[file].samples for file in ("henry.wav", "anna.webm")])


@pytest.mark.slow
def test_a_window_of_a_short_file_is_decoded_twice_at_most(
    transcriber: Transcriber, doubtful: Doubtful, speech: Samples
) -> None:
    """F59"""
    list(transcriber.decode(speech[: WINDOW // 2], (), lambda seconds: None).segments)
    assert 0 < doubtful.seen < doubtful.decoded <= 2 * doubtful.seen


@pytest.mark.slow
def test_a_window_of_a_long_file_is_looked_at_and_decoded_twice_at_most(
    transcriber: Transcriber, doubtful: Doubtful, speech: Samples
) -> None:
    """F59"""
    list(transcriber.decode(speech, (), lambda seconds: None).segments)
    assert (len(windows(speech)), doubtful.decoded, doubtful.seen) == (2, 4, 4)


def test_a_window_is_cut_in_the_last_pause_that_it_has() -> None:
    second = WINDOW // 30
    assert list(cut([10 * second, 28 * second, 31 * second], 45 * second)) == [
        (0, 28 * second),
        (28 * second, 45 * second),
    ]


def test_without_a_pause_a_window_ends_where_it_must() -> None:
    assert list(cut([], 2 * WINDOW + 5)) == [(0, WINDOW), (WINDOW, 2 * WINDOW), (2 * WINDOW, 2 * WINDOW + 5)]


def test_a_window_falls_into_its_sentences() -> None:
    words = [
        {"word": text, "start": at, "end": at + 0.5} for at, text in enumerate([" Hi.", " I", " am", " Bo!", " And"])
    ]
    found = list(sentences({"start": 0.0, "end": 4.5, "text": "", "words": words, "avg_logprob": -0.2}))
    assert [(one["text"], one["start"], one["end"]) for one in found] == [
        (" Hi.", 0, 0.5),
        (" I am Bo!", 1, 3.5),
        (" And", 4, 4.5),
    ]
    assert {one["avg_logprob"] for one in found} == {-0.2}


def test_as_many_names_are_hinted_as_there_is_room_for() -> None:
    names = [f"Name{number:03}" for number in range(100)]
    prompt = fitting(names, lambda text: len(text.split()) * 4)
    assert prompt == ", ".join(names[:28])
    assert fitting([], len) is None
    assert fitting(["a" * 200], len) is None
