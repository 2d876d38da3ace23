"""A real worker on a machine whose GPU has troubles. What it does when it is killed: test_failpoints.py."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from queueing.models import Pause, Phase, Worker
from queueing.report import figures
from queueing.states import PhaseStep, State
from tests.doubles.card import GIB, FakeCard
from tests.processes.conftest import ON_A_CARD, QUICK_LEASE, SIMULATED, Spawn, Submit, state_of, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def worker(manage: Spawn, card: FakeCard) -> subprocess.Popen[bytes]:
    """At rest, with nothing loaded."""
    on_a_card = {"CARD": str(card.path), "SERVER_PID": str(os.getpid()), "DWELL_SECONDS": "1"}
    env = SIMULATED | QUICK_LEASE | on_a_card | {"SIMULATED_SECONDS": "0.2"}
    started = manage("run_phase_worker", program=ON_A_CARD, **env)
    wait_until(lambda: Worker.objects.exists() and Phase.objects.filter(step=PhaseStep.IDLE).exists())
    wait_until(lambda: Phase.objects.get().empty_bytes is not None)
    return started


def paused_because() -> str:
    return "; ".join(pause["reason"] for pause in figures.pauses())


def test_while_the_gpu_is_lost_nothing_begins_and_everybody_can_read_why(
    worker: subprocess.Popen[bytes], card: FakeCard, submit: Submit
) -> None:
    """F43: paused, resumes by itself, no crash."""
    card.trouble("lost")
    wait_until(lambda: paused_because() == "the GPU's state is unknown: GPU is lost")
    waiting = submit()
    for _ in range(2):  # renewed: still there when another sample was taken
        until = Pause.objects.get().until
        wait_until(lambda until=until: Pause.objects.get().until != until)  # type: ignore[misc]
    assert state_of(waiting) == State.QUEUED
    assert worker.poll() is None
    card.trouble("")
    wait_until(lambda: state_of(waiting) == State.DONE)
    assert paused_because() == ""


def test_while_another_program_fills_the_gpu_nothing_begins_and_it_is_named(
    worker: subprocess.Popen[bytes], card: FakeCard, submit: Submit
) -> None:
    """F44."""
    card.take("blender", "", 7 * GIB, pid=os.getpid())
    wait_until(lambda: paused_because().startswith("91% of the GPU's memory is taken by other programs"))
    assert f"blender (pid {os.getpid()}" in paused_because()
    waiting = submit()
    card.give_back("blender")
    wait_until(lambda: state_of(waiting) == State.DONE)


def test_a_driver_that_hangs_keeps_no_worker_from_leaving(worker: subprocess.Popen[bytes], card: FakeCard) -> None:
    """F43: NVML can hang for ever."""
    card.trouble("hang")
    wait_until(lambda: paused_because().startswith("the GPU's state is unknown: its driver"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
