"""What Ollama's API documents, over the fake; and over a real one where OLLAMA_URL and OLLAMA_MODEL name it.

    OLLAMA_URL=http://127.0.0.1:11434 OLLAMA_MODEL=qwen2.5:0.5b pytest tests/doubles/test_ollama_contract.py

By Ollama's own Python client, which doesn't notice the difference.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import ollama
import pytest

from tests.doubles.ollama import FakeOllama, serving

REAL = os.environ.get("OLLAMA_URL", "")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 3, "maximum": 120}},
    "required": ["age"],
}
QUESTION = [{"role": "user", "content": "Ann is 17 years old. Answer in JSON: how old is she?"}]
BRIEF = {"num_predict": 20, "num_ctx": 2048, "temperature": 0.0}


@dataclass
class ContractServer:
    url: str
    model: str
    client: ollama.Client

    def post(self, path: str, **question: Any) -> httpx.Response:
        return httpx.post(f"{self.url}{path}", json={"model": self.model, **question}, timeout=120, trust_env=False)

    def stays(self) -> float | None:
        """For how many more seconds it stays in memory; None when it isn't there."""
        for entry in self.client.ps().models:
            if entry.model == self.model and entry.expires_at:
                return (entry.expires_at - datetime.now(UTC)).total_seconds()
        return None

    def await_gone(self) -> None:
        give_up = time.monotonic() + 30
        while self.stays() is not None:
            assert time.monotonic() < give_up
            time.sleep(0.02)

    def unload(self) -> None:
        self.post("/api/generate", keep_alive=0)
        self.await_gone()


@pytest.fixture(scope="module", params=["fake", *(["real"] if REAL else [])])
def served(request: pytest.FixtureRequest) -> Iterator[ContractServer]:
    if request.param == "real":
        yield from _connected(REAL, os.environ["OLLAMA_MODEL"])
        return
    with serving(FakeOllama()) as fake:
        yield from _connected(fake.url, fake.model)


def _connected(url: str, model: str) -> Iterator[ContractServer]:
    client = ollama.Client(url, trust_env=False)
    yield ContractServer(url, model, client)
    client._client.close()


@pytest.fixture
def server(served: ContractServer) -> ContractServer:
    """With nothing of ours in memory."""
    served.unload()
    return served


def test_it_says_its_version(server: ContractServer) -> None:
    version = httpx.get(f"{server.url}/api/version", trust_env=False).json()["version"]
    assert version.split(".")[0].isdigit()


def test_it_lists_what_is_installed(server: ContractServer) -> None:
    (found,) = [one for one in server.client.list().models if one.model == server.model]
    assert found.size
    assert found.size > 1000
    assert found.digest
    assert found.details
    assert found.details.format == "gguf"


def test_show_has_what_a_models_memory_can_be_computed_from(server: ContractServer) -> None:
    shown = server.client.show(server.model)
    facts = shown.modelinfo
    assert facts
    family = facts["general.architecture"]
    for key in ("block_count", "attention.head_count", "attention.head_count_kv", "embedding_length", "context_length"):
        assert facts[f"{family}.{key}"] > 0
    assert facts["general.parameter_count"] > 0
    assert shown.details
    assert shown.details.parameter_size
    assert shown.details.quantization_level


def test_ps_says_what_is_in_memory_and_where(server: ContractServer) -> None:
    assert server.stays() is None
    server.client.generate(server.model, options={"num_ctx": 2048})
    (entry,) = [one for one in server.client.ps().models if one.model == server.model]
    assert entry.name == server.model
    assert entry.size
    assert entry.size_vram is not None
    assert 0 <= entry.size_vram <= entry.size
    assert entry.context_length == 2048
    assert entry.digest
    assert entry.details


@pytest.mark.parametrize("path", ["/api/generate", "/api/chat"])
def test_an_empty_request_loads_and_an_empty_one_with_zero_unloads(server: ContractServer, path: str) -> None:
    loaded = server.post(path).json()
    assert (loaded["done"], loaded["done_reason"]) == (True, "load")
    assert server.stays()
    unloaded = server.post(path, keep_alive=0).json()
    assert (unloaded["done"], unloaded["done_reason"]) == (True, "unload")
    server.await_gone()


FIVE_MINUTES, FOR_EVER, GONE = 300.0, 1e9, None
# F54: keep_alive of the first request, of the second (… is none), whether that has a prompt, and what comes of it.
KEEP_ALIVE: list[tuple[str, Any, Any, bool, float | None]] = [
    ("nothing said: five minutes", ..., ..., True, FIVE_MINUTES),
    ("a number is seconds", ..., 60, True, 60),
    ("a string is a duration", ..., "2m", True, 120),
    ("of several parts", ..., "1h30m", True, 5400),
    ("-1 pins", ..., -1, True, FOR_EVER),
    ("any negative duration pins", ..., "-5m", True, FOR_EVER),
    ("0 without a prompt unloads at once", -1, 0, False, GONE),
    ('"0" too', -1, "0", False, GONE),
    ("0 with a prompt unloads after the answer", -1, 0, True, GONE),
    ("a request overrides the pin", -1, "1m", True, 60),
    ("a request without it keeps what was said", -1, ..., True, FOR_EVER),
    ("an empty request can pin what is loaded", "1m", -1, False, FOR_EVER),
]


@pytest.mark.parametrize(
    ("first", "second", "prompt", "stays"), [pytest.param(*row[1:], id=row[0]) for row in KEEP_ALIVE]
)
def test_keep_alive(server: ContractServer, first: Any, second: Any, prompt: bool, stays: float | None) -> None:
    """F54: 12 cases."""

    def ask(keep_alive: Any, prompt: bool) -> None:
        said = {} if keep_alive is ... else {"keep_alive": keep_alive}
        asked = {"prompt": "Hello.", "options": BRIEF} if prompt else {"options": {"num_ctx": 2048}}
        answer = server.post("/api/generate", stream=False, **asked, **said)
        assert answer.status_code == 200, answer.text

    if first is not ...:
        ask(first, prompt=False)
    ask(second, prompt)
    if stays is GONE:
        server.await_gone()
        return
    left = server.stays()
    assert left is not None
    assert left > 1e9 if stays == FOR_EVER else stays - 30 < left <= stays


@pytest.mark.parametrize("bad", ["soon", "-1", {}])
def test_a_keep_alive_that_is_no_duration_is_refused(server: ContractServer, bad: Any) -> None:
    assert server.post("/api/generate", keep_alive=bad).status_code == 400


def test_an_answer_comes_whole_with_its_counts(server: ContractServer) -> None:
    answer = server.client.chat(server.model, QUESTION, options=BRIEF)
    assert answer.done
    assert answer.done_reason in ("stop", "length")
    assert answer.message.content
    assert answer.prompt_eval_count
    assert answer.prompt_eval_count >= 9
    for figure in (answer.eval_count, answer.eval_duration, answer.total_duration, answer.load_duration):
        assert figure
    assert server.client.generate(server.model, "Say hello.", options=BRIEF).response


def test_an_answer_comes_in_pieces_of_which_the_last_is_done(server: ContractServer) -> None:
    *parts, last = server.client.chat(server.model, QUESTION, options=BRIEF, stream=True)
    assert len(parts) > 2
    assert not any(part.done for part in parts)
    assert "".join(part.message.content or "" for part in parts)
    assert (last.done, last.eval_count and last.eval_count > 0) == (True, True)
    generated = list(server.client.generate(server.model, "Count to ten.", options=BRIEF, stream=True))
    assert generated[-1].done
    assert "".join(part.response or "" for part in generated)


def test_lines_are_json_objects_each_with_the_model_and_a_time(server: ContractServer) -> None:
    answer = server.post("/api/chat", messages=QUESTION, options=BRIEF)
    assert answer.headers["content-type"] == "application/x-ndjson"
    for line in answer.text.splitlines():
        assert {"model", "created_at", "message", "done"} <= json.loads(line).keys()


def test_a_schema_is_obeyed(server: ContractServer) -> None:
    answer = server.client.chat(server.model, QUESTION, format=SCHEMA, options={**BRIEF, "num_predict": 60})
    assert 3 <= json.loads(answer.message.content or "")["age"] <= 120


def test_an_answer_at_its_limit_ends_for_its_length(server: ContractServer) -> None:
    answer = server.client.chat(server.model, QUESTION, options={**BRIEF, "num_predict": 2})
    assert (answer.done_reason, answer.eval_count) == ("length", 2)


def test_another_context_loads_the_model_anew(server: ContractServer) -> None:
    for length in (2048, 1024):
        server.client.generate(server.model, options={"num_ctx": length})
        (entry,) = [one for one in server.client.ps().models if one.model == server.model]
        assert entry.context_length == length


LONG = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "I like to play chess and to swim. " * 300},
]


def test_a_prompt_that_is_too_long_is_cut_without_a_word(server: ContractServer) -> None:
    answer = server.client.chat(server.model, LONG, options={**BRIEF, "num_ctx": 512})
    assert answer.done
    assert 0 < (answer.prompt_eval_count or 0) <= 512


def test_a_prompt_that_is_too_long_is_refused_when_it_must_not_be_cut(server: ContractServer) -> None:
    refused = server.post("/api/chat", messages=LONG, truncate=False, options={**BRIEF, "num_ctx": 512})
    assert refused.status_code == 400
    assert "context" in refused.json()["error"]


def test_a_missing_model_is_a_404_with_its_words(server: ContractServer) -> None:
    for call in (lambda: server.client.chat("no-such-model", QUESTION), lambda: server.client.show("no-such-model")):
        with pytest.raises(ollama.ResponseError, match="model 'no-such-model' not found") as caught:
            call()
        assert caught.value.status_code == 404


def test_a_body_that_is_not_json_is_a_400(server: ContractServer) -> None:
    assert httpx.post(f"{server.url}/api/chat", content=b"{", trust_env=False).status_code == 400


def test_a_path_that_is_not_there_is_a_404(server: ContractServer) -> None:
    assert httpx.get(f"{server.url}/api/nothing", trust_env=False).status_code == 404
