"""The stand-ins: what they cost, how they refuse, and that two kinds in one memory do not go unseen."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from introeval.rehearsal import engines
from introeval.rehearsal.bounds import StageTimes
from introeval.rehearsal.outages import Outages
from introeval.rehearsal.stages import SILENCE
from queueing.engines.base import Engines, LanguageOptions, Prompt
from queueing.exceptions import Infrastructure, Interrupted
from queueing.states import PhaseName


@pytest.fixture
def memory(tmp_path: Path) -> engines.Memory:
    return engines.Memory(tmp_path / "gpus", "n")


@pytest.fixture
def outages(tmp_path: Path) -> Outages:
    return Outages(tmp_path / "outages")


@pytest.fixture
def built(memory: engines.Memory, outages: Outages) -> Engines:
    return engines.build(StageTimes(stt=2, extract=3, rate=5, switch=8, slots=2), 0.01, memory, outages)


def seen(memory: engines.Memory) -> int:
    return engines.overlaps_seen(memory.seen.parent)


def ask(built: Engines, stop: threading.Event | None = None) -> None:
    built.language["rate"].generate(Prompt("", ""), {}, LanguageOptions(), stop=stop or threading.Event())


def test_both_models_of_a_phase_fit_beside_each_other_but_not_beside_the_other_phases(
    built: Engines, memory: engines.Memory
) -> None:
    built.language["extract"].load()
    built.language["rate"].load()
    assert seen(memory) == 0
    built.speech.load()
    assert seen(memory) == 1


def test_what_was_unloaded_is_out_of_memory(built: Engines, memory: engines.Memory) -> None:
    built.speech.load()
    built.speech.unload()
    built.language["rate"].load()
    assert seen(memory) == 0
    assert built.speech.resident() == ()
    assert built.language["rate"].resident()


def test_another_node_has_a_memory_of_its_own(built: Engines, memory: engines.Memory, tmp_path: Path) -> None:
    built.speech.load()
    engines.Memory(tmp_path / "gpus", "other").enter(PhaseName.EVAL)
    assert seen(memory) == 0


def test_a_switch_costs_what_it_was_told_to_cost(built: Engines) -> None:
    built.speech.load()
    began = time.perf_counter()
    built.speech.unload()
    for engine in (built.language["extract"], built.language["rate"]):
        engine.load()
    # Not less than the 8 s of the lab; how much more depends on the machine.
    assert time.perf_counter() - began >= 8 * 0.01


def test_a_turn_costs_as_much_as_a_switch_of_phases(memory: engines.Memory, outages: Outages) -> None:
    work = StageTimes(stt=2, extract=3, rate=5, switch=8, in_turns=True)
    built = engines.build(work, 0.01, memory, outages)
    models = [built.speech, *built.language.values()]
    assert {model.move_seconds for model in models if isinstance(model, engines.SimulatedModel)} == {0.04}


def test_a_call_takes_its_time_and_stops_when_told(built: Engines) -> None:
    built.language["rate"].load()
    began = time.perf_counter()
    ask(built)
    assert time.perf_counter() - began >= 5 * 0.01
    stop = threading.Event()
    stop.set()
    with pytest.raises(Interrupted):
        ask(built, stop)


def test_nothing_answers_before_it_is_loaded(built: Engines) -> None:
    with pytest.raises(Infrastructure, match="not loaded"):
        ask(built)
    with pytest.raises(Infrastructure, match="not loaded"):
        built.speech.transcribe(SILENCE, progress=lambda done, total: None, stop=threading.Event())


def test_language_models_refuse_while_their_server_is_gone_and_speech_goes_on(built: Engines, outages: Outages) -> None:
    built.language["rate"].load()
    outages.start("llm")
    with pytest.raises(Infrastructure):
        ask(built)
    with pytest.raises(Infrastructure):
        built.language["extract"].load()
    built.language["rate"].unload()
    built.speech.load()
    outages.end("llm")
    built.language["extract"].load()


def test_trouble_that_happens_once_is_taken_by_one(outages: Outages) -> None:
    outages.start("twice")
    assert [outages.take_once("twice"), outages.take_once("twice")] == [True, False]
