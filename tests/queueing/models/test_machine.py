"""Any order of the queue's verbs, on real tables; `python -m tests.chaos machine` shortens what fails."""

from __future__ import annotations

import pytest
from django.db import IntegrityError

from tests.chaos import machine, planted

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


def test_no_order_of_verbs_breaks_the_queue() -> None:
    machine.try_out(examples=20, at_length=False)


@pytest.mark.parametrize("fault", ["no_epoch", "state_only", "rescue_by_id"])
def test_the_machine_notices_a_planted_fault(fault: str) -> None:
    with planted.FAULTS[fault].plant(), pytest.raises((AssertionError, IntegrityError)):
        machine.try_out(examples=200, at_length=False)
