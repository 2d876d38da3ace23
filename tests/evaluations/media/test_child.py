"""S19: The decoding child: what it may do, and what becomes of it and of its parent when one of them dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from evaluations.media import wire
from evaluations.media.decode import MediaFacts, decode
from queueing.exceptions import Interrupted, Transient
from tests.evaluations.media.reading import read_facts

_ROOT = Path(__file__).resolve().parents[3]
_CHILD = [sys.executable, "-m", "evaluations.media.child"]
_THREADS_WHEN_CONFINED = 2  # the decoder's and the lifeline's, which starts last


def confined_child_of(parent: int) -> psutil.Process:
    """The parent's decoding child, stopped in the middle of its work."""
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        for process in psutil.Process(parent).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "evaluations.media.child" in process.cmdline() and process.num_threads() >= _THREADS_WHEN_CONFINED:
                    process.suspend()
                    return process
        time.sleep(0.001)
    raise AssertionError("no child was seen")


@contextlib.contextmanager
def stopped_reading(path: Path, *, wall_seconds: float = 60) -> Iterator[tuple[psutil.Process, Future[MediaFacts]]]:
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_facts, path, wall_seconds=wall_seconds)
        child = confined_child_of(os.getpid())
        try:
            yield child, reading
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()  # else the pool would wait until it has read all of it


def frames_of(descriptor: int) -> Iterator[bytes]:
    """The kinds of the whole frames that a child has sent."""
    with contextlib.suppress(wire.TornError):
        while True:
            yield wire.receive(descriptor, deadline=time.monotonic() + 30)[0]


def is_gone(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.wait(timeout=10)
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_child_that_is_left_alone_answers(bomb: Path) -> None:
    with stopped_reading(bomb) as (child, reading):
        child.resume()
        assert reading.result().duration == 3600


def test_a_killed_child_is_a_crash_that_may_be_tried_again(bomb: Path) -> None:
    with stopped_reading(bomb) as (child, reading):
        child.kill()
        with pytest.raises(Transient, match="-9") as caught:
            reading.result()
    assert caught.value.code == "decoder_crashed"


def test_a_child_that_crashes_by_itself_is_a_crash(bomb: Path) -> None:
    with stopped_reading(bomb) as (child, reading):
        child.send_signal(signal.SIGSEGV)
        child.resume()
        with pytest.raises(Transient) as caught:
            reading.result()
    assert caught.value.code == "decoder_crashed"


def test_a_child_that_hangs_is_killed_when_its_time_is_up(bomb: Path) -> None:
    with stopped_reading(bomb, wall_seconds=1) as (child, reading):
        with pytest.raises(Transient) as caught:
            reading.result()
        assert caught.value.code == "decoder_timeout"
        assert is_gone(child)


def test_a_child_that_uses_up_its_cpu_time_ran_out_of_time(bomb: Path) -> None:
    with stopped_reading(bomb) as (child, reading):
        child.send_signal(signal.SIGXCPU)
        child.resume()
        with pytest.raises(Transient) as caught:
            reading.result()
    assert caught.value.code == "decoder_timeout"


def test_no_child_is_left_behind_by_a_refusal(bomb: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(Exception, match="more than 60 s"):
        read_facts(bomb, max_seconds=60)
    # By pid: one that was killed but never waited for has no command line any more.
    assert {child.pid for child in psutil.Process().children()} <= before


def test_the_child_is_limited_and_leads_a_session_of_its_own(bomb: Path) -> None:
    with stopped_reading(bomb) as (child, _):
        for limit, most in (
            (psutil.RLIMIT_AS, 1024**3),
            (psutil.RLIMIT_CPU, 60),
            (psutil.RLIMIT_FSIZE, 0),
            (psutil.RLIMIT_NOFILE, 32),
            (psutil.RLIMIT_CORE, 0),
        ):
            soft, hard = child.rlimit(limit)
            assert 0 <= soft <= hard <= most
        assert os.getsid(child.pid) == child.pid


def test_the_child_sees_none_of_the_parents_environment(bomb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    with stopped_reading(bomb) as (child, _):
        assert set(child.environ()) <= {"LC_ALL", "LD_LIBRARY_PATH"}


def test_the_child_loads_no_django() -> None:
    listing = "import sys, evaluations.media.audio, evaluations.media.child; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", listing], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert not {"django", "numpy"} & set(done.stdout.split())


def test_the_child_has_no_network_where_the_system_lets_it_go_without(bomb: Path) -> None:
    trial = "import ctypes; n = ctypes.CDLL(None).unshare; raise SystemExit(n(0x40000000) and n(0x50000000))"
    permitted = subprocess.run([sys.executable, "-c", trial], check=False).returncode == 0
    own = Path("/proc/self/ns/net").readlink()
    with stopped_reading(bomb) as (child, _):
        assert (Path(f"/proc/{child.pid}/ns/net").readlink() != own) == permitted


def test_the_child_dies_with_its_parent_even_when_it_is_stuck(bomb: Path) -> None:
    work = "import sys, pathlib, evaluations.media.decode as d; d.decode(pathlib.Path(sys.argv[1]), max_seconds=8000)"
    with subprocess.Popen([sys.executable, "-c", work, str(bomb)], cwd=_ROOT) as parent:
        child = confined_child_of(parent.pid)
        parent.kill()
    try:
        assert is_gone(child)
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_the_child_ends_when_its_lifeline_is_cut(bomb: Path) -> None:
    arguments = [*_CHILD, "decode", "10000", str(bomb)]
    with subprocess.Popen(arguments, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        stopped = confined_child_of(os.getpid())
        assert child.stdin is not None
        child.stdin.close()
        stopped.resume()
        assert child.wait(timeout=30) == 1
        assert child.stdout is not None
        assert set(frames_of(child.stdout.fileno())) <= {wire.SAMPLES}  # and no answer after them


def test_a_decoding_that_nobody_wants_any_more_ends_with_its_child(bomb: Path) -> None:
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        decoding = pool.submit(decode, bomb, max_seconds=8000, stop=stop)
        child = confined_child_of(os.getpid())
        stop.set()
        with pytest.raises(Interrupted):
            decoding.result(timeout=30)
    assert is_gone(child)
