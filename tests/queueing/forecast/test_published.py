"""A published estimate goes up only for a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.forecast.published import Estimate, PlaceInLine, Published, estimate, publish, standstill
from queueing.forecast.simulation import Moment

ADA, BO, CY = 1, 2, 3
LINE = [PlaceInLine(ADA, 0, 0), PlaceInLine(BO, 0, 0), PlaceInLine(CY, 1, 0)]
SHORT, LONG = Estimate(80, 120), Estimate(100, 150)


def all_of(found: Estimate, line: list[PlaceInLine] = LINE) -> dict[int, Estimate]:
    return {place.task: found for place in line}


PREVIOUS = publish(all_of(SHORT), LINE, {}, same_lab=True)


def published(line: list[PlaceInLine], *, fresh: Estimate = LONG, same_lab: bool = True) -> dict[int, Estimate]:
    found = publish(all_of(fresh, line), line, PREVIOUS, same_lab=same_lab)
    return {task: range_of(each) for task, each in found.items()}


def range_of(one: Published) -> Estimate:
    assert one.estimate
    return one.estimate


def test_of_a_certain_moment_a_twentieth_is_taken_off_and_a_tenth_added() -> None:
    """Most of what the simulation leaves out only takes longer."""
    assert astuple(estimate(Moment(100.0), Moment(200.0))) == pytest.approx((95, 220))
    assert estimate(Moment(0.0), Moment(0.0)) == Estimate(0, 0)


def test_a_range_is_one_and_a_third_standard_deviations_wide_on_either_side() -> None:
    found = estimate(Moment(100.0, variance=9.0**2, doubt=12.0), Moment(100.0))
    assert astuple(found) == pytest.approx((95 - 1.3 * 15, 110 + 1.3 * 15))
    assert estimate(Moment(10.0, doubt=12.0), Moment(10.0)).low_seconds == 0


def test_a_wobble_changes_nothing_and_less_is_published_at_once() -> None:
    assert published(LINE) == all_of(SHORT)
    assert published(LINE, fresh=Estimate(70, 130)) == all_of(Estimate(70, 120))
    assert published(LINE, fresh=Estimate(95, 110)) == all_of(Estimate(90, 110))  # surer of it, and not later


def test_who_was_put_back_hears_the_truth_and_so_do_all_behind() -> None:
    assert published([PlaceInLine(ADA, 0, 0), PlaceInLine(BO, 0, 0), PlaceInLine(CY, 1, 1)]) == {
        ADA: SHORT,
        BO: SHORT,
        CY: LONG,
    }
    assert published([PlaceInLine(ADA, 0, 1), PlaceInLine(BO, 0, 0), PlaceInLine(CY, 1, 0)]) == all_of(LONG)


def test_who_comes_into_a_batch_is_heard_of_in_it_and_behind_it() -> None:
    assert published([*LINE, PlaceInLine(4, 2, 0)]) == {ADA: SHORT, BO: SHORT, CY: SHORT, 4: LONG}
    assert published([*LINE, PlaceInLine(4, 1, 0)]) == {ADA: SHORT, BO: SHORT, CY: LONG, 4: LONG}


def test_who_is_passed_over_hears_the_truth() -> None:
    ahead = [PlaceInLine(CY, 0, 0), PlaceInLine(ADA, 1, 0), PlaceInLine(BO, 1, 0)]
    assert published(ahead) == {CY: SHORT, ADA: LONG, BO: LONG}


def test_another_lab_is_another_estimate() -> None:
    assert published(LINE, same_lab=False) == all_of(LONG)


def test_a_range_that_can_not_hold_any_more_is_replaced() -> None:
    assert published(LINE, fresh=Estimate(120, 300)) == all_of(Estimate(80, 120))
    assert published(LINE, fresh=Estimate(121, 300)) == all_of(Estimate(121, 300))


def test_of_whom_nothing_is_known_nothing_is_published_but_of_those_behind() -> None:
    assert publish({}, LINE, PREVIOUS, same_lab=True) == {}
    found = publish({ADA: SHORT, CY: LONG}, LINE, {}, same_lab=True)
    assert {task: each.estimate for task, each in found.items()} == {ADA: SHORT, CY: LONG}


@given(st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 2), st.booleans()), min_size=2, max_size=8))
def test_the_share_of_a_way_that_is_done_never_shrinks(rounds: list[tuple[float, int, bool]]) -> None:
    """Whatever happens: setbacks, longer estimates, times in which work stands still."""
    last: Mapping[int, Published] = {}
    share = 0.0
    for seconds, setbacks, stands_still in rounds:
        place = PlaceInLine(ADA, 0, setbacks)
        last = publish({ADA: Estimate(seconds, seconds)}, [place], last, same_lab=True)
        last = standstill(last) if stands_still else last
        assert share <= last[ADA].share <= 1
        share = last[ADA].share


@given(st.floats(0, 1e5), st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_range_holds_its_moment(at: float, variance: float, doubt: float, later: float) -> None:
    found = estimate(Moment(at, variance, doubt), Moment(at + later, variance, doubt))
    assert 0 <= found.low_seconds <= at <= at + later <= found.high_seconds


def middle(one: Published) -> float:
    return (range_of(one).low_seconds + range_of(one).high_seconds) / 2


ranges = st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)).map(lambda ends: Estimate(min(ends), max(ends)))
lines = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), ranges), min_size=1, max_size=12)


@given(lines, st.lists(ranges, min_size=1, max_size=6))
def test_while_everything_goes_its_way_nothing_goes_up(
    line: list[tuple[int, int, Estimate]], polls: list[Estimate]
) -> None:
    places = [
        PlaceInLine(task, group, setbacks) for task, (group, setbacks, _) in enumerate(sorted(line, key=lambda x: x[0]))
    ]
    last: Mapping[int, Published] = {}
    for fresh in polls:
        now = publish(all_of(fresh, places), places, last, same_lab=True)
        for task, each in now.items():
            assert range_of(each).low_seconds <= range_of(each).high_seconds
            if task in last and fresh.low_seconds <= range_of(last[task]).high_seconds:
                assert range_of(each).high_seconds <= range_of(last[task]).high_seconds
                assert middle(each) <= middle(last[task]) + 1e-6
        last = now


@pytest.mark.parametrize("gone", [ADA, BO])
def test_who_is_through_leaves_the_others_undisturbed(gone: int) -> None:
    left = [place for place in LINE if place.task != gone]
    assert set(published(left).values()) == {SHORT}


def test_what_is_not_known_well_widens_the_range_like_what_varies() -> None:
    at = 100.0
    sure = estimate(Moment(at), Moment(at))
    varied, doubtful = (estimate(moment, moment) for moment in (Moment(at, variance=900.0), Moment(at, doubt=30.0)))
    assert varied == doubtful
    assert doubtful.low_seconds < sure.low_seconds
    assert doubtful.high_seconds > sure.high_seconds
