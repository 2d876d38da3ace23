"""What the fake adds to the contract: a card it draws on, slots, a queue, and faults to order."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doubles import acts, words
from tests.doubles.acts import named
from tests.doubles.card import GIB, MIB, FakeCard
from tests.doubles.ollama import FakeOllama, serving
from tests.doubles.ollama.runners import RunnerModel

MISTRAL, LLAMA = RunnerModel("mistral:7b", weights=4 * GIB), RunnerModel("llama3:8b", weights=5 * GIB)
HELLO = {"messages": [{"role": "user", "content": "Hello."}], "stream": False}


@pytest.fixture
def card(tmp_path: Path) -> FakeCard:
    return FakeCard(tmp_path / "card")


def chat(fake: FakeOllama, model: str = "", **more: Any) -> httpx.Response:
    question = {"model": model or fake.model, **HELLO, **more}
    return httpx.post(f"{fake.url}/api/chat", json=question, timeout=20, trust_env=False)


def load(fake: FakeOllama, model: str, **more: Any) -> httpx.Response:
    return httpx.post(f"{fake.url}/api/generate", json={"model": model, **more}, timeout=20, trust_env=False)


def eventually(true: Any) -> None:
    give_up = time.monotonic() + 10
    while not true():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_the_memory_of_a_model_is_its_weights_and_its_context() -> None:
    """128 KiB a token for 32 layers with 8 key heads of 128."""
    assert MISTRAL.size(4096, 1) == 4 * GIB + 512 * MIB
    assert MISTRAL.size(4096, 2) == 5 * GIB


def test_a_model_is_pushed_out_when_the_next_one_has_no_room(card: FakeCard) -> None:
    with serving(FakeOllama(MISTRAL, LLAMA, card=card)) as fake:
        fake.runners.free_seconds = 0.2
        assert load(fake, "mistral:7b", keep_alive=-1).status_code == 200
        assert load(fake, "llama3:8b", keep_alive=-1).status_code == 200
        assert fake.loaded() == ["llama3:8b"]
        assert card.look().most <= card.total


def test_models_that_fit_stay_beside_each_other(card: FakeCard) -> None:
    small = [RunnerModel(f"small{number}:latest", weights=GIB) for number in range(3)]
    with serving(FakeOllama(*small, card=card)) as fake:
        for model in small:
            load(fake, model.name)
        assert len(fake.loaded()) == 3
        assert card.used == sum(runner.size for runner in fake.runners.held.values())


def test_what_does_not_fit_beside_another_program_goes_to_the_processor(card: FakeCard) -> None:
    """F53."""
    card.take("game", "", 6 * GIB)
    with serving(FakeOllama(MISTRAL, card=card)) as fake:
        load(fake, "mistral:7b")
        (entry,) = httpx.get(f"{fake.url}/api/ps", trust_env=False).json()["models"]
        assert 0 < entry["size_vram"] < 0.95 * entry["size"]
    assert card.look().most <= card.total


def test_unload_is_answered_before_the_memory_is_free(card: FakeCard) -> None:
    """F40: /api/ps first, the card later still."""
    with serving(FakeOllama(MISTRAL, card=card)) as fake:
        fake.runners.unload_seconds, fake.runners.free_seconds = 0.3, 0.3
        load(fake, "mistral:7b")
        assert load(fake, "mistral:7b", keep_alive=0).json()["done_reason"] == "unload"
        assert fake.loaded() == ["mistral:7b"]
        eventually(lambda: not fake.loaded())
        assert card.used
        eventually(lambda: not card.used)


def test_a_model_in_use_is_unloaded_when_its_last_answer_is_out() -> None:
    with serving(FakeOllama()) as fake, ThreadPoolExecutor(1) as threads:
        fake.token_seconds = 0.05
        call = threads.submit(chat, fake)
        eventually(lambda: any(runner.in_use for runner in fake.runners.held.values()))
        load(fake, "tiny", keep_alive=0)
        assert fake.loaded()
        assert call.result().json()["done_reason"] == "stop"
        eventually(lambda: not fake.loaded())


def test_a_model_leaves_when_its_time_is_over() -> None:
    with serving(FakeOllama()) as fake:
        load(fake, "tiny", keep_alive="200ms")
        assert fake.loaded()
        eventually(lambda: not fake.loaded())


def test_as_many_are_answered_at_once_as_there_are_slots_and_the_queue_has_an_end() -> None:
    """F55."""
    with serving(FakeOllama(script=[acts.hang] * 2)) as fake, ThreadPoolExecutor(4) as threads:
        fake.runners.parallel, fake.runners.most_waiting = 2, 1
        load(fake, "tiny")
        for number in (1, 2):
            threads.submit(chat, fake)
            eventually(lambda number=number: len(fake.script) == 2 - number)
        waiting = threads.submit(chat, fake)
        eventually(lambda: len(fake.questions) == 3)
        time.sleep(0.1)
        assert not waiting.done()
        refused = chat(fake)
        assert refused.status_code == 503
        assert refused.json() == {"error": "server busy, please try again.  maximum pending requests exceeded"}
        fake.server.do(fake.die())


def test_a_cut_prompt_keeps_its_system_message_its_first_tokens_and_its_end() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "old " * 50},
        {"role": "user", "content": "new " * 10},
    ]
    left = words.shortened(messages, 40)
    assert [one["content"][:3] for one in left] == ["Be ", "new"]
    cut = words.cut("one two three four five six seven eight nine ten", 7)
    assert cut.split() == ["one", "two", "three", "four", "eight", "nine", "ten"]


@pytest.mark.parametrize(
    ("act", "symptom"),
    [
        ("status:503:server busy", 503),
        ("status:404:model 'tiny' not found", 404),
        ("status:500:CUDA error: out of memory", 500),
        ("hang", httpx.ReadTimeout),
        ("hang_after_headers", httpx.ReadTimeout),
        ("hang_midway", httpx.ReadTimeout),
        ("drip:5", httpx.ReadTimeout),
        ("dawdle:5", httpx.ReadTimeout),
        ("reset", httpx.RemoteProtocolError),
        ("dies", httpx.RemoteProtocolError),
        ("break_off", "A"),
        ("saying:hello", "hello"),
        ("truncate:0.5", "done"),
        ("error_midway:cudaMalloc failed", "cudaMalloc failed"),
    ],
)
def test_faults_are_ordered_by_name(act: str, symptom: Any) -> None:
    with serving(FakeOllama(script=[named(act)])) as fake:
        load(fake, "tiny")
        question = {"model": "tiny", **HELLO, "format": {"type": "object", "properties": {"a": {"type": "string"}}}}
        if isinstance(symptom, type):
            with pytest.raises(symptom):
                httpx.post(f"{fake.url}/api/chat", json=question, timeout=0.3, trust_env=False)
            return
        answer = httpx.post(f"{fake.url}/api/chat", json=question, timeout=5, trust_env=False)
        assert answer.status_code == symptom if isinstance(symptom, int) else symptom in answer.text


@contextmanager
def process(*arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.doubles.ollama", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def test_it_runs_in_a_process_of_its_own_and_takes_orders(card: FakeCard) -> None:
    arguments = (
        "--card",
        str(card.path),
        "--model",
        "mistral:7b=4",
        "--act",
        "status:503:busy",
        "--load-seconds",
        "0.1",
    )
    with process(*arguments) as url:
        client = httpx.Client(base_url=url, trust_env=False, timeout=20)
        assert client.post("/api/generate", json={"model": "mistral:7b"}).json()["done_reason"] == "load"
        assert card.used > 4 * GIB
        question = {"model": "mistral:7b", **HELLO}
        assert client.post("/api/chat", json=question).status_code == 503
        assert client.post("/api/chat", json=question).json()["done_reason"] == "stop"
        told = client.post("/fake", json={"script": ["saying:7"], "unload_seconds": 60, "version": "0.17.0"}).json()
        assert told["loaded"] == ["mistral:7b"]
        assert client.get("/api/version").json() == {"version": "0.17.0"}
        assert client.post("/api/chat", json={**question, "stream": True}).text.splitlines()[0].count("7")
        client.close()
    assert card.used == 0  # the process is gone, and its memory with it


def test_requests_sent_ahead_on_one_connection_are_answered_one_after_the_other() -> None:
    with serving(FakeOllama()) as fake, socket.create_connection(("127.0.0.1", fake.server.port), 5) as line:
        line.sendall(b"GET /api/version HTTP/1.1\r\n\r\n" * 3)
        answers = b""
        while answers.count(b"0.18.0") < 3:
            answers += line.recv(1000)
    assert answers.count(b"HTTP/1.1 200") == 3
