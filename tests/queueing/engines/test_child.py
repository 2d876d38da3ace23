from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Event, Thread

import numpy as np
import psutil
import pytest

from queueing.engines.child import ROOT, CallTimeouts, EngineChild
from queueing.exceptions import (
    Crashed,
    Infrastructure,
    Interrupted,
    OutOfMemory,
    Permanent,
    StageError,
    Transient,
)

MODELS = "tests.queueing.engines.models_for_tests"


@pytest.fixture
def child() -> Iterator[EngineChild]:
    child = EngineChild(f"{MODELS}:build")
    child.start({})
    yield child
    child.terminate()


def gone(pid: int) -> bool:
    """Whether the process is over; one that nobody has reaped yet holds nothing any more."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return gone(pid)


def test_the_model_keeps_its_state_between_calls(child: EngineChild) -> None:
    assert [child.call("count") for _ in range(3)] == [1, 2, 3]
    assert child.facts == {"kind": "test"}


def test_starting_twice_keeps_the_process(child: EngineChild) -> None:
    before = child.pid
    child.start({})
    assert child.pid == before


def test_ten_minutes_of_audio_go_there_and_back(child: EngineChild) -> None:
    samples = np.arange(600 * 16_000, dtype=np.float32)
    assert np.array_equal(child.call("echo", samples), samples)


def test_progress_arrives_in_order(child: EngineChild) -> None:
    seen: list[tuple[float, float]] = []
    child.call("advance", 5, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(step, 5) for step in range(1, 6)]


@pytest.mark.parametrize("error", [Permanent("bad input", code="bad"), Transient("bad answer", code="again")])
def test_a_failed_answer_arrives_as_it_was_raised_and_the_model_lives_on(child: EngineChild, error: StageError) -> None:
    pid = child.pid
    with pytest.raises(type(error), match=str(error)) as caught:
        child.call("fail", error)
    assert caught.value.code == error.code
    assert child.call("count") == 1
    assert child.pid == pid


@pytest.mark.parametrize(
    ("raised", "arrives"),
    [
        (OutOfMemory("2 GiB missing"), OutOfMemory),
        (Infrastructure("device lost", code="device_failed"), Infrastructure),
        (MemoryError(), OutOfMemory),
        (ValueError("never thought of"), Crashed),
    ],
)
def test_a_model_in_doubt_is_ended(child: EngineChild, raised: Exception, arrives: type[StageError]) -> None:
    pid = child.pid
    assert pid is not None
    with pytest.raises(arrives):
        child.call("fail", raised)
    assert not psutil.pid_exists(pid)
    assert (child.pid, child.resident_bytes) == (None, 0)
    child.start({})
    assert child.call("count") == 1


@pytest.mark.parametrize(
    ("factory", "arrives", "words"),
    [
        ("without_its_package", Infrastructure, "make setup"),
        ("too_large", OutOfMemory, "ran out of memory"),
        ("of_no_use", Permanent, "not a model"),
        ("no_such_factory", Crashed, "no_such_factory"),
    ],
)
def test_a_model_that_cannot_be_built_leaves_no_process(factory: str, arrives: type[StageError], words: str) -> None:
    child = EngineChild(f"{MODELS}:{factory}")
    with pytest.raises(arrives, match=words):
        child.start({})
    assert child.pid is None


def test_a_model_that_is_never_built_is_given_up() -> None:
    child = EngineChild(f"{MODELS}:build_slowly")
    with pytest.raises(Transient) as caught:
        child.start({}, within=0.5)
    assert (caught.value.code, child.pid) == ("too_slow", None)


def test_how_a_process_died_is_reported(child: EngineChild) -> None:
    with pytest.raises(Crashed, match="ended with exit status 3"):
        child.call("leave", 3)
    child.start({})
    pid = child.pid
    assert pid is not None
    with pytest.raises(Crashed, match="killed by SIGSEGV"):
        child.call("wait", progress=lambda done, total: os.kill(pid, signal.SIGSEGV))


def test_a_process_that_died_between_calls_is_a_crash_of_the_next(child: EngineChild) -> None:
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(Crashed, match="SIGKILL"):
        child.call("count")
    with pytest.raises(Infrastructure) as caught:
        child.call("count")
    assert caught.value.code == "not_loaded"


@pytest.mark.parametrize("method", ["wait", "hold_the_interpreter"])
def test_a_call_without_progress_is_hung(child: EngineChild, method: str) -> None:
    with pytest.raises(Crashed) as caught:
        child.call(method, timeouts=CallTimeouts(without_progress=0.3))
    assert (caught.value.code, child.pid) == ("hung", None)


@pytest.mark.parametrize("method", ["wait", "hold_the_interpreter", "advance"])
def test_a_process_that_does_nothing_is_hung_however_much_time_its_work_may_take(
    child: EngineChild, method: str
) -> None:
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    arguments = [10_000] if method == "advance" else []
    with pytest.raises(Crashed, match="did nothing") as caught:
        child.call(method, *arguments, timeouts=CallTimeouts(600, 600, without_life=1.5))
    assert caught.value.code == "hung"
    assert child.resident_bytes == 0


def test_a_model_that_is_stopped_while_it_is_built_is_given_up() -> None:
    stopped = EngineChild(f"{MODELS}:build_slowly")
    with pytest.raises(Crashed, match="did nothing"):
        stopped.start({}, without_life=1.5)
    assert stopped.pid is None


def test_a_call_with_progress_is_not_hung(child: EngineChild) -> None:
    child.call("advance", 50, timeouts=CallTimeouts(without_progress=0.7))


def test_a_call_past_its_budget_is_too_slow(child: EngineChild) -> None:
    with pytest.raises(Transient) as caught:
        child.call("advance", 10_000, timeouts=CallTimeouts(total=0.3))
    assert (caught.value.code, child.pid) == ("too_slow", None)


@pytest.mark.parametrize("method", ["wait", "hold_the_interpreter"])
def test_stopping_ends_the_process_in_the_middle_of_a_call(child: EngineChild, method: str) -> None:
    pid, stop = child.pid, Event()
    assert pid is not None
    with pytest.raises(Interrupted):
        child.call(method, progress=lambda done, total: stop.set(), stop=stop)
    assert not psutil.pid_exists(pid)


def test_a_process_that_reads_nothing_can_still_be_stopped(child: EngineChild) -> None:
    pid, stop = child.pid, Event()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    stop.set()
    with pytest.raises(Interrupted):
        child.call("echo", np.zeros(10_000_000, np.float32), stop=stop)
    assert not psutil.pid_exists(pid)


def test_what_a_model_prints_stays_out_of_the_parents_output(
    child: EngineChild, capfd: pytest.CaptureFixture[str]
) -> None:
    other = EngineChild(f"{MODELS}:build")
    other.start({})
    other.call("say", "words of a C library")
    other.terminate()
    captured = capfd.readouterr()
    assert "words of a C library" in captured.err
    assert captured.out == ""


def test_a_model_gets_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "LLM_API_KEY"):
        monkeypatch.setenv(name, "of no concern to a model")
    child = EngineChild(f"{MODELS}:build")
    child.start({})
    environment = child.call("environment")
    child.terminate()
    assert "of no concern to a model" not in environment.values()
    assert environment["PATH"] == os.environ["PATH"]


def test_the_end_of_the_thread_that_started_it_is_not_the_end_of_the_model() -> None:
    child = EngineChild(f"{MODELS}:build")
    thread = Thread(target=child.start, args=({},))
    thread.start()
    thread.join()
    assert child.call("advance", 3) is None
    assert child.call("count") == 1
    child.terminate()


PARENT = """
import sys
from queueing.engines.child import EngineChild
child = EngineChild("{models}:build")
child.start({{}})
print(child.pid, flush=True)
child.call("{method}", progress=lambda done, total: print("working", flush=True))
"""


@pytest.mark.parametrize("method", ["wait", "hold_the_interpreter"])
def test_a_model_dies_with_a_parent_killed_by_minus_nine(method: str) -> None:
    source = PARENT.format(models=MODELS, method=method)
    with subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        model = int(parent.stdout.readline())
        assert parent.stdout.readline() == "working\n"
        assert not gone(model)
        parent.kill()
    assert wait_until_gone(model)


def test_the_adapters_bring_no_model_library_into_the_parent() -> None:
    source = (
        "import sys, queueing.engines.speech.faster_whisper, queueing.engines.speech.openai_whisper\n"
        "print([name for name in ('torch', 'whisper', 'faster_whisper', 'ctranslate2', 'onnxruntime', 'django')"
        " if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
