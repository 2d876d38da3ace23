"""What is particular to Ollama: loading, unloading, and what is in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event, Timer
from typing import Any

import httpx
import pytest

from queueing.engines.base import LanguageOptions, Prompt, Resident
from queueing.engines.llm.canary import FIELD, TOKENS
from queueing.engines.llm.ollama import Ollama
from queueing.exceptions import Infrastructure, Interrupted, OutOfMemory, Transient
from tests.doubles import acts
from tests.doubles.card import GIB, FakeCard
from tests.doubles.ollama import FakeOllama, serving
from tests.doubles.ollama.runners import RunnerModel

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PROMPT = Prompt("Be brief.", "Hello.")
OPTIONS = LanguageOptions(deadline_seconds=20)


@pytest.fixture
def server() -> Iterator[FakeOllama]:
    with serving(FakeOllama()) as fake:
        yield fake


def engine(server: FakeOllama, model: str = "tiny") -> Ollama:
    return Ollama(server.url, model, slots=1, context_tokens=4096)


def generate(model: Ollama, options: LanguageOptions = OPTIONS, stop: Event | None = None) -> dict[str, Any]:
    return model.generate(PROMPT, SCHEMA, options, stop=stop or Event()).value


def code_of(model: Ollama, options: LanguageOptions = OPTIONS) -> str:
    with pytest.raises(Infrastructure) as caught:
        generate(model, options)
    return caught.value.code


def test_the_request_carries_everything_in_options_and_pins_the_model(server: FakeOllama) -> None:
    generate(engine(server), LanguageOptions(max_tokens=123, temperature=0.3, seed=11))
    question = server.questions[0]
    assert question["options"] == {"num_ctx": 4096, "num_predict": 123 + TOKENS, "temperature": 0.3, "seed": 11}
    assert (question["stream"], question["keep_alive"], question["think"]) == (True, -1, False)
    assert question["format"]["required"] == [FIELD, "name"]
    assert (question["truncate"], question["shift"]) == (False, False)


def test_the_digest_of_the_loaded_model_comes_with_the_answer(server: FakeOllama) -> None:
    generation = engine(server).generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    listed = httpx.get(f"{server.url}/api/tags", trust_env=False).json()["models"]
    assert generation.digest == listed[0]["digest"] != ""
    assert generation.engine_version == server.version != ""
    assert generation.model == "tiny:latest"


def test_free_text_is_asked_for_without_a_form(server: FakeOllama) -> None:
    engine(server).write(PROMPT, replace(OPTIONS, max_tokens=50), on_text=print, stop=Event())
    question = server.questions[0]
    assert "format" not in question
    assert question["options"]["num_predict"] == 50
    assert (question["truncate"], question["keep_alive"]) == (False, -1)


def test_loading_returns_when_the_model_is_in_memory(server: FakeOllama) -> None:
    server.runners.load_seconds = 0.2
    model = engine(server)
    assert model.resident() == ()
    model.load()
    (order,) = server.orders
    assert (order["keep_alive"], order["options"]) == (-1, {"num_ctx": 4096})
    size = server.runners.held["tiny:latest"].size
    assert model.resident() == (Resident("tiny:latest", size, "cuda", gpu_bytes=size),)


@pytest.mark.parametrize(("share", "device"), [(1.0, "cuda"), (0.5, "cuda+cpu"), (0.0, "cpu")])
def test_the_device_shows_what_ollama_could_not_put_on_the_gpu(server: FakeOllama, share: float, device: str) -> None:
    server.runners.gpu_share = share
    model = engine(server)
    model.load()
    assert [resident.device for resident in model.resident()] == [device]


def test_unloading_returns_when_the_memory_is_free_not_when_ollama_says_so(server: FakeOllama) -> None:
    server.runners.unload_seconds = 0.3
    model = engine(server)
    model.load()
    model.unload()
    assert server.orders[-1]["keep_alive"] == 0
    assert server.loaded() == []
    assert model.resident() == ()


def test_a_model_that_does_not_leave_is_infrastructure(server: FakeOllama) -> None:
    model = engine(server)
    model.load()
    model.unload_seconds = 0.3
    server.runners.unload_seconds = float("inf")
    with pytest.raises(Infrastructure, match="restart Ollama"):
        model.unload()


def test_unloading_twice_sends_one_request(server: FakeOllama) -> None:
    model = engine(server)
    model.load()
    model.unload()
    model.unload()
    assert [order["keep_alive"] for order in server.orders] == [-1, 0]


def test_a_missing_model_says_how_to_get_it(server: FakeOllama) -> None:
    """F55."""
    model = engine(server, "large")
    with pytest.raises(Infrastructure, match=r"ollama pull large") as caught:
        model.load()
    assert caught.value.code == "model_missing"
    assert code_of(model) == "model_missing"


@pytest.mark.parametrize("version", ["0.17.0", "0.9.9", "", "unknown"])
def test_an_ollama_with_known_holes_is_refused(server: FakeOllama, version: str) -> None:
    """S48: it is sent neither a model to load nor a word of a student."""
    server.version = version
    with pytest.raises(Infrastructure, match=r"0\.17\.1"):
        engine(server).load()
    assert code_of(engine(server)) == "engine_unfit"
    assert (server.orders, server.questions) == ([], [])


@pytest.mark.parametrize("version", ["0.17.1", "0.18.0-rc1", "1.0.0", "0.0.0"])
def test_newer_ones_and_those_built_from_source_are_taken(server: FakeOllama, version: str) -> None:
    """S48."""
    server.version = version
    engine(server).load()
    assert server.loaded() == ["tiny:latest"]


def test_a_context_smaller_than_asked_for_is_refused_at_loading() -> None:
    short = FakeOllama(RunnerModel("tiny:latest", context=2048))
    with serving(short), pytest.raises(Infrastructure, match="LLM_CONTEXT_TOKENS to 2048"):
        engine(short).load()


def test_a_server_that_is_not_running_holds_nothing() -> None:
    """Else a stopped Ollama would keep speech recognition from loading, too. F45."""
    fake = FakeOllama()
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


def test_a_server_that_comes_back_is_used_at_once(server: FakeOllama) -> None:
    """F45: nothing remembers that it was away."""
    model = engine(server)
    model.load()
    server.server.do(server.die())
    assert code_of(model) == "engine_unavailable"
    server.server.do(server.server.open())
    assert generate(model)


def test_a_model_that_slips_off_the_gpu_is_noticed_by_the_next_call(server: FakeOllama) -> None:
    """F53: and it stays refused, even if it is loaded again, until it is back on the GPU."""
    model = engine(server)
    model.load()
    generate(model)
    server.runners.held["tiny:latest"].on_gpu //= 2
    assert code_of(model) == "cpu_fallback"
    assert len(server.questions) == 1
    model.unload()
    server.runners.gpu_share = 0.5
    with pytest.raises(Infrastructure) as caught:
        model.load()
    assert caught.value.code == "cpu_fallback"
    model.unload()
    server.runners.gpu_share = 1.0
    model.load()
    assert generate(model)


def test_a_model_that_never_was_on_a_gpu_is_used_where_it_is(server: FakeOllama) -> None:
    """F53: a lab without a GPU works on the processor."""
    server.runners.gpu_share = 0.0
    model = engine(server)
    model.load()
    assert generate(model)


def test_another_program_on_the_card_pushes_the_model_off_it(tmp_path: Path) -> None:
    """F53: as Ollama does, without a word."""
    card = FakeCard(tmp_path / "card")
    with serving(FakeOllama(RunnerModel("tiny:latest", weights=5 * GIB), card=card)) as server:
        model = engine(server)
        model.load()
        model.unload()
        card.take("game", "", 4 * GIB)
        with pytest.raises(Infrastructure) as caught:
            model.load()
    assert caught.value.code == "cpu_fallback"
    assert card.look().most <= card.total


def test_a_call_to_a_model_that_is_not_loaded_loads_it_first_by_an_empty_request(server: FakeOllama) -> None:
    """F60."""
    assert generate(engine(server))
    assert server.requests == ["/api/ps", "/api/version", "/api/generate", "/api/ps", "/api/chat"]
    assert "prompt" not in server.orders[0]


def test_stop_during_a_load_ends_the_call_but_not_the_load(server: FakeOllama) -> None:
    """F60."""
    server.runners.load_seconds = 1.0
    model, stop = engine(server), Event()
    Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        generate(model, stop=stop)
    assert time.monotonic() - began < 0.9
    model.load()
    assert server.runners.cancels_during_load == 0
    assert len(server.orders) == 1  # the one load was waited for, not asked for again
    assert generate(model)


def test_a_deadline_during_a_load_ends_the_call_but_not_the_load(server: FakeOllama) -> None:
    """F60."""
    server.runners.load_seconds = 1.0
    model = engine(server)
    with pytest.raises(Transient) as caught:
        generate(model, replace(OPTIONS, deadline_seconds=0.2))
    assert caught.value.code == "too_slow"
    model.load_seconds = 0.2
    with pytest.raises(Infrastructure, match="has not loaded"):
        model.load()
    model.unload()  # waits for the load, so that it can't be in memory afterwards
    assert server.runners.cancels_during_load == 0
    assert (server.loaded(), model.resident()) == ([], ())


def test_a_model_that_somebody_loaded_with_another_context_is_loaded_anew_before_the_question(
    server: FakeOllama,
) -> None:
    """F60: the question would load it, and a stop would then cancel that load."""
    httpx.post(
        f"{server.url}/api/generate", json={"model": "tiny", "options": {"num_ctx": 512}}, timeout=5, trust_env=False
    )
    server.runners.load_seconds = 0.5
    model, stop = engine(server), Event()
    Timer(0.2, stop.set).start()
    with pytest.raises(Interrupted):
        generate(model, stop=stop)
    assert generate(model)
    assert server.runners.cancels_during_load == 0


def test_calls_that_come_while_it_loads_share_the_one_load(server: FakeOllama) -> None:
    """F60."""
    server.runners.load_seconds = 0.3
    model = engine(server)
    with ThreadPoolExecutor(3) as threads:
        assert all(call.result() for call in [threads.submit(generate, model) for _ in range(3)])
    assert len(server.orders) == 1


def test_unloading_fails_while_a_load_never_ends(server: FakeOllama) -> None:
    """F60: what is still loading would be in memory beside the next model."""
    server.runners.load_seconds = 1.0
    model = engine(server)
    model.load_seconds = model.unload_seconds = 0.1
    with pytest.raises(Infrastructure):
        model.load()
    with pytest.raises(Infrastructure, match="still loading"):
        model.unload()


def test_a_load_that_fails_says_why(server: FakeOllama) -> None:
    """F55."""
    server.runners.load_error = "llama runner process has terminated: cudaMalloc failed: out of memory"
    with pytest.raises(OutOfMemory):
        engine(server).load()
    with pytest.raises(OutOfMemory):
        generate(engine(server))


def test_the_fake_does_record_a_client_that_hangs_up_during_a_load(server: FakeOllama) -> None:
    """F60: the control; the counts of zero above would mean nothing without it."""
    server.runners.load_seconds = 1.0
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/api/generate", json={"model": "tiny"}, timeout=0.2, trust_env=False)
    give_up = time.monotonic() + 5
    while not server.runners.cancels_during_load and time.monotonic() < give_up:
        time.sleep(0.01)
    assert server.runners.cancels_during_load == 1
    model = engine(server)
    model.unload_seconds = 0.2
    with pytest.raises(Infrastructure, match="restart Ollama"):
        model.unload()  # an orphan


def test_a_server_that_hangs_even_when_asked_what_is_loaded_is_infrastructure(server: FakeOllama) -> None:
    """F46."""
    server.hangs = True
    model, stop = engine(server), Event()
    model.control_seconds = 0.2
    assert code_of(model) == "engine_unavailable"
    model.control_seconds = 10
    Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        generate(model, stop=stop)
    assert time.monotonic() - began < 2


def test_the_server_that_dies_in_mid_answer_frees_its_memory(tmp_path: Path) -> None:
    card = FakeCard(tmp_path / "card")
    with serving(FakeOllama(card=card, script=[acts.dies])) as server:
        model = engine(server)
        model.load()
        assert card.used
        assert code_of(model) == "engine_unavailable"
        assert model.resident() == ()
        assert card.used == 0
