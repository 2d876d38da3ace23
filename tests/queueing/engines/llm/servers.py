"""Model servers on loopback that do as their script says: two protocols, and every way to misbehave."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from queueing.engines.llm.simulated import example

Act = Callable[["Conversation"], None]
"""What the server does with one request for an answer."""


@dataclass
class Conversation:
    """One request, and how to answer it."""

    handler: BaseHTTPRequestHandler
    question: dict[str, Any]
    server: ModelServer

    def begin(self, status: int = 200) -> None:
        self.handler.send_response(status)
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()

    def send(self, data: bytes) -> None:
        self.handler.wfile.write(data)
        self.handler.wfile.flush()

    def say(self, text: str) -> None:
        self.send(self.server.piece(text))

    def finish(self, reason: str = "stop") -> None:
        self.send(self.server.end(reason))


@dataclass
class ModelServer:
    """The protocol-independent part; `script` is used up by requests for answers, then every answer is right."""

    script: list[Act] = field(default_factory=list)
    questions: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    released: Event = field(default_factory=Event)  # set at the end, so that hanging acts end
    url: str = ""
    model: str = "tiny:latest"

    def answer(self, path: str, question: dict[str, Any], handler: BaseHTTPRequestHandler) -> bool:
        """Answer a request for control; False when it is one for an answer of the model."""
        raise NotImplementedError

    def schema(self, question: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    def piece(self, text: str) -> bytes:
        raise NotImplementedError

    def end(self, reason: str) -> bytes:
        raise NotImplementedError

    def error_line(self, message: str) -> bytes:
        raise NotImplementedError


class OpenAIServer(ModelServer):
    """llama.cpp's way: health, models, tokenizer, server-sent events."""

    tokenizer = True
    loading = 0  # how many times /health says 503
    total_slots: object = None  # what /props tells; None: there is no such page

    def answer(self, path: str, question: dict[str, Any], handler: BaseHTTPRequestHandler) -> bool:
        if path == "/health":
            self.loading -= 1
            reply(handler, 503 if self.loading >= 0 else 200, {"status": "ok"})
        elif path == "/v1/models":
            reply(handler, 200, {"data": [{"id": self.model, "aliases": ["small"]}]})
        elif path == "/props":
            reply(handler, 200 if self.total_slots else 404, {"total_slots": self.total_slots})
        elif path == "/tokenize":
            words = re.findall(r"\w+|\W", question["content"])
            reply(handler, 200 if self.tokenizer else 404, {"tokens": list(range(len(words)))})
        else:
            return False
        return True

    def schema(self, question: dict[str, Any]) -> dict[str, Any]:
        schema: dict[str, Any] = question["response_format"]["json_schema"]["schema"]
        return schema

    def piece(self, text: str) -> bytes:
        return self._event({"choices": [{"delta": {"content": text}, "finish_reason": None}]})

    def end(self, reason: str) -> bytes:
        last = self._event({"choices": [{"delta": {}, "finish_reason": reason}]})
        usage = self._event({"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 12}})
        return last + usage + b"data: [DONE]\n\n"

    def error_line(self, message: str) -> bytes:
        return self._event({"error": {"message": message, "code": 500}})

    def _event(self, value: dict[str, Any]) -> bytes:
        return b": keep alive\n\ndata: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


class OllamaServer(ModelServer):
    """Ollama's way: version, ps, loading and unloading by keep_alive, lines of JSON."""

    version = "0.18.0"
    installed = True
    loaded = False
    context = 4096
    unload_after = 0  # how many looks at /api/ps it takes until the memory is free; -1 is never
    on_gpu = 1.0

    def answer(self, path: str, question: dict[str, Any], handler: BaseHTTPRequestHandler) -> bool:
        if path == "/api/version":
            reply(handler, 200, {"version": self.version})
        elif path == "/api/ps":
            reply(handler, 200, {"models": self._ps()})
        elif path == "/api/generate":
            self._keep_alive(question, handler)
        elif path == "/api/chat" and not self.installed:
            reply(handler, 404, {"error": f"model '{self.model}' not found"})
        else:
            return False
        return True

    def _ps(self) -> list[dict[str, Any]]:
        shown = self.loaded or self.unload_after != 0
        self.unload_after -= self.unload_after > 0 and not self.loaded
        size = 5_000_000_000
        facts = {"name": self.model, "size": size, "size_vram": int(self.on_gpu * size), "context_length": self.context}
        other = {"name": "other:latest", "size": 1, "size_vram": 1}
        return [facts, other] if shown else [other]

    def _keep_alive(self, question: dict[str, Any], handler: BaseHTTPRequestHandler) -> None:
        self.questions.append(question)
        if not self.installed:
            reply(handler, 404, {"error": f"model '{self.model}' not found"})
            return
        self.loaded = question["keep_alive"] != 0
        reply(handler, 200, {"done": True, "done_reason": "load" if self.loaded else "unload"})

    def schema(self, question: dict[str, Any]) -> dict[str, Any]:
        schema: dict[str, Any] = question["format"]
        return schema

    def piece(self, text: str) -> bytes:
        return self._line({"message": {"role": "assistant", "content": text}, "done": False})

    def end(self, reason: str) -> bytes:
        return self._line(
            {"message": {"content": ""}, "done": True, "done_reason": reason, "prompt_eval_count": 30, "eval_count": 12}
        )

    def error_line(self, message: str) -> bytes:
        return self._line({"error": message})

    def _line(self, value: dict[str, Any]) -> bytes:
        return json.dumps(value, ensure_ascii=False).encode() + b"\n"


def reply(handler: BaseHTTPRequestHandler, status: int, value: dict[str, Any]) -> None:
    body = json.dumps(value).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving(server: ModelServer, port: int = 0) -> Iterator[ModelServer]:
    """The server on that port of loopback, or on a free one, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve({})

        def do_POST(self) -> None:
            self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def _serve(self, question: dict[str, Any]) -> None:
            server.requests.append(self.path)
            if not server.answer(self.path, question, self):
                server.questions.append(question)
                act = server.script.pop(0) if server.script else right
                act(Conversation(self, question, server))

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    class Listener(ThreadingHTTPServer):
        daemon_threads = False  # joined at the end: no thread outlives its test

        def handle_error(self, request: Any, client_address: Any) -> None:
            """The client hung up, as many of these tests mean it to."""

    with Listener(("127.0.0.1", port), Handler) as listener:
        thread = Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        server.url = f"http://127.0.0.1:{listener.server_port}"
        try:
            yield server
        finally:
            server.released.set()
            listener.shutdown()
            thread.join()


def closed_port() -> str:
    """An address that nothing listens at."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{reserved.getsockname()[1]}"


# What a server can do with a request.


def right(talk: Conversation) -> None:
    """A valid answer, in small pieces."""
    text = json.dumps(example(talk.server.schema(talk.question), "seed"))
    talk.begin()
    for start in range(0, len(text), 7):
        talk.say(text[start : start + 7])
    talk.finish()


def saying(text: str, reason: str = "stop") -> Act:
    """This text, as the model's whole answer."""

    def act(talk: Conversation) -> None:
        talk.begin()
        talk.say(text)
        talk.finish(reason)

    return act


def status(code: int, message: str = "out of order") -> Act:
    return lambda talk: reply(talk.handler, code, {"error": message})


def hang(talk: Conversation) -> None:
    """Take the request and say nothing at all."""
    talk.server.released.wait()


def drip(talk: Conversation) -> None:
    """A byte of a comment or a blank now and then, for ever: no read is ever late."""
    talk.begin()
    while not talk.server.released.wait(0.05):
        talk.send(b" ")


def blanks(talk: Conversation) -> None:
    """The start of an answer, then whitespace without end."""
    talk.begin()
    talk.say('{"name":')
    while not talk.server.released.is_set():
        talk.say(" \n")
        time.sleep(0.0005)


def flood(talk: Conversation) -> None:
    """Words without end, whatever max_tokens said."""
    talk.begin()
    talk.say('{"name": "')
    while not talk.server.released.is_set():
        talk.say("and so on " * 500)


def endless_line(talk: Conversation) -> None:
    talk.begin()
    while not talk.server.released.is_set():
        talk.send(b"x" * 65536)


def error_midway(message: str) -> Act:
    """Half an answer under status 200, then an error in its place."""

    def act(talk: Conversation) -> None:
        talk.begin()
        talk.say('{"name": "A')
        talk.send(talk.server.error_line(message))

    return act


def break_off(talk: Conversation) -> None:
    """Half an answer, then the end of the connection."""
    talk.begin()
    talk.say('{"name": "A')


def reset(talk: Conversation) -> None:
    """Announce more than is sent, as a server does that dies."""
    talk.handler.send_response(200)
    talk.handler.send_header("Content-Length", "100000")
    talk.handler.end_headers()
    talk.say('{"name": "A')
