"""Servers that misbehave: every fault ends in bounded time, in the right class, over both protocols."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.answers import fewest_tokens, most_tokens
from queueing.engines.llm.canary import Canary
from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.engines.llm.request import Question
from queueing.engines.llm.served import ServedModel
from queueing.exceptions import (
    Crashed,
    Infrastructure,
    OutOfMemory,
    Permanent,
    StageError,
    Transient,
)
from tests.doubles import acts
from tests.doubles.acts import Act, Talk, saying, status
from tests.queueing.engines.llm import servers
from tests.queueing.engines.llm.conftest import Start
from tests.queueing.engines.llm.servers import FakeOpenAI

PROMPT = Prompt("You fill in forms.", "I am Ann.")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 80}},
    "required": ["name"],
    "additionalProperties": False,
}
OPTIONS = LanguageOptions(max_tokens=100, deadline_seconds=20)
GOOD = '{"prompt_code": "CODE", "name": "Ann"}'


JUDGED = {
    "type": "object",
    "properties": {"likes": {"type": "object", "properties": {"art": {"type": "boolean"}, "law": {"type": "boolean"}}}},
    "required": ["likes"],
}
BOOLEANS = '{"prompt_code": "CODE", "likes": {"art": true, "law": false}}'
SURE = replace(OPTIONS, probabilities=True)


def failure(engine: ServedModel, options: LanguageOptions = OPTIONS, prompt: Prompt = PROMPT) -> StageError:
    with pytest.raises(StageError) as caught:
        engine.generate(prompt, SCHEMA, options, stop=Event())
    return caught.value


def test_an_answer_in_many_pieces_comes_back_whole_with_its_counts(start: Start) -> None:
    server, engine = start()
    generation = engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    assert generation.value == {"name": "simulated name"}
    assert (generation.asks, generation.finish) == (1, "stop")
    assert generation.prompt_tokens > 20
    assert generation.output_tokens > 8
    assert generation.model == server.model


def test_the_probability_of_each_boolean_comes_with_the_answer(start: Start) -> None:
    _, engine = start(saying(BOOLEANS), acts.right, acts.right)
    found = engine.generate(PROMPT, JUDGED, SURE, stop=Event()).probabilities
    assert found == {"likes.art": pytest.approx(0.9), "likes.law": pytest.approx(0.2)}
    streamed = engine.generate(PROMPT, JUDGED, SURE, stop=Event())
    expected = {True: pytest.approx(0.9), False: pytest.approx(0.2)}
    assert streamed.probabilities == {f"likes.{key}": expected[said] for key, said in streamed.value["likes"].items()}
    assert not engine.generate(PROMPT, JUDGED, OPTIONS, stop=Event()).probabilities


def test_probabilities_are_those_of_the_answer_that_is_used(start: Start) -> None:
    _, engine = start(saying(BOOLEANS.replace("true", "7")), saying(BOOLEANS.replace("true", "false")))
    found = engine.generate(PROMPT, JUDGED, SURE, stop=Event()).probabilities
    assert found == {"likes.art": pytest.approx(0.2), "likes.law": pytest.approx(0.2)}


def test_a_server_that_does_not_report_them_gives_none(start: Start) -> None:
    server, engine = start(saying(BOOLEANS))
    server.knows_logprobs = False
    generation = engine.generate(PROMPT, JUDGED, SURE, stop=Event())
    assert (generation.asks, generation.probabilities) == (1, {})


def test_a_server_that_refuses_to_be_asked_for_them_is_asked_without(start: Start) -> None:
    server, engine = start(acts.refusing("logprobs"))
    generation = engine.generate(PROMPT, JUDGED, SURE, stop=Event())
    assert (generation.asks, generation.probabilities) == (1, {})
    assert ["logprobs" in question for question in server.questions] == [True, False]


def test_any_other_refusal_is_not_asked_again(start: Start) -> None:
    server, engine = start(status(400, "unknown field: seed"))
    assert failure(engine, SURE).code == "unexpected"
    assert len(server.questions) == 1


def test_free_text_is_not_asked_for_with_probabilities(start: Start) -> None:
    server, engine = start()
    engine.write(PROMPT, SURE, on_text=print, stop=Event())
    assert "logprobs" not in server.questions[0]


def test_an_answer_carries_where_it_came_from(start: Start) -> None:
    server, engine = start(saying(GOOD))
    generation = engine.generate(PROMPT, SCHEMA, replace(OPTIONS, seed=11, temperature=0.3), stop=Event())
    assert json.loads(generation.text)["name"] == "Ann"
    assert (generation.seed, generation.temperature) == (11, 0.3)
    assert generation.model == server.model


def test_characters_that_look_like_line_ends_stay_in_the_answer(start: Start) -> None:
    odd = "Ann\u2028Lee\x85"
    _, engine = start(saying(GOOD.replace("Ann", odd)))
    assert engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event()).value == {"name": odd}


@pytest.mark.parametrize(
    "bad", ["Sure, here it is!", '{"prompt_code": "CODE", "name": 7}', GOOD[:-1], GOOD[:-1] + ', "name": "B"}']
)
def test_an_invalid_answer_is_asked_for_once_more_with_what_was_wrong(start: Start, bad: str) -> None:
    server, engine = start(saying(bad), saying(GOOD))
    generation = engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    assert (generation.value, generation.asks) == ({"name": "Ann"}, 2)
    first, second = (question["messages"][-1]["content"] for question in server.questions)
    assert first == PROMPT.user
    assert second.startswith(PROMPT.user)
    assert "not valid" in second


def test_a_server_that_closes_idle_connections_is_asked_again_all_the_same(start: Start) -> None:
    server, engine = start(saying("Sure, here it is!"), saying(GOOD))
    server.server.drops_idle = True
    assert engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event()).asks == 2


def test_an_answer_invalid_twice_is_given_up(start: Start) -> None:
    bad = saying('{"prompt_code": "CODE", "name": 7}')
    server, engine = start(bad, bad)
    error = failure(engine)
    assert (type(error), error.code) == (Transient, "invalid_answer")
    assert len(server.questions) == 2


def test_an_answer_without_room_for_a_correction_is_given_up_at_once(start: Start) -> None:
    server, engine = start(saying("no"))
    engine.context_tokens = least_context()
    error = failure(engine)
    assert (type(error), error.code) == (Transient, "invalid_answer")
    assert len(server.questions) == 1


def test_a_cut_answer_is_asked_for_once_more_with_more_room(start: Start) -> None:
    """F49: it is never used, even if it reads well."""
    server, engine = start(saying(GOOD, "length"), saying(GOOD.replace("Ann", "Ben")))
    generation = engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event())
    assert (generation.value, generation.asks, generation.finish) == ({"name": "Ben"}, 2, "stop")
    first, second = (limit(question) for question in server.questions)
    assert second == first + OPTIONS.max_tokens
    assert [question["messages"][-1]["content"] for question in server.questions] == [PROMPT.user] * 2


def test_an_answer_cut_twice_is_given_up(start: Start) -> None:
    """F49."""
    server, engine = start(saying(GOOD, "length"), saying(GOOD, "length"))
    error = failure(engine)
    assert (type(error), error.code) == (Transient, "answer_cut")
    assert len(server.questions) == 2


def test_a_cut_answer_gets_no_more_room_than_the_context_has(start: Start) -> None:
    """F49."""
    server, engine = start(saying(GOOD, "length"), saying(GOOD, "length"))
    engine.context_tokens = least_context()
    assert failure(engine).code == "answer_cut"
    first, second = (limit(question) for question in server.questions)
    assert first < second < first + OPTIONS.max_tokens
    assert second < engine.context_tokens


def least_context() -> int:
    """The smallest context that the question surely fits into."""
    request = Question(PROMPT, SCHEMA, OPTIONS, Canary(PROMPT)).request()
    return most_tokens(request.prompt) + request.options.max_tokens


def limit(question: dict[str, Any]) -> int:
    limit: int = question["max_tokens"] if "max_tokens" in question else question["options"]["num_predict"]
    return limit


@pytest.mark.parametrize("share", [number / 20 for number in range(1, 20)])
def test_a_truncated_answer_called_whole_is_no_answer(start: Start, share: float) -> None:
    """F49: half an answer is not a good one."""
    _, engine = start(acts.truncate(share), acts.truncate(share))
    assert failure(engine).code in ("invalid_answer", "prompt_cut")


def test_the_deadline_covers_both_asks(start: Start) -> None:
    server, engine = start(saying("no"), acts.hang_midway)
    error = failure(engine, replace(OPTIONS, deadline_seconds=1))
    assert (type(error), error.code) == (Transient, "too_slow")
    assert len(server.questions) == 2


@pytest.mark.parametrize(("act", "code"), [(acts.blanks, "invalid_answer"), (acts.flood, "answer_cut")])
def test_blanks_or_words_without_end_are_stopped_while_they_come(start: Start, act: Act, code: str) -> None:
    """F50: within a second of the 257th blank, of which this server sends two per half a millisecond."""
    _, engine = start(act)
    began = time.monotonic()
    error = failure(engine)
    assert (type(error), error.code) == (Transient, code)
    assert time.monotonic() - began < OPTIONS.deadline_seconds


def test_a_line_without_end_is_stopped(start: Start) -> None:
    _, engine = start(acts.endless_line)
    error = failure(engine)
    assert (type(error), error.code) == (Transient, "unexpected")


# F45, F48, F55: what each status and each of its messages means. (status, text, class, code)
MEANINGS: list[tuple[int, str, type[StageError], str]] = [
    (404, "model 'tiny' not found", Infrastructure, "model_missing"),
    (401, "unauthorized", Infrastructure, "engine_refuses"),
    (403, "forbidden", Infrastructure, "engine_refuses"),
    (408, "timeout", Infrastructure, "engine_busy"),
    (429, "slow down", Infrastructure, "engine_busy"),
    (502, "bad gateway", Infrastructure, "engine_unavailable"),
    (503, "server busy, please try again.  maximum pending requests exceeded", Infrastructure, "engine_busy"),
    (504, "gateway timeout", Infrastructure, "engine_unavailable"),
    (302, "over there", Transient, "unexpected"),
    (400, "json schema conversion failed", Transient, "unexpected"),
    (500, "something broke", Transient, "unexpected"),
    (500, "CUDA error: out of memory", OutOfMemory, "out_of_memory"),
    (500, "model requires more system memory (8.1 GiB) than is available (3.2 GiB)", OutOfMemory, "out_of_memory"),
    (
        500,
        "llama runner process has terminated: cudaMalloc failed: out of memory",
        OutOfMemory,
        "out_of_memory",
    ),
    (500, "llama runner process has terminated: exit status 2", Crashed, "crashed"),
    (500, "llama runner process no longer running: -1", Crashed, "crashed"),
    (500, "model runner has unexpectedly stopped, this may be due to resource limitations", Crashed, "crashed"),
    (500, "timed out waiting for llama runner to start - progress 0.00 -", Infrastructure, "engine_unavailable"),
    (500, "unable to load model: /blobs/sha256-1", Infrastructure, "engine_unfit"),
    (400, "the input length exceeds the context length", Permanent, "too_long_for_model"),
    (400, "request (9030 tokens) exceeds the available context size", Permanent, "too_long_for_model"),
    (400, "This model's maximum context length is 4096 tokens.", Permanent, "too_long_for_model"),
    (
        400,
        '{"error":{"code":400,"message":"request (26 tokens) exceeds the available context size (5 tokens)"}}',
        Permanent,
        "too_long_for_model",
    ),
]


@pytest.mark.parametrize(("code", "words", "kind", "meaning"), MEANINGS)
def test_each_status_and_its_words_have_one_meaning(
    start: Start, code: int, words: str, kind: type[StageError], meaning: str
) -> None:
    """F55."""
    server, engine = start(status(code, words))
    error = failure(engine)
    assert (type(error), error.code) == (kind, meaning)
    assert len(server.questions) == 1


@pytest.mark.parametrize(("code", "words", "kind", "meaning"), [row for row in MEANINGS if row[0] in (400, 500)])
def test_the_same_words_mean_the_same_in_mid_answer(
    start: Start, code: int, words: str, kind: type[StageError], meaning: str
) -> None:
    """F48: an error under status 200; nothing of the half answer is used or requested again."""
    server, engine = start(acts.error_midway(words))
    error = failure(engine)
    assert (type(error), error.code) == (kind, meaning)
    assert len(server.questions) == 1


@pytest.mark.parametrize("act", [acts.break_off, acts.reset, acts.dies])
def test_a_stream_that_ends_in_mid_answer_is_infrastructure(start: Start, act: Act) -> None:
    """F48."""
    server, engine = start(act)
    error = failure(engine)
    assert (type(error), error.code) == (Infrastructure, "engine_unavailable")
    assert len(server.questions) == 1


@pytest.mark.parametrize("engine", [OpenAICompatible, Ollama])
@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1", "http://127.0.0.1:99999", "closed"])
def test_a_server_that_is_not_there_is_infrastructure_for_every_verb(engine: type[ServedModel], url: str) -> None:
    """F45."""
    model = engine(servers.closed_port() if url == "closed" else url, "m", slots=1, context_tokens=4096)
    error = failure(model)
    assert (type(error), error.code) == (Infrastructure, "engine_unavailable")
    with pytest.raises(Infrastructure):
        model.write(PROMPT, OPTIONS, on_text=print, stop=Event())
    with pytest.raises(Infrastructure):
        model.load()  # type: ignore[attr-defined]


def test_a_proxy_of_the_environment_is_not_asked(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    _, engine = start()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, servers.closed_port())
    assert engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event()).asks == 1


def test_calls_from_several_threads_run_side_by_side(start: Start) -> None:
    both = Event()

    async def wait_for_the_other(talk: Talk) -> None:
        if len(server.questions) == 2:
            both.set()
        while not both.is_set():
            await asyncio.sleep(0.01)
        await acts.right(talk)

    server, engine = start(wait_for_the_other, wait_for_the_other)
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
    server = FakeOpenAI()
    with servers.serving(server):
        engine = OpenAICompatible(server.url, server.model, slots=1, context_tokens=4096)
        assert engine.generate(prompt, SCHEMA, OPTIONS, stop=Event()).asks == 1
        assert failure(engine, prompt=Prompt("", "in tro duc tion " * 1000)).code == "too_long_for_model"
    assert server.requests.count("/tokenize") == 2
    assert len(server.questions) == 1


@pytest.mark.parametrize("word", ["introduction ", "はじめまして。", "नमस्ते ", "早上好，", "Grüße, "])
def test_without_a_tokenizer_what_may_fit_is_sent_in_any_script(start: Start, word: str) -> None:
    """Two minutes of speech and more; a byte of these scripts is no token."""
    server, engine = start()
    if isinstance(server, FakeOpenAI):
        server.tokenizer = False
    prompt = Prompt("", word * 900)
    assert fewest_tokens(prompt) < engine.context_tokens - OPTIONS.max_tokens < most_tokens(prompt)
    assert engine.generate(prompt, SCHEMA, OPTIONS, stop=Event()).asks == 1


def test_a_prompt_that_was_cut_and_may_have_been_too_long_was_too_long(start: Start) -> None:
    """Asking again would cut it again."""
    no_code = saying('{"prompt_code": "", "name": "Ann"}')
    _, engine = start(no_code, no_code)
    error = failure(engine, prompt=Prompt("", "はじめまして。" * 600))
    assert (type(error), error.code) == (Permanent, "too_long_for_model")


def test_a_call_leaves_no_thread_behind(start: Start) -> None:
    _, engine = start(acts.hang_midway)
    before = threading.active_count()
    failure(engine, replace(OPTIONS, deadline_seconds=0.3))
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("```json\n", "\n```"),
        ("Here is the form:\n\n```\n", "\n```\nIs it as you want it?"),
        ("<think>\nA {form}. True or false?\n</think>\n\n", ""),
        ("It thinks </think> and </think>", ""),
        ("<think>\nSo.\n</think>\n```json\n", "\n```"),
        (" \n", "\n"),
    ],
)
def test_a_thought_before_the_answer_and_a_fence_around_it_are_no_part_of_it(
    start: Start, before: str, after: str
) -> None:
    _, engine = start(acts.wrapping(before, after))
    found = engine.generate(PROMPT, JUDGED, SURE, stop=Event())
    assert found.asks == 1
    assert {path: chance > 0.5 for path, chance in found.probabilities.items()} == {
        f"likes.{key}": said for key, said in found.value["likes"].items()
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [("The answer is ", ""), ("```\n{}\n```\n```\n", "\n```"), ("", " and that is all"), ("```json\n", "")],
)
def test_what_is_not_one_object_is_asked_for_again(start: Start, before: str, after: str) -> None:
    _, engine = start(acts.wrapping(before, after))
    assert engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event()).asks == 2


def test_marks_in_the_answers_own_words_are_words(start: Start) -> None:
    words = "</think> ``` {} ```"
    _, engine = start(saying(json.dumps({"prompt_code": "CODE", "name": words})))
    assert engine.generate(PROMPT, SCHEMA, OPTIONS, stop=Event()).value == {"name": words}


def test_a_thought_is_progress_and_no_part_of_the_answer(start: Start) -> None:
    """Thinking takes longer than a first token may."""
    _, engine = start(acts.thinking(12, seconds=0.05, obeys=False))
    impatient = replace(OPTIONS, first_token_seconds=0.3)
    found = engine.generate(PROMPT, SCHEMA, impatient, stop=Event())
    assert (found.value, found.asks) == ({"name": "simulated name"}, 1)
    assert "Let me see" not in found.text


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_nothing_but_a_thought_is_a_model_that_does_not_fit(start: Start, reason: str) -> None:
    server, engine = start(acts.thinking(3, reason=reason, obeys=False))
    error = failure(engine)
    assert (error.code, error.burns_attempt) == ("engine_unfit", False)
    assert "choose a model that does not think" in str(error)
    assert len(server.questions) == 1


def test_a_thought_in_the_answer_that_does_not_end_is_nothing_but_a_thought(start: Start) -> None:
    _, engine = start(saying("<think>\nWell, " + "let me see, " * 20, "length"))
    assert failure(engine).code == "engine_unfit"
