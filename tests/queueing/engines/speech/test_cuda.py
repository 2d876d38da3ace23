"""Whisper on a real GPU, and what its driver says before, meanwhile and afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from queueing.engines.speech.faster_whisper import FasterWhisper
from queueing.gpu import Device, GpuMemoryFacts
from queueing.policy.memory_plan import MIB
from tests.queueing.engines.speech.conftest import ClipRecording, hear

driver = Device()
before = driver.read()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not isinstance(before, GpuMemoryFacts),
        reason=f"no GPU here ({before}): Whisper on CUDA, and its memory, are unmeasured",
    ),
]

NOISE_BYTES = 64 * MIB  # by which others' memory moves by itself meanwhile
BACK_SECONDS = 10.0


def used() -> int:
    facts = driver.read()
    assert isinstance(facts, GpuMemoryFacts)
    return facts.used


def test_it_transcribes_takes_no_more_than_it_says_and_gives_all_of_it_back(
    recordings: dict[str, ClipRecording], cache: Path
) -> None:
    """F41: its process ends, since whatever else is done in it keeps some hundred MiB."""
    engine, baseline = FasterWhisper("tiny.en", device="cuda", cache=cache), used()
    needs = engine.needs()
    try:
        spoken = hear(engine, recordings["henry.wav"].samples)
        assert len(spoken.text.split()) > 0.8 * len(recordings["henry.wav"].words.split())
        assert [one.device for one in engine.resident()] == ["cuda:0"]
        assert needs is not None
        assert 0 < used() - baseline <= needs + NOISE_BYTES
    finally:
        engine.unload()
    give_up = time.monotonic() + BACK_SECONDS
    while used() > baseline + NOISE_BYTES:
        assert time.monotonic() < give_up, "the memory has not come back"
        time.sleep(0.1)
