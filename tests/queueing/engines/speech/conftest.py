"""The engines under test, each loaded at most once for as long as no test ends its process."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest

from evaluations.media.decode import decode
from queueing.engines.base import Samples, Speech
from queueing.engines.speech.faster_whisper import FasterWhisper
from queueing.engines.speech.hosted import HostedSpeech
from queueing.engines.speech.openai_whisper import OpenAIWhisper
from queueing.engines.speech.simulated import SimulatedSpeech

DEMO = Path(__file__).resolve().parents[4] / "evaluations" / "demo"
SCRIPTS = {entry["file"]: entry["words"] for entry in json.loads((DEMO / "scripts.json").read_text()) if entry["words"]}


@dataclass(frozen=True)
class ClipRecording:
    words: str
    samples: Samples


@pytest.fixture(scope="session")
def recordings() -> dict[str, ClipRecording]:
    """The demo class's clips that have words in them."""
    return {
        file: ClipRecording(words, decode(DEMO / "clips" / file, max_seconds=60).samples)
        for file, words in SCRIPTS.items()
    }


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def engines(cache: Path) -> Iterator[dict[str, HostedSpeech]]:
    every: dict[str, HostedSpeech] = {
        "simulated": SimulatedSpeech(cache=cache, seconds_per_audio_second=0.02),
        "faster-whisper": FasterWhisper("tiny.en", cache=cache),
        "openai-whisper": OpenAIWhisper("tiny.en", cache=cache),
    }
    yield every
    for engine in every.values():
        engine.unload()


class Heard(dict[tuple[str, str], Speech]):
    """Each clip as each engine heard it: (engine's name, file) → speech, transcribed at the first question."""

    def __init__(self, engines: dict[str, HostedSpeech], recordings: dict[str, ClipRecording]) -> None:
        super().__init__()
        self.engines, self.recordings = engines, recordings
        self.progress: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)  # (done, total)

    def __missing__(self, key: tuple[str, str]) -> Speech:
        name, file = key
        news = self.progress[key]
        engine, samples = self.engines[name], self.recordings[file].samples
        engine.load()
        self[key] = engine.transcribe(samples, progress=lambda *seen: news.append(seen), stop=Event())
        return self[key]


@pytest.fixture(scope="session")
def heard(engines: dict[str, HostedSpeech], recordings: dict[str, ClipRecording]) -> Heard:
    return Heard(engines, recordings)


def hear(engine: HostedSpeech, samples: Samples, hints: Sequence[str] = ()) -> Speech:
    """Transcribe on an engine, loaded if it is not."""
    engine.load()
    return engine.transcribe(samples, hints=hints, progress=lambda done, total: None, stop=Event())
