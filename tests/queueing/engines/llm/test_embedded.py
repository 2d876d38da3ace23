"""The embedded llama.cpp: a real model in a real process, and what becomes of both."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import psutil
import pytest

from queueing.engines.base import Generation, LanguageOptions, Prompt
from queueing.engines.llm import embedded, models
from queueing.engines.llm.answers import most_tokens
from queueing.engines.llm.canary import FIELD
from queueing.engines.llm.embedded import EmbeddedLlama, processors
from queueing.exceptions import Crashed, Infrastructure, Interrupted, Permanent, Transient

pytestmark = pytest.mark.slow

INTRODUCTION = (
    "Hello, my name is Maria Lopez. I am nineteen years old and I study computer science in Valencia. In my free time "
    "I play the violin and go hiking with my sister. I want to become a data engineer in a hospital."
)
FORM = {
    "type": "object",
    "properties": {
        "name": {"type": ["string", "null"], "maxLength": 40},
        "age": {"type": ["integer", "null"], "minimum": 5, "maximum": 99},
        "hobbies": {"type": "array", "items": {"type": "string", "maxLength": 40}, "maxItems": 3},
        "career_goals": {"type": ["string", "null"], "maxLength": 80},
    },
    "required": ["name", "age", "hobbies", "career_goals"],
    "additionalProperties": False,
}
JUDGED = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "names_themself": {"type": "boolean"},
        "hobbies": {"type": "array", "items": {"type": "string", "maxLength": 12}, "minItems": 1, "maxItems": 1},
        "names_a_job": {"type": "boolean"},
    },
    "required": ["name", "names_themself", "hobbies", "names_a_job"],
    "additionalProperties": False,
}
NAMED = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12}}, "required": ["name"]}
PROMPT = Prompt("Fill in the form with the words of the student.", f"Speech: {INTRODUCTION}\nForm:")
TALE = {"type": "array", "items": {"type": "string", "minLength": 500}, "minItems": 20}
ENDLESS = {"type": "object", "properties": {"tale": TALE}, "required": ["tale"]}
LONG = LanguageOptions(max_tokens=3000, deadline_seconds=60)


@pytest.fixture
def engine() -> Iterator[EmbeddedLlama]:
    model = EmbeddedLlama("smollm2", slots=2, context_tokens=4096)
    yield model
    model.unload()


def wait_until_busy(pid: int, *calls: Future[Generation]) -> None:
    """Until each of the calls has reached the server and it computes, however little of the processor it gets."""
    process = psutil.Process(pid)
    begun = used(process)
    while connected(process) < len(calls) or used(process) < begun + 0.1:
        assert not any(call.done() for call in calls), [call.exception() for call in calls if call.done()]
        time.sleep(0.05)


def wait_until_quiet(process: psutil.Process) -> float:
    """Until it computes nothing any more; returns what it has used by then."""
    before = -1.0
    while (now := used(process)) > before + 0.02:
        before = now
        time.sleep(0.2)
    return now


def used(process: psutil.Process) -> float:
    """Seconds of the processor."""
    times = process.cpu_times()
    return float(times.user + times.system)


def connected(process: psutil.Process) -> int:
    return sum(found.status == psutil.CONN_ESTABLISHED for found in process.net_connections())


def test_a_real_model_fills_in_a_form_from_an_introduction(engine: EmbeddedLlama) -> None:
    engine.load()
    generation = engine.generate(PROMPT, FORM, LanguageOptions(max_tokens=300), stop=Event())
    assert generation.value["name"] == "Maria Lopez"
    assert generation.value["hobbies"]
    assert generation.prompt_tokens > 50
    assert generation.output_tokens > 10
    assert generation.model == "smollm2"
    assert generation.digest == models.digest("smollm2") != ""
    assert generation.engine_version.startswith("xllamacpp 20")


def test_a_real_model_repeats_the_code_at_its_prompts_head(engine: EmbeddedLlama) -> None:
    """F52: the smallest there is; called as a server that may cut its prompts."""
    engine.load()
    assert engine._served
    engine._served._cuts_prompts = True
    # The code follows from the prompt, and so small a model miscopies some codes: one in three.
    assert any(copies_the_code(engine, Prompt(PROMPT.system, f"{PROMPT.user}{' ' * number}")) for number in range(5))


def copies_the_code(engine: EmbeddedLlama, prompt: Prompt) -> bool:
    try:
        value = engine.generate(prompt, NAMED, LanguageOptions(max_tokens=100), stop=Event()).value
    except Transient as fault:
        if fault.code != "prompt_cut":
            raise
        return False
    assert FIELD not in value
    return True


def test_the_same_question_gets_the_same_answer_whatever_was_asked_before_or_is_asked_beside_it(
    engine: EmbeddedLlama,
) -> None:
    """Fresh, again, after another, in either slot beside another, and loaded anew: to the last digit."""
    options = LanguageOptions(max_tokens=200, probabilities=True)
    other = Prompt(PROMPT.system, "Speech: Hi, I am Ben. I am nine and I like trains, boats and my dog Rex.\nForm:")

    def ask(prompt: Prompt) -> tuple[str, dict[str, float]]:
        generation = engine.generate(prompt, JUDGED, options, stop=Event())
        return generation.text, dict(generation.probabilities)

    engine.load()
    fresh = ask(PROMPT)
    assert len(fresh[1]) == 2
    assert ask(PROMPT) == fresh
    after_fresh = ask(other)
    assert ask(PROMPT) == fresh
    for one, two in [(PROMPT, other), (other, PROMPT)]:
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(ask, one)
            time.sleep(0.3)  # so that each of them is once the one that is under way
            second = threads.submit(ask, two)
            assert {one: first.result(), two: second.result()} == {PROMPT: fresh, other: after_fresh}
    engine.unload()
    engine.load()
    assert ask(PROMPT) == fresh


def test_memory_is_held_by_a_process_from_load_to_unload(engine: EmbeddedLlama) -> None:
    assert engine.resident() == ()
    engine.load()
    engine.load()
    (resident,) = engine.resident()
    assert resident.pid is not None
    assert resident.bytes > 90_000_000
    engine.unload()
    assert engine.resident() == ()
    assert not psutil.pid_exists(resident.pid)
    engine.unload()


def test_a_process_that_dies_crashes_the_calls_in_flight_and_can_be_loaded_again(
    engine: EmbeddedLlama, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its sockets break first; each of its threads must get its turn on the processor before it counts as dead.
    monkeypatch.setattr(embedded, "DEATH_SECONDS", 30.0)
    engine.load()
    (resident,) = engine.resident()
    assert resident.pid is not None
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(engine.generate, PROMPT, ENDLESS, LONG, stop=Event()) for _ in range(2)]
        wait_until_busy(resident.pid, calls[0])  # the other one waits for it
        os.kill(resident.pid, signal.SIGKILL)
        assert [type(call.exception()) for call in calls] == [Crashed, Crashed]
    assert engine.resident() == ()
    with pytest.raises(Infrastructure):
        engine.generate(PROMPT, FORM, LanguageOptions(), stop=Event())
    engine.load()
    assert engine.generate(PROMPT, NAMED, LanguageOptions(max_tokens=100), stop=Event()).value["name"]


def test_a_process_that_hangs_is_killed_and_only_the_call_that_it_worked_on_has_crashed(
    engine: EmbeddedLlama, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "LIFELESS_SECONDS", 2.0)
    engine.load()
    (resident,) = engine.resident()
    assert resident.pid is not None
    with ThreadPoolExecutor(2) as threads:
        works = threads.submit(engine.generate, PROMPT, ENDLESS, LONG, stop=Event())
        wait_until_busy(resident.pid, works)
        waits = threads.submit(engine.generate, PROMPT, ENDLESS, LONG, stop=Event())
        os.kill(resident.pid, signal.SIGSTOP)
        errors = [works.exception(), waits.exception()]
    assert [(type(error), getattr(error, "code", "")) for error in errors] == [
        (Crashed, "hung"),
        (Infrastructure, "not_loaded"),
    ]
    assert not psutil.pid_exists(resident.pid)
    engine.load()
    assert engine.generate(PROMPT, NAMED, LanguageOptions(max_tokens=100), stop=Event()).value["name"]


def test_stop_interrupts_a_call_and_the_next_one_is_served(engine: EmbeddedLlama) -> None:
    engine.load()
    pid = engine.resident()[0].pid
    assert pid is not None
    stop = Event()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(engine.generate, PROMPT, ENDLESS, LONG, stop=stop)
        wait_until_busy(pid, call)
        stop.set()
        assert type(call.exception()) is Interrupted
    assert engine.generate(PROMPT, NAMED, LanguageOptions(max_tokens=100), stop=Event()).value["name"]


def test_an_answer_whose_reader_is_gone_is_written_no_further_and_its_slot_is_free() -> None:
    engine = EmbeddedLlama("smollm2", slots=1, context_tokens=4096)
    engine.load()
    try:
        process = psutil.Process(engine.resident()[0].pid)
        stop, pieces = Event(), list[str]()

        def write(piece: str) -> None:
            pieces.append(piece)
            stop.set()  # its reader goes with the first word of some three thousand

        with pytest.raises(Interrupted):
            engine.write(Prompt("", "Count from one to ten thousand, in words."), LONG, on_text=write, stop=stop)
        left = used(process)
        assert wait_until_quiet(process) - left < 1.0  # seconds of the processor, of which a whole answer takes tens
        assert len(pieces) < 100
        brief = LanguageOptions(max_tokens=2, deadline_seconds=60)
        assert engine.write(PROMPT, brief, on_text=pieces.append, stop=Event()).output_tokens == 2
    finally:
        engine.unload()


def test_a_prompt_is_counted_by_the_models_own_tokenizer(engine: EmbeddedLlama) -> None:
    engine.context_tokens = 512
    engine.load()
    long, too_long = (Prompt("", f"{INTRODUCTION} " * times) for times in (7, 15))
    assert most_tokens(long) > 512
    brief = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    generation = engine.generate(long, brief, LanguageOptions(max_tokens=50), stop=Event())
    assert 250 < generation.prompt_tokens < 462
    with pytest.raises(Permanent) as caught:
        engine.generate(too_long, brief, LanguageOptions(max_tokens=50), stop=Event())
    assert caught.value.code == "too_long_for_model"


def test_nobody_else_can_use_the_server(engine: EmbeddedLlama) -> None:
    engine.load()
    (connection,) = (
        found.laddr for found in psutil.Process(engine.resident()[0].pid).net_connections() if found.status == "LISTEN"
    )
    assert connection.ip == "127.0.0.1"
    url = f"http://127.0.0.1:{connection.port}/v1/chat/completions"
    assert httpx.post(url, json={"messages": []}, trust_env=False).status_code == 401


def test_a_file_that_llama_cpp_cannot_read_is_infrastructure_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\0" * 100)
    engine = EmbeddedLlama(str(tmp_path / "broken.gguf"), slots=1, context_tokens=512)
    with pytest.raises(Infrastructure, match=r"broken\.gguf"):
        engine.load()
    assert engine.resident() == ()


def test_the_model_does_not_outlive_a_worker_killed_without_warning() -> None:
    code = (
        "import time; from queueing.engines.llm.embedded import EmbeddedLlama\n"
        "engine = EmbeddedLlama('smollm2', slots=1, context_tokens=512); engine.load()\n"
        "print(engine.resident()[0].pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        model = psutil.Process(int(worker.stdout.readline()))
        worker.kill()
    gone, alive = psutil.wait_procs([model], timeout=10)
    assert (gone, alive) == ([model], [])


def test_one_processor_is_left_to_others() -> None:
    assert EmbeddedLlama("smollm2", slots=1, context_tokens=512).threads == max(1, processors() - 1)


def test_the_model_outlives_the_thread_that_loaded_it(engine: EmbeddedLlama) -> None:
    with ThreadPoolExecutor(1) as threads:
        threads.submit(engine.load).result()
    time.sleep(0.2)
    assert engine.resident()
