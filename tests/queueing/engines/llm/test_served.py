"""Servers that misbehave: every fault ends in bounded time, in the right class, over both protocols."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Event, Timer

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.engines.llm.served import ServedModel
from queueing.exceptions import (
    Crashed,
    Infrastructure,
    Interrupted,
    OutOfMemory,
    Permanent,
    StageError,
    Transient,
)
from tests.queueing.engines.llm import servers
from tests.queueing.engines.llm.servers import Act, ModelServer, OllamaServer, OpenAIServer, saying, status

PROMPT = Prompt("You fill in forms.", "I am Ann.")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 80}},
    "required": ["name"],
    "additionalProperties": False,
}
OPTIONS = LanguageOptions(max_tokens=100, deadline_seconds=20)
IMPATIENT = replace(OPTIONS, deadline_seconds=0.5)
PROTOCOLS: dict[str, tuple[type[ModelServer], type[ServedModel]]] = {
    "openai": (OpenAIServer, OpenAICompatible),
    "ollama": (OllamaServer, Ollama),
}
Start = Callable[..., tuple[ModelServer, ServedModel]]


@pytest.fixture(params=PROTOCOLS)
def start(request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start a server of one protocol with a script, and the engine that speaks to it."""
    fake, engine = PROTOCOLS[request.param]
    with ExitStack() as stack:

        def go(*script: Act) -> tuple[ModelServer, ServedModel]:
            server = stack.enter_context(servers.serving(fake(list(script))))
            return server, engine(server.url, server.model, slots=2, context_tokens=4096)

        yield go


def failure(engine: ServedModel, options: LanguageOptions = OPTIONS, prompt: Prompt = PROMPT) -> StageError:
    with pytest.raises(StageError) as caught:
        engine.generate(prompt, SCHEMA, options, stop=Event())
    return caught.value


def test_an_answer_in_many_pieces_comes_back_whole_with_its_counts(start: Start) -> None:
    server, engine = start()
    generation = engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    assert generation.value == {"name": "simulated name"}
    assert (generation.asks, generation.prompt_tokens, generation.output_tokens) == (1, 30, 12)
    assert generation.model == server.model


def test_characters_that_look_like_line_ends_stay_in_the_answer(start: Start) -> None:
    _, engine = start(
        saying(json.dumps({"name": "Ann\u2028Lee\x85\x1e"}, ensure_ascii=False).replace("\x1e", "\\u001e"))
    )
    assert engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event()).value == {"name": "Ann\u2028Lee\x85\x1e"}


@pytest.mark.parametrize("bad", ["Sure, here it is!", '{"name": 7}', '{"name": "Ann"', '{"name": "A", "name": "B"}'])
def test_an_invalid_answer_is_asked_for_once_more_with_what_was_wrong(start: Start, bad: str) -> None:
    server, engine = start(saying(bad), saying('{"name": "Ann"}'))
    generation = engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    assert (generation.value, generation.asks) == ({"name": "Ann"}, 2)
    assert generation.output_tokens == 24
    first, second = (question["messages"][-1]["content"] for question in server.questions)
    assert first == PROMPT.user
    assert second.startswith(PROMPT.user)
    assert "not valid" in second


def test_an_answer_invalid_twice_is_given_up(start: Start) -> None:
    server, engine = start(saying('{"name": 7}'), saying('{"name": 8}'))
    error = failure(engine)
    assert (type(error), error.code) == (Transient, "invalid_answer")
    assert len(server.questions) == 2


def test_an_answer_cut_at_its_length_is_never_used_even_if_it_reads_well(start: Start) -> None:
    server, engine = start(saying('{"name": "Ann"}', "length"))
    error = failure(engine)
    assert (type(error), error.code) == (Transient, "answer_cut")
    assert len(server.questions) == 1


@pytest.mark.parametrize("act", [servers.hang, servers.drip, servers.endless_line])
def test_a_server_that_hangs_or_drips_is_left_at_the_deadline(start: Start, act: Act) -> None:
    _, engine = start(act)
    error = failure(engine, IMPATIENT)
    assert type(error) is Transient
    assert error.code == ("unexpected" if act is servers.endless_line else "too_slow")


def test_the_deadline_covers_both_asks(start: Start) -> None:
    server, engine = start(saying("no"), servers.drip)
    error = failure(engine, replace(OPTIONS, deadline_seconds=1))
    assert (type(error), error.code) == (Transient, "too_slow")
    assert len(server.questions) == 2


@pytest.mark.parametrize(("act", "code"), [(servers.blanks, "invalid_answer"), (servers.flood, "answer_cut")])
def test_blanks_or_words_without_end_are_stopped_while_they_come(start: Start, act: Act, code: str) -> None:
    _, engine = start(act)
    error = failure(engine)
    assert (type(error), error.code) == (Transient, code)


@pytest.mark.parametrize("act", [servers.hang, servers.drip])
def test_stop_interrupts_a_call_that_waits(start: Start, act: Act) -> None:
    _, engine = start(act)
    stop = Event()
    timer = Timer(0.2, stop.set)
    timer.start()
    with pytest.raises(Interrupted):
        engine.generate(PROMPT, SCHEMA, OPTIONS, stop=stop)
    timer.join()


FAULTS: list[tuple[str, Act, type[StageError], str]] = [
    ("404", status(404, "model not found"), Infrastructure, "model_missing"),
    ("401", status(401), Infrastructure, "engine_refuses"),
    ("429", status(429), Infrastructure, "engine_busy"),
    ("503", status(503, "busy"), Infrastructure, "engine_busy"),
    ("502", status(502), Infrastructure, "engine_unavailable"),
    ("500", status(500), Transient, "unexpected"),
    ("400", status(400, "json schema conversion failed"), Transient, "unexpected"),
    ("redirect", status(302), Transient, "unexpected"),
    ("500 out of memory", status(500, "CUDA error: out of memory"), OutOfMemory, "out_of_memory"),
    ("500 too large", status(500, "model requires more system memory (8.1 GiB)"), OutOfMemory, "out_of_memory"),
    ("500 runner gone", status(500, "llama runner process has terminated: exit status 2"), Crashed, "crashed"),
    (
        "400 too long",
        status(400, "request (9030 tokens) exceeds the available context size"),
        Permanent,
        "too_long_for_model",
    ),
    ("400 vllm", status(400, "This model's maximum context length is 4096 tokens."), Permanent, "too_long_for_model"),
    ("midway", servers.error_midway("something broke"), Transient, "unexpected"),
    ("midway memory", servers.error_midway("cudaMalloc failed: out of memory"), OutOfMemory, "out_of_memory"),
    ("broke off", servers.break_off, Infrastructure, "engine_unavailable"),
    ("reset", servers.reset, Infrastructure, "engine_unavailable"),
]


@pytest.mark.parametrize(("act", "kind", "code"), [pytest.param(*rest, id=name) for name, *rest in FAULTS])
def test_each_fault_has_its_class_and_code(start: Start, act: Act, kind: type[StageError], code: str) -> None:
    server, engine = start(act)
    error = failure(engine)
    assert (type(error), error.code) == (kind, code)
    assert len(server.questions) == 1


@pytest.mark.parametrize("engine", [OpenAICompatible, Ollama])
@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1", "http://127.0.0.1:99999", "closed"])
def test_a_server_that_is_not_there_is_infrastructure_for_every_verb(engine: type[ServedModel], url: str) -> None:
    model = engine(servers.closed_port() if url == "closed" else url, "m", slots=1, context_tokens=4096)
    error = failure(model)
    assert (type(error), error.code) == (Infrastructure, "engine_unavailable")
    with pytest.raises(Infrastructure):
        model.load()  # type: ignore[attr-defined]


def test_a_proxy_of_the_environment_is_not_asked(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    _, engine = start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, servers.closed_port())
    assert engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event()).asks == 1


def test_calls_from_several_threads_run_side_by_side(start: Start) -> None:
    both = Event()

    def wait_for_the_other(talk: servers.Conversation) -> None:
        if len(talk.server.questions) == 2:
            both.set()
        assert both.wait(10)
        servers.right(talk)

    _, engine = start(wait_for_the_other, wait_for_the_other)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(engine.generate, PROMPT, SCHEMA, OPTIONS, stop=Event()) for _ in range(2)]
        assert [call.result().asks for call in calls] == [1, 1]


def test_a_prompt_that_cannot_fit_is_refused_before_the_model_sees_it(start: Start) -> None:
    server, engine = start()
    error = failure(engine, prompt=Prompt("", "word " * 5000))
    assert (type(error), error.code) == (Permanent, "too_long_for_model")
    assert server.questions == []


def test_a_tokenizer_is_asked_when_the_bound_is_in_doubt() -> None:
    prompt = Prompt("", "introduction " * 1000)  # some 1,000 words, but the bound says 5,000 tokens
    server = OpenAIServer()
    with servers.serving(server):
        engine = OpenAICompatible(server.url, server.model, slots=1, context_tokens=4096)
        assert engine.generate(prompt, SCHEMA, OPTIONS, stop=Event()).asks == 1
        server.tokenizer = False
        assert failure(engine, prompt=prompt).code == "too_long_for_model"
    assert server.requests.count("/tokenize") == 2


def test_a_call_leaves_no_thread_and_no_connection_behind(start: Start) -> None:
    _, engine = start(servers.drip)
    before = threading.active_count()
    failure(engine, IMPATIENT)
    give_up = time.monotonic() + 5
    # The server's own thread ends when it notices that we hung up.
    while threading.active_count() > before and time.monotonic() < give_up:
        time.sleep(0.02)
    assert threading.active_count() <= before
