"""A real worker whose two language models don't fit into memory together."""

from __future__ import annotations

import signal

import pytest

from queueing.models import Attempt, Event, Phase, Task
from queueing.states import PhaseStep, State
from tests.processes.conftest import QUICK_LEASE, SIMULATED, Spawn, Submit

pytestmark = pytest.mark.slow

IN_TURNS = {**SIMULATED, **QUICK_LEASE, "LLM_TOGETHER": "false", "SIMULATED_SECONDS": "0.05", "LLM_SLOTS": "2"}
CLIPS = ("henry.wav", "anna.webm", "emma.m4a", "frank.mp3")


def loads() -> list[str]:
    """What each load for evaluation was for, in order."""
    active = Event.objects.filter(kind="phase_active", detail__name="eval").order_by("pk")
    return [event.detail["reason"].split()[0] for event in active]


def test_each_batch_costs_one_load_of_each_language_model(manage: Spawn, submit: Submit) -> None:
    """F39: four videos in batches of two: two loads of each model, and all forms of a batch before its ratings."""
    for clip in CLIPS:
        submit(clip)
    assert manage("run_phase_worker", "--until-idle", **IN_TURNS, BATCH_SIZE="2").wait(60) == 0
    assert set(Task.objects.values_list("state", flat=True)) == {State.DONE}
    assert loads() == ["extracts", "rates"] * 2
    stages = Attempt.objects.order_by("began_at").values_list("stage", flat=True)
    assert list(stages) == (["transcribe"] * 2 + ["extract"] * 2 + ["rate"] * 2) * 2
    row = Phase.objects.get()
    assert (row.step, row.reason) == (PhaseStep.IDLE, "")
    assert row.plan.startswith("sub-phases: LLM_TOGETHER says so")


@pytest.mark.parametrize(
    "step",
    [
        # The passings before are those of the start, of transcription and of the first language model.
        "switch.unloading=kill@4",
        "switch.verified=kill@4",
        "switch.loading=kill@3",
        "switch.settled=kill@4",
    ],
)
def test_a_worker_that_dies_in_a_turn_costs_no_task_anything(manage: Spawn, submit: Submit, step: str) -> None:
    for clip in CLIPS[:2]:
        submit(clip)
    dying = {**IN_TURNS, "INTROEVAL_FAILPOINTS": step, "INTROEVAL_REHEARSAL": "1"}
    assert manage("run_phase_worker", "--until-idle", **dying).wait(60) == -signal.SIGKILL
    assert set(Task.objects.values_list("state", "stage")) == {(State.QUEUED, "rate")}
    assert manage("run_phase_worker", "--until-idle", **IN_TURNS).wait(60) == 0
    assert set(Task.objects.values_list("state", flat=True)) == {State.DONE}
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded"}
    assert loads()[-1] == "rates"
