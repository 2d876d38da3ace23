"""The words for a task in each stage and state: what people and the API see."""

from __future__ import annotations

import pytest

from evaluations.stages.names import Stage, StageStatus
from queueing.pipelines import StatusWord, spec_of
from queueing.states import PhaseName, State, Status


@pytest.mark.parametrize(
    ("stage", "state", "tried", "batch_phase", "word"),
    [
        (Stage.TRANSCRIBE, State.QUEUED, False, None, StageStatus.UPLOADED),
        (Stage.TRANSCRIBE, State.QUEUED, False, PhaseName.STT, StageStatus.STT_PENDING),
        (Stage.TRANSCRIBE, State.RUNNING, False, PhaseName.STT, StageStatus.STT_PROCESSING),
        (Stage.EXTRACT, State.QUEUED, False, PhaseName.STT, StageStatus.STT_COMPLETE),
        (Stage.EXTRACT, State.QUEUED, False, PhaseName.EVAL, StageStatus.EVAL_PENDING),
        (Stage.EXTRACT, State.RUNNING, True, PhaseName.EVAL, StageStatus.EVAL_PROCESSING),
        (Stage.RATE, State.QUEUED, False, PhaseName.EVAL, StageStatus.MISTRAL_COMPLETE),
        (Stage.RATE, State.RUNNING, False, PhaseName.EVAL, StageStatus.LLAMA_PROCESSING),
        (Stage.RATE, State.QUEUED, True, PhaseName.EVAL, Status.RETRY_QUEUED),
        (Stage.RATE, State.DONE, False, None, Status.COMPLETED),
        (Stage.EXTRACT, State.FAILED, True, None, Status.FAILED),
        (Stage.EXTRACT, State.CANCELLED, False, None, Status.CANCELLED),
    ],
)
def test_each_stage_and_state_has_its_word(
    stage: Stage, state: State, tried: bool, batch_phase: PhaseName | None, word: StatusWord
) -> None:
    assert spec_of(stage).status(state, tried=tried, batch_phase=batch_phase) == word


def test_every_word_can_be_reached() -> None:
    words = {
        spec_of(stage).status(state, tried=tried, batch_phase=phase)
        for stage in Stage
        for state in State
        for tried in (False, True)
        for phase in (None, *PhaseName)
    }
    assert words == {*StageStatus, Status.COMPLETED, Status.FAILED, Status.RETRY_QUEUED, Status.CANCELLED}
