from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from threading import Event

import numpy as np
import pytest

from queueing.engines.base import SAMPLE_RATE, Samples, Speech
from queueing.engines.pulse import LOOK_SECONDS
from queueing.engines.speech.hosted import LIFELESS_SECONDS
from queueing.engines.speech.simulated import Fault, SimulatedSpeech
from queueing.exceptions import Crashed, OutOfMemory, StageError, Transient

FAULTS: list[Fault] = [Transient("as scripted", code="scripted"), "crash", "hang", OutOfMemory(), None]


@pytest.fixture
def engine() -> Iterator[SimulatedSpeech]:
    engine = SimulatedSpeech(seconds=0.0, faults=FAULTS, stall_seconds=0.3)
    yield engine
    engine.unload()


def voice(length: float) -> Samples:
    return np.sin(np.arange(int(length * SAMPLE_RATE)) / 9).astype(np.float32)


def transcribe(engine: SimulatedSpeech, samples: Samples) -> Speech:
    engine.load()
    return engine.transcribe(samples, progress=lambda done, total: None, stop=Event())


def test_faults_come_one_per_call_in_their_order_and_then_all_is_well(engine: SimulatedSpeech) -> None:
    expected: list[tuple[type[StageError], str]] = [
        (Transient, "scripted"),
        (Crashed, "crashed"),
        (Crashed, "hung"),
        (OutOfMemory, "does_not_fit"),  # nor did it with less
    ]
    for kind, code in expected:
        with pytest.raises(kind) as caught:
            transcribe(engine, voice(0.05))
        assert caught.value.code == code
    assert [transcribe(engine, voice(2)).text for _ in range(2)] == ["Hello, my name is Alex"] * 2


def test_a_stopped_process_is_hung_within_a_minute_however_long_the_audio_is_and_the_next_call_is_served() -> None:
    assert LIFELESS_SECONDS + 2 * LOOK_SECONDS < 60
    engine = SimulatedSpeech(seconds=60.0, lifeless_seconds=1.5)
    engine.load()
    (resident,) = engine.resident()
    assert resident.pid is not None
    os.kill(resident.pid, signal.SIGSTOP)
    with pytest.raises(Crashed) as caught:
        engine.transcribe(voice(600), progress=lambda done, total: None, stop=Event())
    assert caught.value.code == "hung"
    engine.seconds = 0.0
    assert transcribe(engine, voice(2)).text
    engine.unload()


def test_it_says_more_the_longer_the_audio_is() -> None:
    engine = SimulatedSpeech(seconds=0.0)
    counts = [len(transcribe(engine, voice(length)).text.split()) for length in (4, 8, 40)]
    engine.unload()
    assert counts == [10, 20, 100]


def test_a_call_past_its_wall_budget_is_too_slow() -> None:
    engine = SimulatedSpeech(seconds=60.0, wall_budget_seconds=0.3)
    with pytest.raises(Transient) as caught:
        transcribe(engine, voice(30))
    assert caught.value.code == "too_slow"
    assert engine.resident() == ()
