"""The child's side of a Whisper engine: the way from samples to a `Speech`, but for the model itself."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from queueing.engines.base import SAMPLE_RATE, Progress, Samples, Segment, Speech, Word
from queueing.engines.speech.plausible import believable
from queueing.engines.speech.voice import Voice, listen
from queueing.exceptions import Infrastructure, OutOfMemory, StageError

# Over the eight demo clips with white noise added, one beam got 12.9 % of the words wrong and five 9.1 %, for
# 7 % more CPU; without the noise both got 1 % wrong, five beams for 32 % more CPU.
BEAMS = 5
TEMPERATURES = (0.0, 0.2)  # two decodings of a window at most; Whisper's own six can take minutes over noise


@dataclass(frozen=True, slots=True)
class Facts:
    """What the loaded model tells of itself."""

    device: str  # "cpu", "cuda:0"
    precision: str  # of the arithmetic: "int8", "float16", "float32", …


@dataclass(frozen=True, slots=True)
class Decoding:
    language: str
    language_probability: float
    segments: Iterable[tuple[Segment, float]]  # with the compression ratio of the window; may be decoded as it is read


class Transcriber(ABC):
    """A loaded Whisper model."""

    facts: Facts
    only_language: str | None  # None: it detects the language

    def transcribe(self, samples: Samples, *, progress: Progress) -> Speech:
        """See `SpeechEngine.transcribe`; silence never reaches the model."""
        duration = len(samples) / SAMPLE_RATE
        voice = listen(samples)
        if not voice.stretches:
            progress(duration, duration)
            return Speech(self.only_language or "en", float(self.only_language is not None), duration, 0.0, ())
        progress(0.0, duration)
        steps = _Steps(voice, duration, progress)
        try:
            decoding = self.decode(voice.cut(samples), steps)
            segments = tuple(_in_place(voice, duration, believable(_reporting(decoding.segments, steps))))
        except RuntimeError as error:
            raise as_stage_error(error) from error
        progress(duration, duration)
        return Speech(decoding.language, decoding.language_probability, duration, voice.speech_seconds, segments)

    @abstractmethod
    def decode(self, samples: Samples, done: Callable[[float], None]) -> Decoding:
        """Run the model over speech; call `done(seconds)` on the way if it is not seen from the segments."""


class _Steps:
    """Seconds of the joined audio in, progress over the whole audio out, never falling."""

    def __init__(self, voice: Voice, duration: float, progress: Progress) -> None:
        self.voice, self.duration, self.progress, self.furthest = voice, duration, progress, 0.0

    def __call__(self, seconds: float) -> None:
        self.furthest = max(self.furthest, min(self.voice.original(seconds, within=seconds), self.duration))
        self.progress(self.furthest, self.duration)


def _reporting(segments: Iterable[tuple[Segment, float]], steps: _Steps) -> Iterator[tuple[Segment, float]]:
    for segment, ratio in segments:
        yield segment, ratio
        steps(segment.end)


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


def as_stage_error(error: RuntimeError) -> StageError:
    """What CTranslate2 and torch say in a RuntimeError; an unknown one ends the process, which heals what CUDA left."""
    text = str(error)
    if "out of memory" in text.lower() or "failed to allocate" in text.lower():
        return OutOfMemory(text)
    return Infrastructure(f"The speech model's device failed: {text}", code="device_failed")
