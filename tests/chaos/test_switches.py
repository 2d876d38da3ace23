"""A bounded share of the hand-overs that `make chaos` does by the thousand; see docs/proof.md."""

from __future__ import annotations

import pytest

from tests.chaos import switches
from tests.chaos.switches import FAILPOINTS, FAULTS

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

MET = ("slow", "full", "refused", "fallback", "nvml", "restarts", "programs came", "programs went", "ended blocked")


def test_no_hand_over_brings_both_kinds_together_or_ends_where_it_must_not() -> None:
    """F06, F39, F40, F43, F53."""
    result = switches.play(150, seed=1)
    assert not result.problems, str(result)
    assert [what for what in MET if not result.counts[what]] == []
    assert sum(result.counts[f"deaths at {place}"] for place in FAILPOINTS) > 5


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_planted_into_the_hand_over_is_caught(fault: str) -> None:
    assert switches.hunt(fault, 400).problems


def test_a_seed_replays_the_same_hand_overs() -> None:
    first, again = switches.play(40, seed=5), switches.play(40, seed=5)
    assert first.counts == again.counts
