"""The gates before a score, with what Whisper hears in real sound: clips/README.md says how each was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from threading import Event

import av
import numpy as np
import pytest

from evaluations.media.decode import decode
from evaluations.rating import gates
from evaluations.rating.speech import Spoken
from queueing.engines.base import SAMPLE_RATE, Samples, Speech
from queueing.engines.speech.faster_whisper import FasterWhisper
from tests.queueing.engines.speech.sounds import record

pytestmark = pytest.mark.slow

CLIPS = Path(__file__).parent / "clips"
DEMO = Path(__file__).resolve().parents[3] / "evaluations" / "demo" / "clips"
# Of the demo class the shortest; that all of it is rated is shown by the tests of the whole demo.
INTRODUCTIONS = (DEMO / "henry.wav", *(CLIPS / name for name in ("lea.ogg", "kwame.ogg", "ina.ogg")))
FOREIGN = ("german.ogg", "french.ogg", "dutch.ogg", "chinese.ogg")
NOBODY_SPEAKS = ("silence", "pink noise at 0.2", "white noise at 0.2", "a band", "a major chord", "somebody humming")


@pytest.fixture(scope="module")
def transcriber(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FasterWhisper]:
    engine = FasterWhisper("tiny.en", cache=tmp_path_factory.mktemp("models"))
    engine.load()
    yield engine
    engine.unload()


Verdict = Callable[[Samples], str]


@pytest.fixture
def verdict(transcriber: FasterWhisper) -> Verdict:
    """The code of what a recording is refused with; empty when it is rated."""

    def of(samples: Samples) -> str:
        heard = transcriber.transcribe(samples, progress=lambda done, total: None, stop=Event())
        refusal = gates.check(hearing(heard), ("en", "de"))
        return refusal.code if refusal else ""

    return of


def hearing(heard: Speech) -> gates.Hearing:
    words = [
        Spoken(word.text, word.start, word.end, word.probability)
        for word in chain.from_iterable(segment.words for segment in heard.segments)
    ]
    return gates.Hearing(words, heard.speech_seconds, heard.language, heard.language_probability)


def samples_of(path: Path) -> Samples:
    return decode(path, max_seconds=60).samples


def at_pace(samples: Samples, pace: float) -> Samples:
    """The same voice, quicker or slower, by ffmpeg's `atempo`."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(sample_rate=SAMPLE_RATE, format="flt", layout="mono", time_base=Fraction(1, SAMPLE_RATE))
    graph.link_nodes(source, graph.add("atempo", str(pace)), graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    graph.push(frame)
    graph.push(None)
    parts = []
    while True:
        try:
            parts.append(graph.pull().to_ndarray().reshape(-1))
        except (av.error.EOFError, av.error.BlockingIOError):
            return np.concatenate(parts)


def with_pauses(samples: Samples, seconds: float) -> Samples:
    """As long a pause at the quietest moment of every three seconds."""
    frame = SAMPLE_RATE // 10
    loudness = np.sqrt(np.mean(samples[: len(samples) // frame * frame].reshape(-1, frame) ** 2, axis=1))
    cuts = [at + int(np.argmin(loudness[at : at + 30])) for at in range(0, len(loudness), 30)]
    silence = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    parts = np.split(samples, [frame * cut + frame // 2 for cut in cuts])
    return np.concatenate([piece for part in parts for piece in (part, silence)])


def in_noise(samples: Samples, decibels: float) -> Samples:
    """White noise, so much below the speech."""
    level = np.sqrt(np.mean(samples**2)) * 10 ** (decibels / 20)
    return samples + np.random.default_rng(7).normal(0, level, len(samples)).astype(np.float32)


@pytest.mark.parametrize("path", INTRODUCTIONS, ids=lambda path: path.name)
def test_an_introduction_is_rated(verdict: Verdict, path: Path) -> None:
    assert verdict(samples_of(path)) == ""


@pytest.mark.parametrize("path", INTRODUCTIONS[:2], ids=lambda path: path.name)
def test_it_is_rated_quicker_slower_with_pauses_and_in_noise_too(verdict: Verdict, path: Path) -> None:
    """The shortest of the demo class, and the voice that is understood the least."""
    samples = samples_of(path)
    assert verdict(at_pace(samples, 1.3)) == ""
    assert verdict(with_pauses(at_pace(samples, 0.8), 2.0)) == ""
    assert verdict(in_noise(samples, -20)) == ""


@pytest.mark.parametrize("name", FOREIGN)
def test_another_language_is_not_understood_by_an_english_model(verdict: Verdict, name: str) -> None:
    assert verdict(samples_of(CLIPS / name)) == "not_understood"


@pytest.mark.parametrize("name", ["babble-of-six.ogg", "babble-of-four.ogg", "backwards.ogg", "tv.ogg"])
def test_a_babble_speech_backwards_and_a_tv_across_the_room_are_not_understood(verdict: Verdict, name: str) -> None:
    assert verdict(samples_of(CLIPS / name)) == "not_understood"


def test_three_words_are_too_short_to_rate(verdict: Verdict) -> None:
    assert verdict(samples_of(DEMO / "daniel.mov")[: int(1.6 * SAMPLE_RATE)]) == "too_short_to_rate"


@pytest.mark.parametrize("name", NOBODY_SPEAKS)
def test_where_nobody_speaks_there_is_no_speech(verdict: Verdict, name: str) -> None:
    assert verdict(record(name, 20)) == "no_speech"
