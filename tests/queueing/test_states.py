"""The words for a task, and the machine's picture in the docs."""

from __future__ import annotations

from pathlib import Path

import pytest

from queueing.states import PhaseName, Stage, State, Status, diagram, status_of


@pytest.mark.parametrize(
    ("stage", "state", "tried", "batch_phase", "word"),
    [
        (Stage.TRANSCRIBE, State.QUEUED, False, None, Status.UPLOADED),
        (Stage.TRANSCRIBE, State.QUEUED, False, PhaseName.STT, Status.STT_PENDING),
        (Stage.TRANSCRIBE, State.RUNNING, False, PhaseName.STT, Status.STT_PROCESSING),
        (Stage.EXTRACT, State.QUEUED, False, PhaseName.STT, Status.STT_COMPLETE),
        (Stage.EXTRACT, State.QUEUED, False, PhaseName.EVAL, Status.EVAL_PENDING),
        (Stage.EXTRACT, State.RUNNING, True, PhaseName.EVAL, Status.EVAL_PROCESSING),
        (Stage.RATE, State.QUEUED, False, PhaseName.EVAL, Status.MISTRAL_COMPLETE),
        (Stage.RATE, State.RUNNING, False, PhaseName.EVAL, Status.LLAMA_PROCESSING),
        (Stage.RATE, State.QUEUED, True, PhaseName.EVAL, Status.RETRY_QUEUED),
        (Stage.RATE, State.DONE, False, None, Status.COMPLETED),
        (Stage.EXTRACT, State.FAILED, True, None, Status.FAILED),
        (Stage.EXTRACT, State.CANCELLED, False, None, Status.CANCELLED),
    ],
)
def test_each_stage_and_state_has_its_word(
    stage: Stage, state: State, tried: bool, batch_phase: PhaseName | None, word: Status
) -> None:
    assert status_of(stage, state, tried=tried, batch_phase=batch_phase) == word


def test_every_word_can_be_reached() -> None:
    words = {
        status_of(stage, state, tried=tried, batch_phase=phase)
        for stage in Stage
        for state in State
        for tried in (False, True)
        for phase in (None, *PhaseName)
    }
    assert words == set(Status)


def test_the_architecture_page_shows_this_machine() -> None:
    page = Path(__file__).parents[2] / "docs" / "architecture.md"
    assert diagram() in page.read_text()
