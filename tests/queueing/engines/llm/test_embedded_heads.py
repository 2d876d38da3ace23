"""The cached heads of prompts: the same answer to the last digit, whatever was asked before; with a real model."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from time import monotonic, sleep
from typing import Any

import pytest

from queueing.engines.base import JSONSchema, LanguageOptions, Prompt
from queueing.engines.llm.embedded import EmbeddedLlama, HeadCachingLlama
from queueing.engines.llm.embedded_server import HEADS
from queueing.exceptions import Interrupted

pytestmark = pytest.mark.slow

Answer = tuple[str, dict[str, float], int]  # text, probabilities, tokens of its prompt

HEAD = "You get a speech and tell what it says. " + "A hobby is done for joy, a job for a living. " * 3 + "\n\nSpeech: "
SPEECHES = (
    "I am Tom, I am twelve and I play football.",
    "I am Tom, I am twelve and I play chess.",  # begins as the one before
    " two blanks first: they may be a token with what the head ends in.",
    "Ich heiße Jürgen und möchte Bäcker werden.",
)
SCHEMA = {
    "type": "object",
    "properties": {
        "has_a_name": {"type": "boolean"},
        "what": {"type": "string", "maxLength": 8},
        "has_a_job": {"type": "boolean"},
    },
    "required": ["has_a_name", "what", "has_a_job"],
    "additionalProperties": False,
}
BRIEF = {"type": "object", "properties": {"has_a_job": {"type": "boolean"}}, "required": ["has_a_job"]}
OPTIONS = LanguageOptions(max_tokens=80, probabilities=True)
ENDLESS = {
    "type": "object",
    "properties": {"tale": {"type": "array", "items": {"type": "string", "minLength": 500}, "minItems": 20}},
    "required": ["tale"],
}


def prompt(speech: str, *, head: str = HEAD) -> Prompt:
    return Prompt("You answer in JSON.", f"{head}{speech}\nAnswer:", head=len(head))


OTHERS = [prompt("I swim.", head=f"Head number {number}. {HEAD}") for number in range(HEADS)]


@pytest.fixture
def engine() -> Iterator[EmbeddedLlama]:
    model = EmbeddedLlama("smollm2", slots=2, context_tokens=2048)
    yield model
    model.unload()


def ask(engine: EmbeddedLlama, question: Prompt, schema: JSONSchema = SCHEMA) -> Answer:
    generation = engine.generate(question, schema, OPTIONS, stop=Event())
    assert generation.asks == 1
    return generation.text, dict(generation.probabilities), generation.prompt_tokens


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Of each answer the tokens of its prompt that were cached, and those that were computed."""
    timings: list[tuple[int, int]] = []
    read_line = HeadCachingLlama._read

    def watched(self: HeadCachingLlama, line: bytes) -> Any:
        _, _, data = line.partition(b":")
        if b'"timings"' in data:
            told = json.loads(data)["timings"]
            timings.append((told["cache_n"], told["prompt_n"]))
        return read_line(self, line)

    monkeypatch.setattr(HeadCachingLlama, "_read", watched)
    return timings


@pytest.mark.timeout(600)  # some twenty answers, and five loads of the model
def test_an_answer_is_the_same_whether_its_head_was_cached_or_not(
    engine: EmbeddedLlama, read: list[tuple[int, int]]
) -> None:
    """Fresh in a process each, in another order, among other heads, and after the head was given up for others."""
    questions = [prompt(speech) for speech in SPEECHES]
    fresh = []
    for question in questions:
        engine.load()
        fresh.append(ask(engine, question))
        engine.unload()
    fresh_read = read.copy()
    assert len({text for text, _, _ in fresh}) > 1
    assert all(len(probabilities) == 2 for _, probabilities, _ in fresh)
    assert all(cached > 40 for cached, _ in fresh_read)

    engine.load()
    read.clear()
    assert [ask(engine, question) for question in reversed(questions)] == fresh[::-1]
    assert read == fresh_read[::-1]
    headless = Prompt("", "Tell me of the sea. " * 40)  # leaves a longer context behind than any of them
    ask(engine, OTHERS[0], BRIEF)
    ask(engine, headless, BRIEF)
    assert ask(engine, questions[0]) == fresh[0]
    for other in OTHERS:
        ask(engine, other, BRIEF)
    assert engine._served
    assert replace(questions[0], user=HEAD, head=0) not in engine._served._saved
    assert ask(engine, questions[-1]) == fresh[-1]


def test_a_head_that_cannot_be_saved_or_restored_is_computed_to_the_same_answer(engine: EmbeddedLlama) -> None:
    engine.load()
    question = prompt(SPEECHES[0])
    expected = ask(engine, question)
    assert engine._served
    (saved,) = engine._served._saved.values()
    pid = engine.resident()[0].pid
    os.truncate(f"/proc/{pid}/fd/{saved.file}", 1000)
    assert ask(engine, question) == expected
    engine._served._saved.clear()
    engine._served._free = ["no/such/file"]
    assert ask(engine, question) == expected
    assert not engine._served._saved


def test_two_calls_at_once_get_the_answers_that_each_gets_alone(engine: EmbeddedLlama) -> None:
    engine.load()
    questions = [prompt(SPEECHES[0]), OTHERS[0], Prompt("", f"{HEAD}{SPEECHES[0]}"), prompt(SPEECHES[1])]
    alone = [ask(engine, question) for question in questions]
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda question: ask(engine, question), questions * 2)) == alone * 2


def test_stop_ends_a_call_that_waits_for_another(engine: EmbeddedLlama) -> None:
    engine.load()
    stops = Event(), Event()
    long = LanguageOptions(max_tokens=1500, deadline_seconds=60)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(engine.generate, prompt(SPEECHES[0]), ENDLESS, long, stop=stops[0])
        sleep(1.0)
        second = threads.submit(engine.generate, prompt(SPEECHES[1]), ENDLESS, long, stop=stops[1])
        sleep(0.5)
        began = monotonic()
        stops[1].set()
        assert type(second.exception()) is Interrupted
        assert monotonic() - began < 2
        assert not first.done()
        stops[0].set()
        assert type(first.exception()) is Interrupted
    assert ask(engine, prompt(SPEECHES[0]))
