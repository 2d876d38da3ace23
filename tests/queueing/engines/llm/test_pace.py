"""Servers that answer too slowly, or never: left in time, in the right class, with the model set free."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Timer
from typing import Any

import pytest

from queueing.engines.base import LanguageOptions, Prompt
from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.served import ServedModel
from queueing.exceptions import Infrastructure, Interrupted, StageError, Transient
from tests.doubles import acts, ollama
from tests.doubles.acts import Act
from tests.doubles.ollama import FakeOllama
from tests.queueing.engines.llm.conftest import Start

PROMPT = Prompt("You fill in forms.", "I am Ann.")
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
PATIENT = LanguageOptions(deadline_seconds=20)
QUICK = replace(PATIENT, first_token_seconds=0.3, least_tokens_per_second=10, rate_window_seconds=0.5)
Verb = Callable[[ServedModel, LanguageOptions, Event], object]


def generate(engine: ServedModel, options: LanguageOptions, stop: Event) -> object:
    return engine.generate(PROMPT, SCHEMA, options, stop=stop)


def write(engine: ServedModel, options: LanguageOptions, stop: Event) -> object:
    return engine.write(PROMPT, options, on_text=lambda _: None, stop=stop)


def fault(call: Callable[[], object]) -> StageError:
    with pytest.raises(StageError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("act", "verb"),
    [(acts.hang, generate), (acts.hang_after_headers, write), (acts.drip(0.02), generate), (acts.empties, write)],
)
def test_a_server_that_accepts_and_never_answers_is_left_at_its_first_deadline(
    start: Start, act: Act, verb: Verb
) -> None:
    """F46: no token within `first_token_seconds`, whether bytes come or not."""
    _, engine = start(act)
    began = time.monotonic()
    error = fault(lambda: verb(engine, QUICK, Event()))
    assert (type(error), error.code) == (Infrastructure, "too_slow")
    assert "no token came in 0.3 s" in str(error)
    assert 0.3 <= time.monotonic() - began < PATIENT.deadline_seconds / 4


@pytest.mark.parametrize(("act", "verb"), [(acts.dawdle(0.3), generate), (acts.hang_midway, write)])
def test_an_answer_that_comes_too_slowly_is_left_with_the_figures(start: Start, act: Act, verb: Verb) -> None:
    """F47: a token each 0.3 s is not the 10 a second that are required."""
    _, engine = start(act)
    error = fault(lambda: verb(engine, QUICK, Event()))
    assert (type(error), error.code) == (Infrastructure, "too_slow")
    assert "fewer than 10 a second" in str(error)


def test_a_token_each_five_seconds_is_too_slow_by_default() -> None:
    """F47: ten tokens in 20 s are the least; one each 5 s makes four."""
    defaults = LanguageOptions()
    assert defaults.least_tokens_per_second * defaults.rate_window_seconds > defaults.rate_window_seconds / 5
    assert defaults.first_token_seconds < defaults.deadline_seconds


def test_an_answer_that_comes_just_fast_enough_comes_whole(start: Start) -> None:
    _, engine = start()
    pieces: list[str] = []
    engine.write(PROMPT, replace(QUICK, least_tokens_per_second=2), on_text=pieces.append, stop=Event())
    assert pieces


@pytest.mark.parametrize("act", [acts.hang, acts.drip(0.02), acts.dawdle(0.05)])
def test_the_total_deadline_stays(start: Start, act: Act) -> None:
    """F47: however fast it comes."""
    _, engine = start(act)
    error = fault(lambda: write(engine, replace(PATIENT, deadline_seconds=0.3), Event()))
    assert (type(error), error.code) == (Transient, "too_slow")


def test_waiting_for_a_slot_is_not_being_slow() -> None:
    """F47: the rate counts from the first token on; before it, others may be served."""
    with ollama.serving(FakeOllama()) as fake:
        fake.token_seconds = 0.05  # an answer takes some 0.7 s, and there is one slot for three
        engine = Ollama(fake.url, fake.model, slots=3, context_tokens=4096)
        # So few that a busy machine gives them: whoever is kept waiting has none in a window.
        options = replace(QUICK, first_token_seconds=10, least_tokens_per_second=2)
        with ThreadPoolExecutor(3) as threads:
            calls = [threads.submit(write, engine, options, Event()) for _ in range(3)]
            assert all(call.result() for call in calls)


@pytest.mark.parametrize(
    ("act", "verb"), [(acts.hang, write), (acts.hang_midway, generate), (acts.dawdle(0.01), write)]
)
def test_stop_ends_a_call_and_frees_the_model(start: Start, act: Act, verb: Verb) -> None:
    """Within 2 s the server is rid of the request, and serves the next one in the only slot."""
    fake, engine = start(act)
    stop = Event()
    Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Interrupted):
        verb(engine, PATIENT, stop)
    assert time.monotonic() - began < 2.3
    if isinstance(fake, FakeOllama):
        while not fake.hang_ups and time.monotonic() - began < 2.3:
            time.sleep(0.01)
        assert fake.hang_ups == 1
    assert verb(engine, PATIENT, Event())


def test_pieces_are_passed_on_as_they_come_not_at_the_end(start: Start) -> None:
    _, engine = start(acts.dawdle(0.05))
    pieces, stop = [], Event()

    def on_text(piece: str) -> None:
        pieces.append(piece)
        if len(pieces) == 3:
            stop.set()

    with pytest.raises(Interrupted):
        engine.write(PROMPT, PATIENT, on_text=on_text, stop=stop)
    assert len(pieces) >= 3


@pytest.mark.parametrize(("act", "code"), [(acts.blanks, "invalid_answer"), (acts.flood, "answer_cut")])
def test_free_text_is_capped_too(start: Start, act: Act, code: str) -> None:
    """F50, and 65,536 characters whatever the limit."""
    _, engine = start(act)
    error = fault(lambda: write(engine, replace(PATIENT, max_tokens=3000), Event()))
    assert (type(error), error.code) == (Transient, code)


def test_text_before_an_error_is_no_answer(start: Start) -> None:
    """F48."""
    _, engine = start(acts.error_midway("something broke"))
    assert type(fault(lambda: write(engine, PATIENT, Event()))) is Transient
