"""The child's side of a Whisper engine: the way from samples to a `Speech`, but for the model itself."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from queueing.engines.base import SAMPLE_RATE, Progress, Samples, Segment, Speech, Word
from queueing.engines.speech.plausible import LOOP_RATIO, SILENCE_PROBABILITY, believable, compression_ratio
from queueing.engines.speech.voice import Voice, listen
from queueing.exceptions import Infrastructure, OutOfMemory, StageError

# Over the eight demo clips with white noise added, one beam got 12.9 % of the words wrong and five 9.1 %, for
# 7 % more CPU; without the noise both got 1 % wrong, five beams for 32 % more CPU.
BEAMS = 5
OUT_OF_MEMORY = ("out of memory", "failed to allocate", "can't allocate", "alloc_failed")
TEMPERATURES = (0.0, 0.2)  # two decodings of a window at most; Whisper's own six can take minutes over noise


# Of names in a prompt: half of its 224. Over the eight demo clips in the noise of a room (tiny.en, three
# times, 0.02 of full scale) 38 of 48 names were heard without, 47 with the class, and 6.1 and 5.0 % of the words wrong;
# without noise both got 0.7 % wrong and every name right.
HINT_TOKENS = 112


class Thrift(IntEnum):
    """How sparing of memory a model is. It grows when memory runs out, and lasts until the phase ends."""

    NONE = 0
    SMALLER_BATCH = 1  # half as many windows at once, which only a long file has
    MINIMUM = 2  # the next lighter precision that the device can do, one window, one beam


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What the loaded model reports about itself."""

    device: str  # "cpu", "cuda:0"
    precision: str  # of the arithmetic: "int8", "float16", "float32", …
    windows: int = 1  # of 30 s that are decoded at once, where a file has so many

    def __str__(self) -> str:
        return f"{self.precision}, {self.windows} window{'s' if self.windows > 1 else ''} at once"


@dataclass(frozen=True, slots=True)
class Decoding:
    language: str
    language_probability: float
    segments: Iterable[Heard]  # may be decoded as it is read


Heard = Mapping[str, Any]
"""A segment as both libraries describe it: start, end, text, words, avg_logprob, no_speech_prob, and compression_ratio,
which is that of the window it was decoded in."""


class Transcriber(ABC):
    """A loaded Whisper model."""

    facts: DeviceFacts
    only_language: str | None  # None: it detects the language

    def __init__(self, thrift: Thrift = Thrift.NONE) -> None:
        self.beams = 1 if thrift == Thrift.MINIMUM else BEAMS

    def transcribe(self, samples: Samples, hints: Sequence[str] = (), *, progress: Progress) -> Speech:
        """See `SpeechEngine.transcribe`; silence never reaches the model."""
        duration = len(samples) / SAMPLE_RATE
        voice = listen(samples)
        if not voice.stretches:
            progress(duration, duration)
            return Speech(self.only_language or "en", float(self.only_language is not None), duration, 0.0, ())
        progress(0.0, duration)
        steps = _Steps(voice, duration, progress)
        with device_errors():
            decoding = self.decode(voice.cut(samples), hints, steps)
            kept = believable(_segments(decoding.segments, steps))
            segments = tuple(_in_place(voice, duration, kept))
        progress(duration, duration)
        return Speech(decoding.language, decoding.language_probability, duration, voice.speech_seconds, segments)

    @abstractmethod
    def decode(self, samples: Samples, hints: Sequence[str], done: Callable[[float], None]) -> Decoding:
        """Run the model over speech; call `done(seconds)` on the way if it is not seen from the segments."""

    def options(self) -> dict[str, Any]:
        """The options of both libraries, by the names that they share."""
        return {
            "beam_size": self.beams,
            "best_of": self.beams,
            "temperature": TEMPERATURES,
            "compression_ratio_threshold": LOOP_RATIO,
            "no_speech_threshold": SILENCE_PROBABILITY,
            "condition_on_previous_text": False,
            "word_timestamps": True,
        }


def fitting(hints: Sequence[str], tokens: Callable[[str], int]) -> str | None:
    """As many of the hints, from the first, as there is room for in a prompt; None when there are none."""
    text = ""
    for hint in hints:
        longer = f"{text}, {hint}" if text else hint
        if tokens(longer) > HINT_TOKENS:
            break
        text = longer
    return text or None


class _Steps:
    """Seconds of the joined audio in, progress over the whole audio out, never falling."""

    def __init__(self, voice: Voice, duration: float, progress: Progress) -> None:
        self.voice, self.duration, self.progress, self.furthest = voice, duration, progress, 0.0

    def __call__(self, seconds: float) -> None:
        self.furthest = max(self.furthest, min(self.voice.original(seconds, within=seconds), self.duration))
        self.progress(self.furthest, self.duration)


def _segments(heard: Iterable[Heard], steps: _Steps) -> Iterator[tuple[Segment, float]]:
    """Each with the compression ratio of its window."""
    for one in heard:
        yield _segment(one), float(one["compression_ratio"])
        steps(float(one["end"]))


def _segment(heard: Heard) -> Segment:
    words = [
        Word(float(word["start"]), float(word["end"]), word["word"].strip(), float(word["probability"]))
        for word in heard["words"] or ()
    ]
    text = heard["text"].strip()
    return Segment(
        float(heard["start"]),
        float(heard["end"]),
        text,
        tuple(word for word in words if word.text),
        float(heard["avg_logprob"]),
        float(heard["no_speech_prob"]),
        compression_ratio(text),
    )


def _in_place(voice: Voice, duration: float, segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments with their times in the whole audio, each word at or after the end of the one before it."""
    clock = 0.0
    for segment in segments:
        words: list[Word] = []
        for word in segment.words:
            middle = (word.start + word.end) / 2
            start, end = (min(voice.original(time, within=middle), duration) for time in (word.start, word.end))
            start = max(start, clock)
            clock = max(start, end)
            words.append(replace(word, start=start, end=clock))
        if words:
            yield replace(segment, start=words[0].start, end=words[-1].end, words=tuple(words))


def default_threads() -> int:
    """One less than the CPU cores that this process may use.

    Threads that wait for each other at every layer crawl when one of them has to share its core. On 2 cores, 60 s of
    speech took 2.8 s with one thread and 3.2 s with two; beside one other busy process 4.2 s and 9.4 s.
    """
    return max(1, len(os.sched_getaffinity(0)) - 1)


@contextmanager
def device_errors() -> Iterator[None]:
    """What CTranslate2 and torch raise as RuntimeError, as errors that end the process: only that resets CUDA."""
    try:
        yield
    except RuntimeError as error:
        raise as_stage_error(str(error)) from error


def as_stage_error(text: str) -> StageError:
    if any(words in text.lower() for words in OUT_OF_MEMORY):
        return OutOfMemory(text)
    return Infrastructure(f"The speech model's device failed: {text}", code="device_failed")
