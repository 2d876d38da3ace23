"""What is particular to Ollama: loading, unloading, and what is in memory."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from queueing.engines.base import LanguageOptions, Prompt, Resident
from queueing.engines.llm.ollama import Ollama
from queueing.exceptions import Infrastructure
from tests.queueing.engines.llm.servers import OllamaServer, serving

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    fake = OllamaServer()
    with serving(fake):
        yield fake


def engine(server: OllamaServer, model: str = "tiny") -> Ollama:
    return Ollama(server.url, model, slots=1, context_tokens=4096)


def test_the_request_carries_everything_in_options_and_pins_the_model(server: OllamaServer) -> None:
    options = LanguageOptions(max_tokens=123, temperature=0.3, seed=11)
    engine(server).generate(Prompt("Be brief.", "Hello."), SCHEMA, options, stop=Event())
    question = server.questions[0]
    assert question["options"] == {"num_ctx": 4096, "num_predict": 123, "temperature": 0.3, "seed": 11}
    assert (question["format"], question["stream"], question["keep_alive"]) == (SCHEMA, True, -1)
    assert (question["truncate"], question["shift"]) == (False, False)


def test_loading_returns_when_the_model_is_in_memory(server: OllamaServer) -> None:
    model = engine(server)
    assert model.resident() == ()
    model.load()
    assert server.loaded
    assert server.questions[0]["keep_alive"] == -1
    assert server.questions[0]["options"] == {"num_ctx": 4096}
    assert model.resident() == (Resident("tiny:latest", 5_000_000_000, "cuda", gpu_bytes=5_000_000_000),)


@pytest.mark.parametrize(("share", "device"), [(1.0, "cuda"), (0.5, "cuda+cpu"), (0.0, "cpu")])
def test_the_device_tells_what_ollama_could_not_put_on_the_gpu(server: OllamaServer, share: float, device: str) -> None:
    server.on_gpu = share
    model = engine(server)
    model.load()
    assert [resident.device for resident in model.resident()] == [device]


def test_unloading_returns_when_the_memory_is_free_not_when_ollama_says_so(server: OllamaServer) -> None:
    model = engine(server)
    model.load()
    server.unload_after = 3
    model.unload()
    assert server.questions[-1]["keep_alive"] == 0
    assert server.unload_after == 0
    assert model.resident() == ()


def test_a_model_that_does_not_leave_is_infrastructure(server: OllamaServer) -> None:
    model = engine(server)
    model.load()
    model.unload_seconds = 0.3
    server.unload_after = -1
    with pytest.raises(Infrastructure, match="restart Ollama"):
        model.unload()


def test_unloading_twice_asks_once(server: OllamaServer) -> None:
    model = engine(server)
    model.load()
    model.unload()
    model.unload()
    assert [question["keep_alive"] for question in server.questions] == [-1, 0]


def test_a_missing_model_says_how_to_get_it(server: OllamaServer) -> None:
    server.installed = False
    with pytest.raises(Infrastructure, match=r"ollama pull tiny") as caught:
        engine(server).load()
    assert caught.value.code == "model_missing"


@pytest.mark.parametrize("version", ["0.17.0", "0.9.9", "", "unknown"])
def test_an_ollama_with_known_holes_is_refused(server: OllamaServer, version: str) -> None:
    server.version = version
    with pytest.raises(Infrastructure, match=r"0\.17\.1"):
        engine(server).load()
    assert server.questions == []


@pytest.mark.parametrize("version", ["0.17.1", "0.18.0-rc1", "1.0.0", "0.0.0"])
def test_newer_ones_and_those_built_from_source_are_taken(server: OllamaServer, version: str) -> None:
    server.version = version
    engine(server).load()
    assert server.loaded


def test_a_context_smaller_than_asked_for_is_refused_at_loading(server: OllamaServer) -> None:
    server.context = 2048
    with pytest.raises(Infrastructure, match="LLM_CONTEXT_TOKENS to 2048"):
        engine(server).load()


def test_a_server_that_is_not_running_holds_nothing() -> None:
    """Else a stopped Ollama would keep speech recognition from loading, too."""
    fake = OllamaServer()
    with serving(fake):
        model = engine(fake)
    model.unload()
    assert model.resident() == ()
    with pytest.raises(Infrastructure):
        model.load()


def test_a_server_that_cannot_be_reached_may_still_hold_the_gpu() -> None:
    unknown = Ollama("http://no-such-host.invalid:11434", "tiny", slots=1, context_tokens=4096)
    with pytest.raises(Infrastructure):
        unknown.unload()
