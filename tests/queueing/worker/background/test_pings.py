"""A model server that is away or hangs is found out while nobody needs it, and nobody's loop waits for it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from threading import Event

import pytest

from queueing.engines.llm.ollama import Ollama
from queueing.engines.llm.openai_compatible import OpenAICompatible
from queueing.exceptions import Infrastructure
from queueing.worker.background import pings
from queueing.worker.background.pings import Pings
from tests.doubles import ollama
from tests.doubles.ollama import FakeOllama
from tests.processes.conftest import wait_until
from tests.queueing.engines.llm import servers
from tests.queueing.engines.llm.servers import FakeOpenAI


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pings, "PING_SECONDS", 0.02)
    monkeypatch.setattr(pings, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(Ollama, "control_seconds", 0.5)


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with ollama.serving(FakeOllama()) as found:
        yield found


def engine(url: str) -> Ollama:
    return Ollama(url, "tiny", slots=1, context_tokens=4096)


def test_a_server_that_hangs_is_told_of_and_holds_nobody_up_until_it_answers_again(fake: FakeOllama) -> None:
    changed = Event()
    extracts, rates = engine(fake.url), engine(fake.url)
    with Pings({"here": [extracts, rates]}, changed.set) as asked:
        wait_until(lambda: len(fake.requests) > 2)
        assert set(fake.requests) == {"/api/version"}  # whatever loads no model
        assert asked.silent() == {}
        fake.hangs = True
        assert changed.wait(30)
        assert "is silent for" in asked.silent()["here"]
        before = len(fake.requests)
        for one in (extracts, rates):
            with pytest.raises(Infrastructure, match="is silent for"):
                one.resident()
            with pytest.raises(Infrastructure, match="is silent for"):
                one.unload()
            assert one.needs() is None
        assert set(fake.requests[before:]) <= {"/api/version"}  # none of them waited for an answer
        changed.clear()
        fake.hangs = False
        assert changed.wait(30)
        assert asked.silent() == {}
        assert rates.resident() == ()


def test_a_server_that_is_not_running_keeps_nothing_in_memory(fake: FakeOllama) -> None:
    gone = engine(servers.closed_port())
    with Pings({"away": [gone], "here": [engine(fake.url)]}, lambda: None) as asked:
        wait_until(lambda: "away" in asked.silent())
        assert list(asked.silent()) == ["away"]
        assert gone.resident() == ()


def test_until_a_server_has_answered_nothing_is_known_of_it(fake: FakeOllama) -> None:
    fake.hangs = True
    with Pings({"here": [engine(fake.url)]}, lambda: None) as asked:
        assert asked.unheard() == {"here"}
        wait_until(lambda: "here" in asked.silent())
        assert asked.unheard() == {"here"}
        fake.hangs = False
        wait_until(lambda: not asked.silent())
        assert asked.unheard() == set()
        fake.hangs = True
        wait_until(lambda: "here" in asked.silent())
        assert asked.unheard() == set(), "by now what it finds is news"


def test_one_lost_ping_keeps_nobody_from_the_server(fake: FakeOllama) -> None:
    one = engine(fake.url)
    asked = Pings({"here": [one]}, lambda: None)
    assert asked._ask("here", missed=0) == 0
    fake.hangs = True
    assert asked._ask("here", missed=0) == 1
    assert (one.silence, asked.silent()) == ("", {})
    assert asked._ask("here", missed=1) == 2
    assert "is silent for" in one.silence


def test_what_goes_wrong_here_ends_no_asking(
    fake: FakeOllama, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one = engine(fake.url)
    ping = one.ping
    faults = [OSError(errno.EMFILE, "Too many open files")] * 3

    def short_of_files() -> None:
        if faults:
            raise faults.pop()
        ping()

    monkeypatch.setattr(one, "ping", short_of_files)
    with Pings({"here": [one]}, lambda: None) as asked:
        wait_until(lambda: bool(fake.requests))
        assert asked.silent() == {}
    assert "model server not asked" in caplog.text


def test_after_its_end_a_silent_server_may_be_tried(fake: FakeOllama) -> None:
    fake.hangs = True
    one = engine(fake.url)
    with Pings({"here": [one]}, lambda: None) as asked:
        wait_until(lambda: "here" in asked.silent())
        assert one.silence
    assert one.silence == ""
    asked._ask("here", missed=5)  # what was under way when it ended
    assert one.silence == ""


def test_any_answer_to_the_question_for_its_health_is_one() -> None:
    with servers.serving(FakeOpenAI()) as served:
        OpenAICompatible(served.url, FakeOpenAI.model, slots=1, context_tokens=4096).ping()
    with pytest.raises(Infrastructure):
        OpenAICompatible(served.url, FakeOpenAI.model, slots=1, context_tokens=4096).ping()
