"""Whether a process does anything, as the kernel tells it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from queueing.engines import pulse
from queueing.engines.pulse import LOOK_SECONDS, Pulse

COMPUTES = "while True: pass"
READS = "import time\nwhile True: open('/proc/self/comm').read(); time.sleep(0.05)"
WAITS = "import time\nprint(flush=True)\ntime.sleep(600)"


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def running(code: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def look(found: Pulse, clock: Clock, times: int = 1) -> float:
    for _ in range(times):
        clock.now += LOOK_SECONDS
        found.look()
    return found.still_seconds


@pytest.mark.parametrize("code", [COMPUTES, READS])
def test_a_process_that_computes_or_reads_is_alive_and_one_that_is_stopped_is_not(code: str) -> None:
    clock = Clock()
    with running(code) as pid:
        found = Pulse(pid, clock=clock)
        deadline = time.monotonic() + 20
        while look(found, clock) and time.monotonic() < deadline:
            time.sleep(0.05)  # until it got its share of a busy machine
        assert found.still_seconds == 0
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        look(found, clock)
        found.moved()
        assert look(found, clock, 30) == 30 * LOOK_SECONDS


def test_a_process_that_only_waits_is_still() -> None:
    clock = Clock()
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has started
        found = Pulse(process.pid, clock=clock)
        assert look(found, clock, 10) == 10 * LOOK_SECONDS
        process.kill()


def test_while_the_caller_itself_was_stopped_nothing_is_counted() -> None:
    clock = Clock()
    with running(WAITS) as pid:
        found = Pulse(pid, clock=clock)
        os.kill(pid, signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED)
        look(found, clock)
        clock.now += 3600
        assert found.look() <= 3 * LOOK_SECONDS


def test_a_process_that_has_ended_shows_no_life() -> None:
    clock = Clock()
    found = Pulse(None, clock=clock)
    assert look(found, clock, 5) == 5 * LOOK_SECONDS


def test_looks_cost_nothing_between_two_that_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    looks: list[int | None] = []

    def counted(pid: int | None) -> tuple[float, tuple[int, int]]:
        looks.append(pid)
        return 0.0, (0, 0)

    monkeypatch.setattr(pulse, "_signs_of_life", counted)
    found = Pulse(1, clock=clock)
    for _ in range(20):
        clock.now += LOOK_SECONDS / 20
        found.look()
    assert len(looks) == 2
