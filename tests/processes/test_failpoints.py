"""A real worker dies at every failpoint there is; the next one takes over, and everything is done exactly once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from evaluations.models import Evaluation, Form, Transcript
from evaluations.stages.names import Stage
from queueing import failpoints
from queueing.models import Attempt, Phase, Task, Worker
from queueing.states import PhaseStep, State
from tests.conftest import Cast
from tests.doubles.card import FakeCard
from tests.processes.conftest import ON_A_CARD, QUICK_LEASE, SIMULATED, Spawn, Submit, wait_until

pytestmark = pytest.mark.slow

QUICK = {**SIMULATED, **QUICK_LEASE, "SIMULATED_SECONDS": "0.05"}
# Batches of one, and an evaluation that gives way at once: the other submission waits while this one is worked on.
TAKING_TURNS = {"BATCH_SIZE": "1", "PHASE_MAX_DWELL_SECONDS": "0.2", "SIMULATED_SECONDS": "0.5"}
MEANT = {"INTROEVAL_REHEARSAL": "1"}  # failpoints are refused in a lab


@dataclass(frozen=True)
class Way:
    """How a worker comes to a failpoint; by default at its first passing, in its first round."""

    passing: int = 1
    env: dict[str, str] = field(default_factory=dict)
    after: str = ""  # another worker has died there before


WAYS = {
    # The first passings are those of the start; these are in the hand-over from one model to the other.
    "switch.unloading": Way(passing=3),
    "switch.unloaded": Way(passing=3),
    "switch.verified": Way(passing=3),
    "switch.loading": Way(passing=2),
    "switch.loaded": Way(passing=2),
    "switch.settled": Way(passing=3),
    "switch.admitted": Way(passing=2),
    "switch.misplaced": Way(env={"ON_GPU": "0.63"}),
    "switch.verifying": Way(env=TAKING_TURNS),
    "switch.stuck": Way(env=TAKING_TURNS | {"FREES_AFTER": "inf", "VERIFY_SECONDS": "0.5"}),
    "switch.draining": Way(env=TAKING_TURNS),
    "switch.blocked": Way(env={"STT_ENGINE": "faster-whisper", "STT_MODEL": "no-such-model"}),
    "rescue.read": Way(after="claim.committed"),
}


def die(manage: Spawn, card: FakeCard, name: str, way: Way) -> list[psutil.Process]:
    """Run a worker up to its death at `name`; returns the children it had."""
    plan = MEANT | {failpoints.VARIABLE: f"{name}=kill@{way.passing}"}
    worker = manage("run_phase_worker", program=ON_A_CARD, **QUICK | on(card) | way.env | plan)
    children = _watch_to_the_end(worker)
    assert worker.returncode == -signal.SIGKILL, f"it did not come to {name}"
    return children


def on(card: FakeCard) -> dict[str, str]:
    return {"CARD": str(card.path), "SERVER_PID": str(os.getpid())}


def is_in_charge(worker: subprocess.Popen[bytes]) -> bool:
    """It is known, and the phase is one that work is done in, or will be."""
    legal = Phase.objects.filter(step__in=(PhaseStep.IDLE, PhaseStep.ACTIVE)).exists()
    return worker.poll() is not None or (legal and Worker.objects.filter(pid=worker.pid).exists())


def _watch_to_the_end(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    seen: dict[int, psutil.Process] = {}
    deadline = time.monotonic() + 40
    while worker.poll() is None:
        assert time.monotonic() < deadline, "it lives on"
        for pid in offspring(worker.pid):
            if pid not in seen:
                with contextlib.suppress(psutil.NoSuchProcess):
                    seen[pid] = psutil.Process(pid)
        time.sleep(0.02)
    worker.wait(10)
    return list(seen.values())


def offspring(pid: int) -> Iterator[int]:
    """By the kernel's lists: psutil reads the whole machine's processes for each look, fifty times a second."""
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text().split()):
                yield child
                yield from offspring(child)


@pytest.mark.parametrize("name", failpoints.NAMES)
def test_whatever_step_a_worker_dies_at_the_next_one_does_the_rest_exactly_once(
    manage: Spawn, submit: Submit, cast: Cast, card: FakeCard, name: str
) -> None:
    """F06 and others: over a GPU, on which both kinds of model never meet; in a legal phase within 15 s."""
    submissions = [submit("henry.wav"), submit("anna.webm", student=cast.bo)]
    way = WAYS.get(name, Way())
    children = die(manage, card, way.after, Way()) if way.after else []
    children += die(manage, card, name, way)
    held = Attempt.objects.filter(ended_at=None).count()
    if name == "switch.stuck":
        card.give_back("mistral")  # its server was restarted
    successor = manage("run_phase_worker", "--until-idle", program=ON_A_CARD, **QUICK | on(card))
    wait_until(lambda: is_in_charge(successor), seconds=15)
    assert successor.wait(60) == 0
    for submission in submissions:
        task = Task.objects.get(submission=submission)
        assert task.state == State.DONE
        succeeded = task.attempts.filter(outcome="succeeded").values_list("stage", flat=True)
        assert sorted(succeeded) == sorted([*Stage])
    for results in (Transcript, Form, Evaluation):
        assert results.objects.count() == len(submissions)
    assert Attempt.objects.filter(outcome="crashed").count() == held
    assert not Attempt.objects.filter(ended_at=None).exists()
    row = Phase.objects.get()
    assert (row.step, row.name, row.target) == (PhaseStep.IDLE, "", "")
    _, left = psutil.wait_procs(children, timeout=10)
    assert left == []


def stopped(worker: subprocess.Popen[bytes]) -> bool:
    assert worker.poll() is None
    return psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED


def everything() -> list[object]:
    """What is on record of the work, apart from how far it is and how long a lease lasts."""
    moving = ("lease_until", "progress_done", "progress_total")
    tasks = [{key: value for key, value in row.items() if key not in moving} for row in Task.objects.values()]
    results = [list(model.objects.values()) for model in (Transcript, Form, Evaluation)]
    return [tasks, list(Attempt.objects.order_by("pk").values()), *results]


def zombie(manage: Spawn) -> subprocess.Popen[bytes]:
    """A worker of node a that stood still, with a finished transcription in its hands, for longer than its lease."""
    worker = manage("run_phase_worker", "--node", "a", **QUICK, **MEANT, **{failpoints.VARIABLE: "finish=stop@1"})
    wait_until(lambda: stopped(worker))
    wait_until(lambda: Task.objects.expired().exists())
    return worker


def wake(worker: subprocess.Popen[bytes]) -> None:
    """Let it go on, until it has done what it was about to do and its heart beats again."""
    beat_at = Worker.objects.get(node="a").last_heartbeat_at
    worker.send_signal(signal.SIGCONT)
    wait_until(lambda: Worker.objects.get(node="a").last_heartbeat_at > beat_at)
    time.sleep(0.3)


def test_a_worker_that_wakes_when_its_successor_has_finished_changes_nothing(manage: Spawn, submit: Submit) -> None:
    submit()
    late = zombie(manage)
    assert manage("run_phase_worker", "--node", "b", "--until-idle", **QUICK).wait(60) == 0
    assert Task.objects.get().state == State.DONE
    before = everything()
    wake(late)
    assert everything() == before
    assert late.poll() is None


def test_a_worker_that_wakes_while_its_successor_is_still_running_changes_nothing(
    manage: Spawn, submit: Submit
) -> None:
    submit()
    late = zombie(manage)
    manage("run_phase_worker", "--node", "b", **QUICK | {"SIMULATED_SECONDS": "5"})
    wait_until(lambda: Task.objects.filter(state=State.RUNNING, worker__node="b").exists())
    before = everything()
    wake(late)
    assert everything() == before
    task = Task.objects.get()
    assert (task.state, task.stage, task.epoch) == (State.RUNNING, Stage.TRANSCRIBE, 2)
    assert not Transcript.objects.exists()
    wait_until(lambda: Task.objects.get().stage == Stage.EXTRACT)
    tried = Attempt.objects.filter(stage=Stage.TRANSCRIBE).order_by("epoch").values_list("worker__node", "outcome")
    assert list(tried) == [("a", "crashed"), ("b", "succeeded")]
