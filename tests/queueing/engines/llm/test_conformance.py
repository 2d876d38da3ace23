"""The contract of a language engine (queueing.engines.base), the same for all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from introeval.rehearsal.engines import Memory, SimulatedModel
from introeval.rehearsal.outages import Outages
from queueing.engines.base import LanguageEngine, LanguageOptions, Prompt
from queueing.engines.llm.answers import check
from queueing.engines.llm.embedded import EmbeddedLlama
from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.exceptions import Infrastructure, Interrupted, Permanent, Transient
from queueing.states import PhaseName
from tests.doubles import ollama
from tests.doubles.ollama import FakeOllama
from tests.queueing.engines.llm.servers import FakeOpenAI, serving

PROMPT = Prompt("You fill in forms.", "Hello, I am Ann Miller and I am 17. I like chess.")
OPTIONS = LanguageOptions(max_tokens=200, deadline_seconds=60)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "maxLength": 40},
        "age": {"type": ["integer", "null"], "minimum": 5, "maximum": 99},
        "level": {"enum": ["weak", "fair", "good"]},
        "evidence": {"type": "array", "items": {"enum": [1, 2]}, "minItems": 1, "maxItems": 2},
    },
    "required": ["name", "age", "level", "evidence"],
    "additionalProperties": False,
}


ITEM: dict[str, Any] = {
    "type": "object",
    "properties": {"why": {"type": "string", "maxLength": 60}, "answer": {"type": "boolean"}},
    "required": ["why", "answer"],
    "additionalProperties": False,
}
JUDGED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "items": {"type": "object", "properties": {"name": ITEM, "future": ITEM}, "required": ["name", "future"]},
        "again": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2},
    },
    "required": ["items", "again"],
    "additionalProperties": False,
}


@pytest.fixture(params=["simulated", "openai-compatible", "ollama", pytest.param("embedded", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Iterator[LanguageEngine]:
    match request.param:
        case "simulated":
            yield SimulatedLanguage(slots=2)
        case "openai-compatible":
            with serving(FakeOpenAI()) as server:
                yield OpenAICompatible(server.url, server.model, slots=2, context_tokens=4096)
        case "ollama":
            with ollama.serving(FakeOllama()) as fake:
                fake.runners.parallel = 2
                yield Ollama(fake.url, fake.model, slots=2, context_tokens=4096)
        case "embedded":
            embedded = EmbeddedLlama("smollm2", slots=2, context_tokens=4096)
            yield embedded
            embedded.unload()


@pytest.fixture
def loaded(engine: LanguageEngine) -> LanguageEngine:
    engine.load()
    return engine


def test_it_names_itself_and_its_model(engine: LanguageEngine) -> None:
    assert engine.name
    assert engine.model
    assert engine.slots == 2
    assert engine.simulated is (engine.name == "simulated")


def test_what_it_needs_of_the_gpu_is_known_without_loading_it(engine: LanguageEngine) -> None:
    needs = engine.needs()
    assert needs is None or needs >= 0
    assert 0 <= engine.token_bytes() * engine.context_tokens * engine.slots <= (needs or 0)
    assert engine.resident() == ()


def test_load_and_unload_are_idempotent_and_unload_leaves_nothing(engine: LanguageEngine) -> None:
    for _ in range(2):
        engine.unload()
        assert engine.resident() == ()
        engine.load()
        engine.load()
        engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    engine.unload()
    engine.unload()
    assert engine.resident() == ()


def test_an_answer_is_valid_and_says_what_it_took(loaded: LanguageEngine) -> None:
    generation = loaded.generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    assert check(json.dumps(generation.value), SCHEMA) == generation.value
    assert generation.model == loaded.model
    assert generation.asks in (1, 2)
    assert generation.finish == "stop"
    assert generation.prompt_tokens > 0
    assert generation.output_tokens > 0
    assert generation.seconds > 0


def test_the_probability_of_each_boolean_is_on_the_side_of_what_was_said(loaded: LanguageEngine) -> None:
    options = replace(OPTIONS, probabilities=True)
    generation = loaded.generate(PROMPT, JUDGED, options, stop=Event())
    said = {f"items.{name}.answer": item["answer"] for name, item in generation.value["items"].items()}
    said |= {f"again.{number}": answer for number, answer in enumerate(generation.value["again"])}
    assert len(said) == 4
    assert {path: chance > 0.5 for path, chance in generation.probabilities.items()} == said
    assert all(0 < chance < 1 for chance in generation.probabilities.values())
    assert loaded.generate(PROMPT, JUDGED, OPTIONS, stop=Event()).probabilities == {}


def test_an_answer_carries_what_makes_it_again(loaded: LanguageEngine) -> None:
    generation = loaded.generate(PROMPT, SCHEMA, replace(OPTIONS, seed=3, temperature=0.0), stop=Event())
    assert (generation.seed, generation.temperature) == (3, 0.0)
    written = json.loads(generation.text)
    assert {key: written[key] for key in generation.value} == generation.value


def test_as_many_calls_as_slots_run_at_once(loaded: LanguageEngine) -> None:
    with ThreadPoolExecutor(loaded.slots) as threads:
        calls = [
            threads.submit(loaded.generate, PROMPT, SCHEMA, OPTIONS, stop=Event()) for _ in range(2 * loaded.slots)
        ]
        assert all(call.result().value for call in calls)


def test_a_call_with_stop_set_is_interrupted(loaded: LanguageEngine) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Interrupted):
        loaded.generate(PROMPT, SCHEMA, OPTIONS, stop=stop)


def test_a_prompt_beyond_the_context_is_permanent(loaded: LanguageEngine) -> None:
    with pytest.raises(Permanent) as caught:
        loaded.generate(Prompt("", "introduce " * 8000), SCHEMA, OPTIONS, stop=Event())
    assert caught.value.code == "too_long_for_model"


def test_a_call_past_its_deadline_is_too_slow(loaded: LanguageEngine) -> None:
    if isinstance(loaded, SimulatedLanguage):
        loaded = SimulatedLanguage(60)
        loaded.load()
    with pytest.raises(Transient) as caught:
        loaded.generate(PROMPT, SCHEMA, replace(OPTIONS, deadline_seconds=0.0001), stop=Event())
    assert caught.value.code == "too_slow"


def test_free_text_is_passed_on_piece_by_piece_and_comes_back_whole(loaded: LanguageEngine) -> None:
    pieces: list[str] = []
    text = loaded.write(PROMPT, OPTIONS, on_text=pieces.append, stop=Event())
    assert text.text.strip()
    assert "".join(pieces) == text.text
    assert len(pieces) > 3
    assert text.model == loaded.model
    assert text.finish in ("stop", "length")
    assert text.prompt_tokens > 0
    assert text.output_tokens > 0
    assert text.seconds > 0


def test_free_text_that_is_cut_says_so(loaded: LanguageEngine) -> None:
    text = loaded.write(PROMPT, replace(OPTIONS, max_tokens=4), on_text=lambda _: None, stop=Event())
    assert text.finish == "length"
    assert 0 < len(text.text) < 60


def test_free_text_keeps_to_the_same_limits(loaded: LanguageEngine) -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Interrupted):
        loaded.write(PROMPT, OPTIONS, on_text=print, stop=stop)
    with pytest.raises(Permanent) as caught:
        loaded.write(Prompt("", "introduce " * 8000), OPTIONS, on_text=print, stop=Event())
    assert caught.value.code == "too_long_for_model"
    if isinstance(loaded, SimulatedLanguage):
        loaded = SimulatedLanguage(60)
        loaded.load()
    with pytest.raises(Transient) as late:
        loaded.write(PROMPT, replace(OPTIONS, deadline_seconds=0.0001), on_text=print, stop=Event())
    assert late.value.code == "too_slow"


def test_the_rehearsals_stand_in_follows_the_contract_too(tmp_path: Path) -> None:
    kind, outages = PhaseName.EVAL, Outages(tmp_path / "outages")
    model = SimulatedModel(kind, Memory(tmp_path / "gpus", "n"), outages, model="m", seconds=0.01, move_seconds=0)
    engine: LanguageEngine = model
    pieces: list[str] = []
    with pytest.raises(Infrastructure):
        engine.write(PROMPT, OPTIONS, on_text=pieces.append, stop=Event())
    engine.load()
    assert engine.write(PROMPT, OPTIONS, on_text=pieces.append, stop=Event()).text == "".join(pieces) == "simulated"
    engine.unload()
