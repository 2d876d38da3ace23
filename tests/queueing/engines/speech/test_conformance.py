"""What every speech engine promises, asked of each: simulated, faster-whisper and openai-whisper with real weights."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path
from threading import Event

import numpy as np
import psutil
import pytest

from queueing.engines.base import SAMPLE_RATE, Samples
from queueing.engines.speech.hosted import HostedSpeech
from queueing.exceptions import Crashed, Infrastructure, Interrupted
from tests.queueing.engines.speech.conftest import ClipRecording, Heard, hear

pytestmark = pytest.mark.slow


@pytest.fixture(params=["simulated", "faster-whisper", "openai-whisper"])
def engine(request: pytest.FixtureRequest, engines: dict[str, HostedSpeech]) -> HostedSpeech:
    chosen = engines[request.param]
    chosen.load()
    return chosen


@pytest.fixture
def speech(recordings: dict[str, ClipRecording]) -> Samples:
    return recordings["henry.wav"].samples


def test_an_engine_says_what_it_is(engine: HostedSpeech) -> None:
    assert engine.simulated == (engine.name == "simulated")
    assert engine.model


def test_a_loaded_model_is_resident_in_a_process_of_its_own(engine: HostedSpeech) -> None:
    (resident,) = engine.resident()
    assert resident.model == engine.model
    assert resident.device == "cpu"
    assert resident.bytes > 10_000_000
    assert resident.pid not in (None, os.getpid())


def test_what_it_needs_of_a_gpu_that_is_not_there_is_nothing(engine: HostedSpeech) -> None:
    (resident,) = engine.resident()
    assert resident.device == "cpu"
    assert engine.needs() == 0


def test_loading_again_changes_nothing(engine: HostedSpeech) -> None:
    (before,) = engine.resident()
    engine.load()
    (after,) = engine.resident()
    assert after.pid == before.pid


def test_a_phase_loads_its_model_once_hears_the_same_the_same_and_leaves_no_memory_behind(
    engine: HostedSpeech, speech: Samples
) -> None:
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)} - {resident.pid for resident in engine.resident()}
    (resident,) = engine.resident()
    served_by, heard = {resident.pid}, []
    for _ in range(2):
        engine.load()
        heard.append(hear(engine, speech[: 5 * SAMPLE_RATE]))
        served_by |= {resident.pid for resident in engine.resident()}
    assert len(served_by) == 1
    assert heard[0] == heard[1]
    engine.unload()
    left = [child for child in me.children(recursive=True) if child.pid not in before]
    assert sum(child.memory_info().rss for child in left) == 0
    assert resident.pid is not None
    assert not psutil.pid_exists(resident.pid)
    assert engine.resident() == ()
    engine.unload()  # again
    assert engine.resident() == ()


def test_a_call_without_a_loaded_model_is_refused(engine: HostedSpeech, cache: Path) -> None:
    fresh = type(engine)(engine.model, cache=cache)
    with pytest.raises(Infrastructure) as caught:
        fresh.transcribe(np.zeros(SAMPLE_RATE, np.float32), progress=lambda done, total: None, stop=Event())
    assert caught.value.code == "not_loaded"


@pytest.mark.parametrize("length", [0, 1, 400, 5 * SAMPLE_RATE])
def test_silence_is_a_speech_without_segments(engine: HostedSpeech, length: int) -> None:
    speech = hear(engine, np.zeros(length, np.float32))
    assert speech.segments == ()
    assert speech.speech_seconds == 0
    assert speech.duration == length / SAMPLE_RATE


def test_words_are_in_order_and_within_the_audio(engine: HostedSpeech, speech: Samples, heard: Heard) -> None:
    said = heard[engine.name, "henry.wav"]
    words = [word for segment in said.segments for word in segment.words]
    assert len(words) > 15
    assert said.duration == len(speech) / SAMPLE_RATE
    assert 0 < said.speech_seconds < said.duration
    assert words[0].start >= 0
    assert words[-1].end <= said.duration
    assert all(word.start <= word.end for word in words)
    assert all(before.end <= after.start for before, after in pairwise(words))
    assert all(0 <= word.probability <= 1 and word.text == word.text.strip() != "" for word in words)


def test_a_segment_spans_its_words(engine: HostedSpeech, heard: Heard) -> None:
    for segment in heard[engine.name, "henry.wav"].segments:
        assert (segment.start, segment.end) == (segment.words[0].start, segment.words[-1].end)
        assert " ".join(word.text for word in segment.words) == segment.text
        assert 0 < segment.compression_ratio < 2.4


def test_progress_never_falls_and_ends_at_the_duration(engine: HostedSpeech, heard: Heard) -> None:
    duration, seen = heard[engine.name, "henry.wav"].duration, heard.progress[engine.name, "henry.wav"]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {duration}
    assert seen[-1] == (duration, duration)
    assert any(0 < done < duration for done, _ in seen)


def test_stopping_interrupts_a_call_and_ends_the_process(engine: HostedSpeech, speech: Samples) -> None:
    (resident,) = engine.resident()
    assert resident.pid is not None
    stop = Event()
    furthest = [0.0]

    def stop_at_the_first_news(done: float, total: float) -> None:
        furthest[0] = done / total
        stop.set()

    with pytest.raises(Interrupted):
        engine.transcribe(np.tile(speech, 12), progress=stop_at_the_first_news, stop=stop)
    assert furthest[0] < 0.5
    assert not psutil.pid_exists(resident.pid)
    assert engine.resident() == ()


def test_a_process_killed_under_a_call_is_a_crash_and_the_next_load_works(
    engine: HostedSpeech, speech: Samples
) -> None:
    (resident,) = engine.resident()
    assert resident.pid is not None
    victim = resident.pid

    def kill(done: float, total: float) -> None:
        if psutil.pid_exists(victim):
            os.kill(victim, signal.SIGKILL)

    with pytest.raises(Crashed, match="SIGKILL"):
        engine.transcribe(np.tile(speech, 12), progress=kill, stop=Event())
    assert engine.resident() == ()
    assert hear(engine, speech[: 5 * SAMPLE_RATE]).segments
    (reborn,) = engine.resident()
    assert reborn.pid != victim
