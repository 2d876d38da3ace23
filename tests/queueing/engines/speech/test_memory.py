"""A speech model that runs out of memory, or whose device fails: what is tried and said, and which process ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import psutil
import pytest

from queueing.engines.base import Samples
from queueing.engines.speech.faster_whisper import choose
from queueing.engines.speech.transcriber import Thrift, as_stage_error
from queueing.exceptions import Infrastructure, OutOfMemory
from tests.doubles.card import GIB, FakeCard
from tests.queueing.engines.speech.conftest import ClipRecording, hear
from tests.queueing.engines.speech.stubs import WEIGHTS, Failing, OnACard

slow = pytest.mark.slow  # each child takes a second to begin


@pytest.fixture
def card(tmp_path: Path) -> FakeCard:
    return FakeCard(tmp_path / "card", total=8 * GIB)


@pytest.fixture
def engine(card: FakeCard) -> Iterator[OnACard]:
    engine = OnACard(str(card.path))
    yield engine
    engine.unload()


@pytest.fixture
def short(recordings: dict[str, ClipRecording]) -> Samples:
    return recordings["henry.wav"].samples


@pytest.fixture
def long(short: Samples) -> Samples:
    """Of more than eight windows."""
    return np.tile(short, 20)


def leave_free(card: FakeCard, gib: float) -> None:
    card.take("another program", "", int((8 - gib) * GIB))


def pid_of(engine: OnACard | Failing) -> int:
    (resident,) = engine.resident()
    assert resident.pid is not None
    return resident.pid


@slow
def test_with_room_enough_nothing_is_spared(engine: OnACard, card: FakeCard, long: Samples) -> None:
    assert hear(engine, long).text == "Hello."
    assert (engine.thrift, card.look().most) == (Thrift.NONE, 4 * GIB)


@slow
def test_a_long_file_is_done_again_in_smaller_batches(engine: OnACard, card: FakeCard, long: Samples) -> None:
    """F41: the process that ran out of memory is gone, and the same audio is done by another."""
    leave_free(card, 3.5)
    engine.load()
    first = pid_of(engine)
    assert hear(engine, long).text == "Hello."
    assert engine.thrift == Thrift.SMALLER_BATCH
    assert not psutil.pid_exists(first)
    assert pid_of(engine) != first


@slow
def test_a_short_file_is_done_again_in_a_lighter_precision(engine: OnACard, card: FakeCard, short: Samples) -> None:
    """F41"""
    leave_free(card, 2.1)
    assert hear(engine, short).text == "Hello."
    assert engine.thrift == Thrift.MINIMUM


@slow
def test_the_precision_is_lowered_after_the_batch(engine: OnACard, card: FakeCard, long: Samples) -> None:
    """F41: and progress that was reported is not taken back."""
    leave_free(card, 2.5)
    engine.load()
    seen: list[float] = []
    engine.transcribe(long, progress=lambda done, total: seen.append(done), stop=Event())
    assert engine.thrift == Thrift.MINIMUM
    assert seen == sorted(seen)


@slow
def test_a_model_that_does_not_fit_is_loaded_in_a_lighter_precision(engine: OnACard, card: FakeCard) -> None:
    """F41"""
    leave_free(card, 1.5)
    engine.load()
    assert card.used == card.total - int(1.5 * GIB) + WEIGHTS["int8_float16"]


@slow
def test_it_stays_thrifty_until_it_is_unloaded(engine: OnACard, card: FakeCard, short: Samples) -> None:
    leave_free(card, 2.1)
    hear(engine, short)
    thrifty = pid_of(engine)
    card.give_back("another program")
    hear(engine, short)
    assert pid_of(engine) == thrifty
    engine.unload()
    hear(engine, short)
    assert engine.thrift == Thrift.NONE


@slow
def test_when_nothing_is_left_to_be_spared_all_that_was_tried_is_reported(
    engine: OnACard, card: FakeCard, long: Samples
) -> None:
    """F41: and the card is as free as it was."""
    leave_free(card, 1.1)
    before = card.used
    with pytest.raises(OutOfMemory) as caught:
        hear(engine, long)
    assert caught.value.code == "does_not_fit"
    assert "cuda:0 while it was loaded, and with int8_float16, 1 window at once" in str(caught.value)
    assert "Choose a smaller speech model" in str(caught.value)
    assert (engine.resident(), card.used) == ((), before)


@slow
def test_a_model_that_fits_in_no_way_is_refused(engine: OnACard, card: FakeCard) -> None:
    leave_free(card, 0.5)
    with pytest.raises(OutOfMemory, match="while it was loaded, and while it was loaded"):
        engine.load()


STICKY = ["CUDA error: unspecified launch failure", "CUDA failed with error an illegal memory access was encountered"]


@pytest.mark.parametrize("words", STICKY)
@slow
def test_a_failed_device_ends_the_process_and_is_never_tried_in_it_again(
    words: str, tmp_path: Path, short: Samples
) -> None:
    """F42"""
    engine = Failing(words, cache=tmp_path / "calls")
    hear(engine, short)
    first = pid_of(engine)
    with pytest.raises(Infrastructure, match=words) as caught:
        hear(engine, short)
    assert caught.value.code == "device_failed"
    assert not psutil.pid_exists(first)
    assert engine.resident() == ()
    assert hear(engine, short).text == "Hello."
    second = pid_of(engine)
    engine.unload()
    calls = Counter((tmp_path / "calls").read_text().split())
    assert calls == {str(first): 2, str(second): 1}  # it went well, it failed; the next one went well


WORDS = [
    "CUDA failed with error out of memory",
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB",
    "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED",
    "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate",
]


@pytest.mark.parametrize("words", WORDS)
def test_the_libraries_words_for_no_memory_are_known(words: str) -> None:
    assert isinstance(as_stage_error(words), OutOfMemory)


@pytest.mark.parametrize(
    ("supported", "full", "least"),
    [
        ({"float16", "int8_float16", "int8_float32", "float32", "int8"}, "float16", "int8_float16"),
        ({"int8_float32", "float32", "int8"}, "int8_float32", "int8_float32"),
        ({"float32", "float16"}, "float16", "float16"),
    ],
)
def test_a_lighter_precision_is_one_that_the_device_can_do(supported: set[str], full: str, least: str) -> None:
    assert choose("cuda", supported, Thrift.NONE) == full
    assert choose("cuda", supported, Thrift.MINIMUM) == least


def test_a_device_that_can_do_none_is_named() -> None:
    with pytest.raises(Infrastructure, match="float16"):
        choose("cuda", {"bfloat16"}, Thrift.NONE)
