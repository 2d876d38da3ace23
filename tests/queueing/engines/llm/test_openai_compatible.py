"""What is particular to OpenAI-compatible servers."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.canary import FIELD, TOKENS
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.exceptions import Infrastructure
from tests.queueing.engines.llm.servers import BUILD, FakeOpenAI, serving

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def server() -> Iterator[FakeOpenAI]:
    fake = FakeOpenAI()
    with serving(fake):
        yield fake


def engine(server: FakeOpenAI, model: str = "small", suffix: str = "") -> OpenAICompatible:
    return OpenAICompatible(server.url + suffix, model, slots=1, context_tokens=4096)


def test_the_request_carries_schema_limits_and_seed(server: FakeOpenAI) -> None:
    options = LanguageOptions(max_tokens=123, temperature=0.3, seed=11)
    engine(server).generate(Prompt("Be brief.", "Hello."), SCHEMA, options, stop=Event())
    question = server.questions[0]
    schema = question["response_format"]["json_schema"]["schema"]
    assert schema["required"] == [FIELD, "name"]
    assert schema["properties"]["name"] == SCHEMA["properties"]["name"]
    assert (question["max_tokens"], question["temperature"], question["seed"]) == (123 + TOKENS, 0.3, 11)
    system, user = question["messages"]
    assert (system["role"], user) == ("system", {"role": "user", "content": "Hello."})
    assert system["content"].endswith("Be brief.")


@pytest.mark.parametrize("llama_cpp", [True, False])
def test_llama_cpp_is_told_to_keep_no_prompt_and_no_other_server_is(server: FakeOpenAI, llama_cpp: bool) -> None:
    """Its answers differ with what its cache holds; others may refuse a field that they don't know."""
    server.total_slots, server.llama_cpp = 2, llama_cpp
    model = engine(server)
    model.load()
    answer = model.generate(Prompt("", "Hello."), SCHEMA, LanguageOptions(), stop=Event())
    assert answer.engine_version == (BUILD if llama_cpp else "")
    assert server.questions[0].get("cache_prompt") == (False if llama_cpp else None)
    assert "logprobs" not in server.questions[0]


@pytest.mark.parametrize("template", ["{{ messages }}", "{% if enable_thinking %}<think>{% endif %}"])
def test_thinking_is_switched_off_where_the_models_template_has_a_switch(server: FakeOpenAI, template: str) -> None:
    server.total_slots, server.template = 2, template
    model = engine(server)
    model.load()
    model.generate(Prompt("", "Hello."), SCHEMA, LanguageOptions(), stop=Event())
    wanted = {"enable_thinking": False} if "enable_thinking" in template else None
    assert server.questions[0].get("chat_template_kwargs") == wanted


def test_a_server_without_props_is_not_taken_for_llama_cpp(server: FakeOpenAI) -> None:
    model = engine(server)
    model.load()
    model.generate(Prompt("", "Hello."), SCHEMA, LanguageOptions(), stop=Event())
    assert "cache_prompt" not in server.questions[0]


def test_free_text_is_asked_for_without_a_schema(server: FakeOpenAI) -> None:
    engine(server).write(Prompt("", "Hello."), LanguageOptions(max_tokens=50), on_text=print, stop=Event())
    question = server.questions[0]
    assert "response_format" not in question
    assert question["max_tokens"] == 50
    assert question["messages"] == [{"role": "user", "content": "Hello."}]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_address_may_be_written_with_or_without_its_version(server: FakeOpenAI, suffix: str) -> None:
    engine(server, suffix=suffix).load()
    assert "/v1/models" in server.requests


def test_loading_waits_for_a_server_that_is_still_loading(server: FakeOpenAI) -> None:
    server.loading = 2
    engine(server).load()
    assert server.requests[:4] == ["/health"] * 3 + ["/v1/models"]


@pytest.mark.parametrize(("reported", "slots"), [(2, 2), (8, 3), (None, 3), ("many", 3), (0, 3)])
def test_no_more_calls_are_made_at_once_than_the_server_answers_at_once(
    server: FakeOpenAI, reported: object, slots: int
) -> None:
    server.total_slots = reported
    model = OpenAICompatible(server.url, "small", slots=3, context_tokens=4096)
    model.load()
    assert model.slots == slots
    server.total_slots = 3  # it was started anew
    model.load()
    assert model.slots == 3


def test_a_model_that_is_not_served_is_named_with_those_that_are(server: FakeOpenAI) -> None:
    with pytest.raises(Infrastructure, match=r"'large'.*small.*tiny:latest") as caught:
        engine(server, "large").load()
    assert caught.value.code == "model_missing"


def test_the_memory_of_a_server_that_is_not_ours_is_left_alone(server: FakeOpenAI) -> None:
    model = engine(server)
    model.load()
    assert model.resident() == ()
    asked = len(server.requests)
    model.unload()
    assert len(server.requests) == asked
