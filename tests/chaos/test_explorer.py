"""A bounded share of what `make chaos` explores at length; see docs/proof.md."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from tests.chaos import explorer, planted
from tests.chaos.explorer import explore
from tests.chaos.scheduler import Scheduler
from tests.chaos.world import ScheduleWorld

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CLEAN = {"claims": 80, "phases": 25, "files": 40, "coach": 8}
# What a run of that length must have met, or it explores nothing.
MET = {
    "claims": ("kills", "leases run out", "claims lost", "waits for a lock", "people's verbs", "failed", "cancelled"),
    "phases": ("kills", "leases run out", "claims lost", "done", "turns"),
    "files": ("kills", "acknowledged"),
    "coach": ("kills", "questions_waiting", "coach_full", "stopped", "looks", "waits for a lock", "done", "cancelled"),
}


@pytest.mark.parametrize("scenario", explorer.SCENARIOS)
def test_no_schedule_leaves_anything_wrong(scenario: str) -> None:
    result = explore(scenario, range(CLEAN[scenario]))
    assert not result.problems, "\n".join([*result.trace, str(result)])
    assert [what for what in MET[scenario] if not result.counts[what]] == []


def test_there_are_fourteen_planted_faults() -> None:
    assert len(planted.FAULTS) == 14


@pytest.mark.parametrize("fault", planted.FAULTS)
def test_a_planted_fault_is_caught(fault: str) -> None:
    assert planted.hunt(fault, 500).problems


@pytest.mark.parametrize("scenario", explorer.SCENARIOS)
def test_a_seed_replays_step_by_step(scenario: str) -> None:
    traces: list[list[str]] = []

    def keep(result: object, scheduler: Scheduler, world: ScheduleWorld) -> None:
        traces.append(scheduler.trace)

    with patch.object(explorer, "_add_up", keep):
        explore(scenario, [1, 2, 3])
        explore(scenario, [3])
    assert len(traces[2]) > 10
    assert traces[3] == traces[2]
