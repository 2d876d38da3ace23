"""What a model needs of the GPU, before and after Ollama has loaded it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from queueing.engines.llm import sizes
from queueing.engines.llm.ollama import Ollama
from queueing.exceptions import Infrastructure

MIB = 1 << 20
FILES = 4_661_224_676  # bytes of llama3:8b, as Ollama lists it
LLAMA: dict[str, Any] = {  # as Ollama's documentation of /api/show has it
    "general.architecture": "llama",
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "llama.block_count": 32,
    "llama.context_length": 8192,
    "llama.embedding_length": 4096,
    "llama.vocab_size": 128256,
}


def without(*names: str, **more: Any) -> dict[str, Any]:
    facts = {name: value for name, value in LLAMA.items() if name.removeprefix("llama.") not in names}
    return facts | {f"llama.{name.replace('__', '.')}": value for name, value in more.items()}


@pytest.mark.parametrize(
    ("facts", "token"),
    [
        (LLAMA, 128 << 10),  # 32 layers x 8 heads x (128 + 128) numbers x 2 bytes
        (without("attention.head_count_kv"), 512 << 10),  # each head has its own
        (without(attention__head_count_kv=None), 512 << 10),  # a list that was left out
        (without(attention__head_count_kv=[8] * 16 + [0] * 16), 64 << 10),  # some layers keep nothing
        (without(attention__key_length=192, attention__value_length=64), 128 << 10),
        (without(attention__key_length=256, attention__value_length=256), 256 << 10),
    ],
)
def test_the_cache_of_a_token_follows_from_the_models_shape(facts: dict[str, Any], token: int) -> None:
    assert sizes.size_of(FILES, facts, 8192).token == token


def test_all_that_a_model_needs_is_its_files_the_driver_a_step_and_the_cache_of_every_slot() -> None:
    size = sizes.size_of(FILES, LLAMA, 8192)
    step = 4 * 512 * 32 * 8192  # scores of 512 tokens in 32 heads for 8192 others
    assert size.bare == FILES + 457 * MIB + step
    assert size.with_slots(1, 8192) - size.bare == 1024 * MIB
    assert size.with_slots(3, 8192) - size.bare == 3 * 1024 * MIB
    assert size.with_slots(3, 4096) - size.bare == 3 * 512 * MIB


def test_a_short_context_leaves_the_scores_for_every_word_as_the_widest_buffer() -> None:
    assert sizes.size_of(0, LLAMA, 1024).bare - 457 * MIB == 4 * 512 * (128256 + 4096)
    assert sizes.size_of(0, without("vocab_size"), 1024).bare - 457 * MIB == 4 * 512 * (262144 + 4096)


def test_a_model_gets_no_longer_a_context_than_it_was_trained_for() -> None:
    size = sizes.size_of(FILES, LLAMA, 32768)
    assert (
        size.with_slots(1, 32768) == size.with_slots(1, 8192) == sizes.size_of(FILES, LLAMA, 8192).with_slots(1, 8192)
    )


@pytest.mark.parametrize("facts", [{}, {"general.architecture": "llama"}, without("attention.head_count")])
def test_a_model_that_does_not_report_its_shape_is_of_unknown_size(facts: dict[str, Any]) -> None:
    with pytest.raises(Infrastructure):
        sizes.size_of(FILES, facts, 8192)


class SizesServer:
    """An Ollama that loads at once, and reports that it took `took` bytes."""

    def __init__(self) -> None:
        self.facts: Any = LLAMA
        self.installed, self.loaded, self.took = True, False, 6_000_000_000

    def answer(self, path: str, question: dict[str, Any]) -> Any:
        if "keep_alive" in question:
            self.loaded = question["keep_alive"] != 0
        entry = {"name": "llama3:8b", "size_vram": self.took, "context_length": 8192}
        return {
            "/api/version": {"version": "0.18.0"},
            "/api/tags": {"models": [{"name": "llama3:8b", "size": FILES}] * self.installed},
            "/api/show": {"model_info": self.facts},
            "/api/ps": {"models": [{**entry, "size": self.took}] * self.loaded},
            "/api/generate": {"done": True},
        }[path]


@pytest.fixture
def server() -> Iterator[tuple[SizesServer, str]]:
    served = SizesServer()

    class SizesHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _answer(self, question: dict[str, Any]) -> None:
            body = json.dumps(served.answer(self.path, question)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    with ThreadingHTTPServer(("127.0.0.1", 0), SizesHandler) as listener:
        thread = Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        yield served, f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()
        thread.join()


def engine(url: str, **more: Any) -> Ollama:
    return Ollama(url, "llama3:8b", slots=3, context_tokens=8192, **more)


def test_ollama_is_asked_for_the_files_and_the_shape_of_its_model(server: tuple[SizesServer, str]) -> None:
    _, url = server
    llama = engine(url)
    assert llama.needs() == sizes.size_of(FILES, LLAMA, 8192).with_slots(3, 8192)
    assert llama.token_bytes() == 128 << 10


def test_what_ollama_took_when_it_was_loaded_is_better_than_what_was_computed(server: tuple[SizesServer, str]) -> None:
    """How many slots Ollama lays out is its own setting, which no query to it reports."""
    served, url = server
    llama = engine(url)
    assert llama.needs() != served.took
    llama.load()
    llama.unload()
    assert llama.needs() == served.took
    assert llama.token_bytes() == 0


def test_what_others_had_loaded_says_nothing_of_what_our_own_load_takes(server: tuple[SizesServer, str]) -> None:
    served, url = server
    served.loaded, served.took = True, 4_800_000_000  # with a shorter context
    llama = engine(url)
    llama.unload()
    assert llama.needs() == sizes.size_of(FILES, LLAMA, 8192).with_slots(3, 8192)


@pytest.mark.parametrize("trouble", ["missing", "shapeless", "away"])
def test_an_unknown_size_is_none_and_no_error(server: tuple[SizesServer, str], trouble: str) -> None:
    served, url = server
    served.installed = trouble != "missing"
    served.facts = LLAMA if trouble != "shapeless" else {}
    llama = engine("http://127.0.0.1:9" if trouble == "away" else url)
    assert llama.needs() is None
    assert llama.token_bytes() == 0


def test_an_ollama_on_another_machine_takes_nothing_of_this_nodes_gpu(server: tuple[SizesServer, str]) -> None:
    _, url = server
    assert engine(url, shares_gpu=False).needs() == 0
    assert engine("http://127.0.0.1:9", shares_gpu=False).needs() == 0
