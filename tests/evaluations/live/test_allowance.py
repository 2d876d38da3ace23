from __future__ import annotations

from evaluations.live.consumer import Allowance

MIB = 1024 * 1024
CUT_OFF_SECONDS = 20 + 30  # daphne pings after 20 s of silence and gives up 30 s later


def test_a_page_that_takes_nothing_is_sent_two_mebibytes_at_most_until_it_is_cut_off() -> None:
    allowance = Allowance(0.0)
    sent = sum(1000 for tick in range(CUT_OFF_SECONDS * 100) if allowance.take(1000, tick / 100))
    assert Allowance.BURST <= sent < 2 * MIB


def test_what_was_refused_is_allowed_a_little_later() -> None:
    allowance = Allowance(0.0)
    while allowance.take(4000, 0.0):
        pass
    assert not allowance.take(4000, 0.1)
    assert allowance.take(4000, 0.5)


def test_what_is_larger_than_any_allowance_is_sent_once_that_is_full() -> None:
    allowance = Allowance(0.0)
    assert allowance.take(3 * Allowance.BURST, 0.0)
    assert not allowance.take(1, 1.0)
    assert allowance.take(3 * Allowance.BURST, 1.0 + 4 * Allowance.BURST / Allowance.PER_SECOND)


def test_a_page_that_was_quiet_for_long_may_be_sent_no_more_than_a_new_one() -> None:
    allowance = Allowance(0.0)
    sent = sum(1000 for _ in range(10_000) if allowance.take(1000, 3600.0))
    assert sent <= Allowance.BURST
