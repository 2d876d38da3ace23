"""The worker as a process: what it does, and what is left when it dies."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from evaluations import actions
from evaluations.models import Evaluation, Form, Submission, Transcript
from evaluations.stages.names import Stage
from evaluations.uploads.audit import audit
from queueing.models import Attempt, Event, Phase, Task, Worker
from queueing.states import PhaseName, PhaseStep, State
from tests.conftest import Cast
from tests.processes.conftest import QUICK_LEASE, SIMULATED, Spawn, Submit, state_of, wait_until

pytestmark = pytest.mark.slow


def running_stage(stage: Stage) -> bool:
    return Task.objects.filter(state=State.RUNNING, stage=stage).exists()


def test_a_submission_goes_all_the_way_and_the_worker_leaves_nothing_loaded(manage: Spawn, submit: Submit) -> None:
    submission = submit()
    worker = manage("run_phase_worker", "--until-idle", **SIMULATED, SIMULATED_SECONDS="0.05")
    assert worker.wait(60) == 0
    assert state_of(submission) == State.DONE
    assert Transcript.objects.filter(submission=submission, simulated=True).exists()
    assert Form.objects.filter(submission=submission).exists()
    assert Evaluation.objects.filter(submission=submission).exists()
    assert Phase.objects.get().step == PhaseStep.IDLE
    assert Worker.objects.get().stopped_at is not None
    assert list(Attempt.objects.values_list("stage", "outcome")) == [
        (stage, "succeeded") for stage in ("transcribe", "extract", "rate")
    ]


def test_a_batch_is_transcribed_before_any_of_it_is_evaluated(manage: Spawn, submit: Submit, cast: Cast) -> None:
    for clip in ("henry.wav", "anna.webm", "emma.m4a"):
        submit(clip)
    assert manage("run_phase_worker", "--until-idle", **SIMULATED, SIMULATED_SECONDS="0.05").wait(60) == 0
    stages = list(Attempt.objects.order_by("began_at").values_list("stage", flat=True))
    assert stages[:3] == ["transcribe"] * 3
    assert "transcribe" not in stages[3:]


@pytest.mark.parametrize("stage", [Stage.TRANSCRIBE, Stage.EXTRACT, Stage.RATE])
def test_work_goes_on_after_the_worker_is_killed_in_any_stage(manage: Spawn, submit: Submit, stage: Stage) -> None:
    submission = submit()
    first = manage("run_phase_worker", **SIMULATED, **QUICK_LEASE, SIMULATED_SECONDS="1")
    wait_until(lambda: running_stage(stage))
    first.kill()
    first.wait()
    second = manage("run_phase_worker", "--until-idle", **SIMULATED, **QUICK_LEASE, SIMULATED_SECONDS="0.05")
    assert second.wait(60) == 0
    task = Task.objects.get(submission=submission)
    assert task.state == State.DONE
    assert task.attempts.filter(stage=stage).count() == 2
    assert task.attempts.filter(outcome="crashed").count() == 1


def test_a_killed_worker_takes_its_children_with_it(manage: Spawn, submit: Submit) -> None:
    submit()
    worker = manage("run_phase_worker", **QUICK_LEASE)  # the real engines: they are child processes
    wait_until(lambda: running_stage(Stage.TRANSCRIBE))
    children = psutil.Process(worker.pid).children(recursive=True)
    assert children
    worker.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_a_worker_told_to_stop_hands_its_task_back_without_burning_an_attempt(manage: Spawn, submit: Submit) -> None:
    submission = submit()
    worker = manage("run_phase_worker", **SIMULATED, **QUICK_LEASE, SIMULATED_SECONDS="60")
    wait_until(lambda: running_stage(Stage.TRANSCRIBE))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    task = Task.objects.get(submission=submission)
    assert (task.state, task.failures, task.crashes) == (State.QUEUED, 0, 0)
    assert list(task.attempts.values_list("outcome", flat=True)) == ["interrupted"]


def test_a_worker_told_to_stop_lets_short_work_finish(manage: Spawn, submit: Submit) -> None:
    submission = submit()
    env = QUICK_LEASE | {"STOP_GRACE_SECONDS": "20"}
    worker = manage("run_phase_worker", **SIMULATED, **env, SIMULATED_SECONDS="2")
    wait_until(lambda: running_stage(Stage.TRANSCRIBE))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert Task.objects.get(submission=submission).stage == Stage.EXTRACT


@pytest.mark.parametrize("place", ["claim.written", "finish.saved"])
def test_a_worker_stopped_inside_a_transaction_holds_its_task_no_longer_than_its_lease(
    manage: Spawn, submit: Submit, place: str
) -> None:
    submission = submit()
    env = {**SIMULATED, **QUICK_LEASE, "SIMULATED_SECONDS": "0.05"}
    first = manage(
        "run_phase_worker", "--node", "first", **env, INTROEVAL_REHEARSAL="1", INTROEVAL_FAILPOINTS=f"{place}=stop@1"
    )
    wait_until(lambda: psutil.Process(first.pid).status() == psutil.STATUS_STOPPED)
    manage("run_phase_worker", "--node", "second", **env)
    # Far less than the 30 s after which a database with one time-out for all would end the stopped one's session.
    wait_until(lambda: state_of(submission) == State.DONE, seconds=20)
    first.send_signal(signal.SIGCONT)
    first.terminate()
    first.wait(20)
    outcomes = Attempt.objects.filter(task__submission=submission).values_list("stage", "outcome")
    assert [stage for stage, outcome in outcomes if outcome == "succeeded"] == ["transcribe", "extract", "rate"]


def test_a_second_worker_of_the_same_node_is_refused(manage: Spawn) -> None:
    first = manage("run_phase_worker", "--node", "gpu", **SIMULATED)
    wait_until(lambda: Phase.objects.filter(node="gpu", step=PhaseStep.IDLE).exists())
    second = manage("run_phase_worker", "--node", "gpu", **SIMULATED)
    assert second.wait(30) != 0
    assert first.poll() is None


def test_a_cancelled_task_stops_computing_and_the_next_one_gets_its_turn(
    manage: Spawn, submit: Submit, cast: Cast
) -> None:
    """With the settings of a lab: the worker's next look stops it, long before a heartbeat would."""
    long = submit("anna.webm")
    manage("run_phase_worker", **SIMULATED, SIMULATED_SECONDS="600")
    wait_until(lambda: running_stage(Stage.TRANSCRIBE))
    assert Task.objects.get(submission=long).cancel(by="test")
    other = submit("henry.wav", student=cast.bo)
    wait_until(lambda: Task.objects.get(submission=other).state == State.RUNNING)
    assert state_of(long) == State.CANCELLED
    assert not Transcript.objects.filter(submission=long).exists()


STOPPED_SECONDS = 5  # F27


@pytest.mark.parametrize("moment", ["while it computes", "while its outcome is recorded"])
def test_a_deleted_submission_stops_computing_and_nothing_of_it_comes_back(
    manage: Spawn, submit: Submit, cast: Cast, tmp_path: Path, moment: str
) -> None:
    """F27: the worker drops what it holds and goes on with the next one."""
    seconds, pause = ("600", "") if moment == "while it computes" else ("0.05", "finish=sleep:1@1")
    gone = submit("anna.webm")
    log = tmp_path / "worker.log"
    failpoints = {"INTROEVAL_REHEARSAL": "1", "INTROEVAL_FAILPOINTS": pause}
    worker = manage("run_phase_worker", log=log, **SIMULATED, **failpoints, SIMULATED_SECONDS=seconds)
    wait_until(lambda: running_stage(Stage.TRANSCRIBE))
    other = submit("henry.wav", student=cast.bo)
    began = time.monotonic()
    assert actions.delete(submission=gone, by=cast.ada)
    wait_until(lambda: Attempt.objects.filter(task__submission=other).exists(), seconds=STOPPED_SECONDS)
    wait_until(lambda: "claim lost, outcome dropped" in log.read_text(), seconds=STOPPED_SECONDS)
    assert time.monotonic() - began < STOPPED_SECONDS
    assert worker.poll() is None
    assert [row.pk for row in Submission.objects.all()] == [other.pk]
    assert not Transcript.objects.filter(submission=gone.pk).exists()
    assert not Event.objects.filter(kind="claim").exclude(task__submission=other).exists()
    assert audit(deep=True).sound
    assert not (settings.MEDIA_ROOT / gone.path).parent.exists()


def test_a_missing_model_blocks_the_phase_with_words_and_burns_nothing(manage: Spawn, submit: Submit) -> None:
    submission = submit()
    manage("run_phase_worker", **QUICK_LEASE, STT_MODEL="no-such-model", BATCH_MAX_WAIT_SECONDS="0.1")
    wait_until(lambda: Phase.objects.filter(step=PhaseStep.BLOCKED).exists())
    phase = Phase.objects.get()
    assert phase.target == PhaseName.STT
    assert "no-such-model" in phase.reason
    assert state_of(submission) == State.QUEUED
    assert not Attempt.objects.exists()
