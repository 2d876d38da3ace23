"""What is particular to OpenAI-compatible servers."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.exceptions import Infrastructure
from tests.queueing.engines.llm.servers import OpenAIServer, serving

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    fake = OpenAIServer()
    with serving(fake):
        yield fake


def engine(server: OpenAIServer, model: str = "small", suffix: str = "") -> OpenAICompatible:
    return OpenAICompatible(server.url + suffix, model, slots=1, context_tokens=4096)


def test_the_request_carries_schema_limits_and_seed(server: OpenAIServer) -> None:
    options = LanguageOptions(max_tokens=123, temperature=0.3, seed=11)
    engine(server).generate(Prompt("Be brief.", "Hello."), SCHEMA, options, stop=Event())
    question = server.questions[0]
    assert question["response_format"]["json_schema"]["schema"] == SCHEMA
    assert (question["max_tokens"], question["temperature"], question["seed"]) == (123, 0.3, 11)
    assert question["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello."}]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_the_address_may_be_written_with_or_without_its_version(server: OpenAIServer, suffix: str) -> None:
    engine(server, suffix=suffix).load()
    assert "/v1/models" in server.requests


def test_loading_waits_for_a_server_that_is_still_loading(server: OpenAIServer) -> None:
    server.loading = 2
    engine(server).load()
    assert server.requests[:4] == ["/health"] * 3 + ["/v1/models"]


@pytest.mark.parametrize(("told", "slots"), [(2, 2), (8, 3), (None, 3), ("many", 3), (0, 3)])
def test_no_more_calls_are_made_at_once_than_the_server_answers_at_once(
    server: OpenAIServer, told: object, slots: int
) -> None:
    server.total_slots = told
    model = OpenAICompatible(server.url, "small", slots=3, context_tokens=4096)
    model.load()
    assert model.slots == slots
    server.total_slots = 3  # it was started anew
    model.load()
    assert model.slots == 3


def test_a_model_that_is_not_served_is_named_with_those_that_are(server: OpenAIServer) -> None:
    with pytest.raises(Infrastructure, match=r"'large'.*small.*tiny:latest") as caught:
        engine(server, "large").load()
    assert caught.value.code == "model_missing"


def test_the_memory_of_a_server_that_is_not_ours_is_left_alone(server: OpenAIServer) -> None:
    model = engine(server)
    model.load()
    assert model.resident() == ()
    asked = len(server.requests)
    model.unload()
    assert len(server.requests) == asked
