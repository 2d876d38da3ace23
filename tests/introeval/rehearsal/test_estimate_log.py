"""What holds the estimates against the truth finds what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from introeval.rehearsal.estimate_log import EstimateAccuracy, SeenEstimate, measure
from queueing.forecast.published import Estimate

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ADA = 1


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def judged(*looks: tuple[float, float, float], end: float = 100, reasons: tuple[float, ...] = ()) -> EstimateAccuracy:
    """EstimateLog are (when, low, high)."""
    told = [SeenEstimate(at(when), Estimate(low, high)) for when, low, high in looks]
    return measure({ADA: told}, {ADA: at(end)}, [at(reason) for reason in reasons])


def test_a_range_holds_if_the_end_falls_into_it() -> None:
    found = judged((0, 80, 120), (50, 51, 60), (90, 0, 9), (99, 0, 2))
    assert (found.told, found.looks, found.first_within, found.within) == (1, 4, 1.0, 0.5)
    assert judged((0, 80, 99)).first_within == 0


def test_what_goes_up_while_everything_goes_its_way_has_no_reason() -> None:
    rose = (0, 80, 120), (10, 70, 121)
    assert judged(*rose).rises_without_reason == 1
    assert judged(*rose, reasons=(20,)).rises_without_reason == 1
    explained = judged(*rose, reasons=(5,))
    assert (explained.rises, explained.rises_without_reason, explained.corrections) == (1, 0, 0)


def test_what_could_not_hold_any_more_is_a_correction() -> None:
    found = judged((0, 50, 99), (10, 80, 110))
    assert (found.rises, found.corrections, found.rises_without_reason) == (1, 1, 0)


def test_who_was_told_nothing_or_is_still_waiting_is_not_counted() -> None:
    assert judged() == EstimateAccuracy(0, 0, 0.0, 0.0, 0.0, 0, 0, 0)
    assert measure({ADA: [SeenEstimate(at(0), Estimate(1, 2))]}, {}, []).told == 0
    assert judged((0, 80, 120), (101, 5, 200)).rises == 0  # a look that came after the end
