"""Whisper models without weights that fail as CTranslate2 and torch do; a child process builds them by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from queueing.engines.base import Samples
from queueing.engines.speech.hosted import HostedSpeech
from queueing.engines.speech.transcriber import Decoding, DeviceFacts, Thrift, Transcriber, device_errors
from queueing.engines.speech.voice import WINDOW
from tests.doubles.card import GIB, CardFull, FakeCard

WORKING = GIB // 4  # for one window
FACTS = {
    Thrift.NONE: DeviceFacts("cuda:0", "float16", 8),
    Thrift.SMALLER_BATCH: DeviceFacts("cuda:0", "float16", 4),
    Thrift.MINIMUM: DeviceFacts("cuda:0", "int8_float16", 1),
}
WEIGHTS = {"float16": 2 * GIB, "int8_float16": GIB}
HEARD = {
    "start": 0.0,
    "end": 1.0,
    "text": "Hello.",
    "words": [{"word": "Hello.", "start": 0.0, "end": 1.0, "probability": 0.9}],
    "avg_logprob": -0.1,
    "no_speech_prob": 0.0,
    "compression_ratio": 1.0,
}


class OnACard(HostedSpeech):
    """Takes memory of a card that others draw on too."""

    name = "on a card"
    factory = "tests.queueing.engines.speech.stubs:on_a_card"

    def arguments(self) -> Mapping[str, Any]:
        return {"card": self.model}


class Failing(HostedSpeech):
    """Goes well once, and then fails with `model`, its name, for as long as its process lives."""

    name = "failing"
    factory = "tests.queueing.engines.speech.stubs:failing"

    def arguments(self) -> Mapping[str, Any]:
        return {"words": self.model, "calls": str(self.cache)}


class _OnACard(Transcriber):
    only_language = "en"

    def __init__(self, card: FakeCard, thrift: Thrift) -> None:
        super().__init__(thrift)
        self.card, self.facts = card, FACTS[thrift]
        with device_errors():
            self._take("weights", WEIGHTS[self.facts.precision])

    def decode(self, samples: Samples, hints: Sequence[str], done: Callable[[float], None]) -> Decoding:
        self._take("working", WORKING * min(self.facts.windows, 1 + len(samples) // WINDOW))
        self.card.give_back("working")
        return Decoding("en", 1.0, [HEARD])

    def _take(self, owner: str, size: int) -> None:
        try:
            self.card.take(owner, "stt", size)
        except CardFull as full:
            raise RuntimeError("CUDA failed with error out of memory") from full


class _Failing(Transcriber):
    facts = DeviceFacts("cuda:0", "float16")
    only_language = "en"

    def __init__(self, words: str, calls: Path, thrift: Thrift) -> None:
        super().__init__(thrift)
        self.words, self.calls, self.worn_out = words, calls, False

    def decode(self, samples: Samples, hints: Sequence[str], done: Callable[[float], None]) -> Decoding:
        with self.calls.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if self.worn_out:
            raise RuntimeError(self.words)
        self.worn_out = True
        return Decoding("en", 1.0, [HEARD])


def on_a_card(card: str, thrift: Thrift) -> Transcriber:
    return _OnACard(FakeCard(Path(card)), thrift)


def failing(words: str, calls: str, thrift: Thrift) -> Transcriber:
    return _Failing(words, Path(calls), thrift)
