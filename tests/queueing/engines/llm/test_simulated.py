"""The simulated language model: announces itself, answers in the right form, misbehaves on demand."""

from __future__ import annotations

import json
from threading import Event
from typing import Any

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.answers import check
from queueing.engines.llm.simulated import SimulatedLanguage, example
from queueing.exceptions import Crashed, Infrastructure, Transient

PROMPT = Prompt("", "I am Ann.")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "maxLength": 9},
        "age": {"type": ["integer", "null"], "minimum": 5, "maximum": 99},
        "pace": {"type": "number", "exclusiveMinimum": 0, "maximum": 2},
        "level": {"enum": ["weak", "good"]},
        "kind": {"const": "form"},
        "sure": {"type": "boolean"},
        "nothing": {"type": "null"},
        "either": {"anyOf": [{"type": "string", "minLength": 40}, {"type": "null"}]},
        "evidence": {
            "type": "array",
            "items": {"enum": [1, 2, 3, 4]},
            "minItems": 1,
            "maxItems": 3,
            "uniqueItems": True,
        },
        "feedback": {"type": "array", "items": {"type": "string", "maxLength": 80}, "minItems": 3, "maxItems": 3},
        "inner": {"type": "object", "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 10}}},
    },
    "required": ["name", "age", "pace", "level", "kind", "sure", "nothing", "either", "evidence", "feedback", "inner"],
    "additionalProperties": False,
}


def loaded(**options: Any) -> SimulatedLanguage:
    engine = SimulatedLanguage(**options)
    engine.load()
    return engine


@pytest.mark.parametrize("seed", range(20))
def test_its_answers_are_valid_against_every_part_of_the_subset(seed: int) -> None:
    assert check(json.dumps(example(SCHEMA, str(seed))), SCHEMA)


def test_the_same_prompt_gets_the_same_answer_and_another_prompt_another() -> None:
    engine = loaded()
    answers = [
        engine.generate(Prompt("", text), SCHEMA, LanguageOptions(), stop=Event()).value
        for text in ("one", "one", "two", "three", "four")
    ]
    assert answers[0] == answers[1]
    assert any(answer != answers[0] for answer in answers[2:])


def test_it_says_that_it_is_simulated() -> None:
    assert loaded().simulated
    assert "simulated" in loaded().generate(PROMPT, SCHEMA, LanguageOptions(), stop=Event()).value["either"]


def test_it_fails_as_configured_in_order_and_then_works() -> None:
    engine = loaded(faults=[Transient("once"), None, Crashed("then")])
    outcomes = []
    for _ in range(4):
        try:
            outcomes.append(str(engine.generate(PROMPT, SCHEMA, LanguageOptions(), stop=Event()).asks))
        except (Transient, Crashed) as error:
            outcomes.append(str(error))
    assert outcomes == ["once", "1", "then", "1"]


def test_longer_than_the_deadline_is_too_slow() -> None:
    with pytest.raises(Transient) as caught:
        loaded(seconds=60).generate(PROMPT, SCHEMA, LanguageOptions(deadline_seconds=0.05), stop=Event())
    assert caught.value.code == "too_slow"


def test_it_answers_only_while_it_is_loaded() -> None:
    engine = loaded()
    engine.unload()
    with pytest.raises(Infrastructure):
        engine.generate(PROMPT, SCHEMA, LanguageOptions(), stop=Event())
