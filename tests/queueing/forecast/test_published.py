"""What is said goes up only for a reason."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.forecast.published import Estimate, PlaceInLine, Published, estimate, publish
from queueing.forecast.simulation import Moment

ADA, BO, CY = 1, 2, 3
LINE = [PlaceInLine(ADA, 0, 0), PlaceInLine(BO, 0, 0), PlaceInLine(CY, 1, 0)]
SHORT, LONG = Estimate(80, 120), Estimate(100, 150)


def all_of(found: Estimate, line: list[PlaceInLine] = LINE) -> dict[int, Estimate]:
    return {place.task: found for place in line}


BEFORE = publish(all_of(SHORT), LINE, {}, same_lab=True)


def told(line: list[PlaceInLine], *, fresh: Estimate = LONG, same_lab: bool = True) -> dict[int, Estimate]:
    said = publish(all_of(fresh, line), line, BEFORE, same_lab=same_lab)
    return {task: each.estimate for task, each in said.items()}


def test_a_wobble_changes_nothing_and_less_is_said_at_once() -> None:
    assert told(LINE) == all_of(SHORT)
    assert told(LINE, fresh=Estimate(70, 130)) == all_of(Estimate(70, 120))
    assert told(LINE, fresh=Estimate(95, 110)) == all_of(Estimate(90, 110))  # surer of it, and not later


def test_who_was_put_back_hears_the_truth_and_so_do_all_behind() -> None:
    assert told([PlaceInLine(ADA, 0, 0), PlaceInLine(BO, 0, 0), PlaceInLine(CY, 1, 1)]) == {
        ADA: SHORT,
        BO: SHORT,
        CY: LONG,
    }
    assert told([PlaceInLine(ADA, 0, 1), PlaceInLine(BO, 0, 0), PlaceInLine(CY, 1, 0)]) == all_of(LONG)


def test_who_comes_into_a_batch_is_heard_of_in_it_and_behind_it() -> None:
    assert told([*LINE, PlaceInLine(4, 2, 0)]) == {ADA: SHORT, BO: SHORT, CY: SHORT, 4: LONG}
    assert told([*LINE, PlaceInLine(4, 1, 0)]) == {ADA: SHORT, BO: SHORT, CY: LONG, 4: LONG}


def test_who_is_passed_over_hears_the_truth() -> None:
    ahead = [PlaceInLine(CY, 0, 0), PlaceInLine(ADA, 1, 0), PlaceInLine(BO, 1, 0)]
    assert told(ahead) == {CY: SHORT, ADA: LONG, BO: LONG}


def test_another_lab_is_another_estimate() -> None:
    assert told(LINE, same_lab=False) == all_of(LONG)


def test_who_was_told_a_range_that_can_not_hold_any_more_is_told_another() -> None:
    assert told(LINE, fresh=Estimate(119, 300)) == all_of(Estimate(80, 120))
    assert told(LINE, fresh=Estimate(121, 300)) == all_of(Estimate(121, 300))


def test_of_whom_nothing_is_known_nothing_is_said() -> None:
    assert publish({}, LINE, BEFORE, same_lab=True) == {}


@given(st.floats(0, 1e5), st.floats(0, 1e6), st.floats(0, 1e4), st.floats(0, 1e4))
def test_a_range_holds_its_moment(at: float, variance: float, doubt: float, later: float) -> None:
    found = estimate(Moment(at, variance, doubt), Moment(at + later, variance, doubt))
    assert 0 <= found.low_seconds <= at <= at + later <= found.high_seconds


def middle(said: Published) -> float:
    return (said.estimate.low_seconds + said.estimate.high_seconds) / 2


ranges = st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)).map(lambda ends: Estimate(min(ends), max(ends)))
lines = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), ranges), min_size=1, max_size=12)


@given(lines, st.lists(ranges, min_size=1, max_size=6))
def test_while_everything_goes_its_way_nothing_goes_up(
    line: list[tuple[int, int, Estimate]], looks: list[Estimate]
) -> None:
    places = [
        PlaceInLine(task, group, setbacks) for task, (group, setbacks, _) in enumerate(sorted(line, key=lambda x: x[0]))
    ]
    said: Mapping[int, Published] = {}
    for fresh in looks:
        now = publish(all_of(fresh, places), places, said, same_lab=True)
        for task, each in now.items():
            assert each.estimate.low_seconds <= each.estimate.high_seconds
            if task in said and fresh.low_seconds <= said[task].estimate.high_seconds:
                assert each.estimate.high_seconds <= said[task].estimate.high_seconds
                assert middle(each) <= middle(said[task]) + 1e-6
        said = now


@pytest.mark.parametrize("gone", [ADA, BO])
def test_who_is_through_leaves_the_others_undisturbed(gone: int) -> None:
    left = [place for place in LINE if place.task != gone]
    assert set(told(left).values()) == {SHORT}


def test_what_is_not_known_well_widens_the_range_like_what_varies() -> None:
    at = 100.0
    sure = estimate(Moment(at), Moment(at))
    varied, doubtful = (estimate(moment, moment) for moment in (Moment(at, variance=900.0), Moment(at, doubt=30.0)))
    assert varied == doubtful
    assert doubtful.low_seconds < sure.low_seconds
    assert doubtful.high_seconds > sure.high_seconds
