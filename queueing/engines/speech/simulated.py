"""A speech engine without a model: the same contract, a real child process, stock sentences, scripted faults.

For rehearsals and tests of what is around an engine. It announces itself, and results made with it say so.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Event
from typing import Any, Literal

import numpy as np

from queueing.engines.base import SAMPLE_RATE, Progress, Samples, Segment, Speech, Word
from queueing.engines.speech.hosted import HostedSpeech
from queueing.engines.speech.plausible import compression_ratio
from queueing.engines.speech.transcriber import DeviceFacts, Thrift
from queueing.exceptions import StageError

Fault = StageError | Literal["crash", "hang"] | None
"""What a call does instead of its work: raise this error, die at once, hang without progress, or (None) nothing bad."""

SENTENCES = (
    "Hello, my name is Alex Simulated and I am 16 years old.",
    "In my free time I play chess and I ride my bicycle.",
    "After school I would like to become an engineer.",
    "My strength is that I stay calm and finish what I start.",
    "Last year I helped in the library of my school.",
)
WORDS_PER_SECOND = 2.5
TICK_SECONDS = 0.1  # of audio between two reports of progress
LOUD = 0.005  # root mean square of a frame that counts as speech


class SimulatedSpeech(HostedSpeech):
    """Takes `seconds_per_audio_second` × the audio's length, or `seconds` for every call if given.

    `faults` are used up one per call, in order; after them every call goes well.
    """

    name = "simulated"
    factory = "queueing.engines.speech.simulated:load"
    simulated = True

    def __init__(
        self,
        model: str = "simulated",
        *,
        seconds_per_audio_second: float = 0.05,
        seconds: float | None = None,
        load_seconds: float = 0.0,
        faults: Iterable[Fault] = (),
        **options: Any,
    ) -> None:
        super().__init__(model, **{"device": "cpu", **options})
        self.seconds_per_audio_second, self.seconds, self.load_seconds = seconds_per_audio_second, seconds, load_seconds
        self._faults: Iterator[Fault] = iter(faults)

    def arguments(self) -> Mapping[str, Any]:
        return {"load_seconds": self.load_seconds}

    def transcribe(self, samples: Samples, *, hints: Sequence[str] = (), progress: Progress, stop: Event) -> Speech:
        pace = self.seconds_per_audio_second
        took = self.seconds if self.seconds is not None else pace * len(samples) / SAMPLE_RATE
        return self._call("transcribe", samples, took, next(self._faults, None), progress=progress, stop=stop)


def load(load_seconds: float, thrift: Thrift) -> _Actor:
    """The child's factory."""
    time.sleep(load_seconds)
    return _Actor()


class _Actor:
    facts = DeviceFacts("cpu", "simulated")

    def transcribe(self, samples: Samples, seconds: float, fault: Fault, *, progress: Progress) -> Speech:
        duration = len(samples) / SAMPLE_RATE
        _misbehave(fault)
        steps = max(1, round(duration / TICK_SECONDS))
        for step in range(1, steps + 1):
            time.sleep(seconds / steps)
            progress(duration * step / steps, duration)
        speech_seconds = _speech_seconds(samples)
        return Speech("en", 1.0, duration, speech_seconds, tuple(_recite(speech_seconds)))


def _misbehave(fault: Fault) -> None:
    match fault:
        case "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case "hang":
            Event().wait()
        case StageError():
            raise fault


def _speech_seconds(samples: Samples) -> float:
    frame = SAMPLE_RATE // 10
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return float((np.sqrt(np.mean(frames**2, axis=1)) > LOUD).sum()) / 10


def _recite(seconds: float) -> Iterator[Segment]:
    """Stock sentences, as many whole words as fit into the time."""
    left = round(seconds * WORDS_PER_SECOND)
    clock, number = 0.0, 0
    while left > 0:
        spoken = SENTENCES[number % len(SENTENCES)].split()[:left]
        words = tuple(
            Word(clock + at / WORDS_PER_SECOND, min(seconds, clock + (at + 1) / WORDS_PER_SECOND), text, 0.9)
            for at, text in enumerate(spoken)
        )
        text = " ".join(spoken)
        yield Segment(words[0].start, words[-1].end, text, words, -0.1, 0.01, compression_ratio(text))
        clock, left, number = words[-1].end, left - len(words), number + 1
