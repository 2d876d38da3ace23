"""A rehearsal's bounds, against figures worked out by hand and against every way to serve a small class."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from introeval.rehearsal import bounds
from introeval.rehearsal.bounds import StageTimes

LAB = StageTimes(stt=10, extract=15, rate=25, switch=5)
THREE_SLOTS = StageTimes(stt=10, extract=15, rate=25, switch=5, slots=3)


def test_a_batch_with_one_slot_takes_one_extraction_and_all_ratings() -> None:
    assert bounds.evaluation(10, LAB) == 15 + 10 * 25


def test_a_batch_with_three_slots_is_rated_in_rounds() -> None:
    # Extracted by 15, 30, 45, 60; rated from 15, 40, 65, 90.
    assert bounds.evaluation(10, THREE_SLOTS) == 15 + 4 * 25


def test_a_stage_that_is_slower_at_first_holds_the_second_up() -> None:
    assert bounds.evaluation(4, StageTimes(stt=1, extract=30, rate=10, switch=0)) == 4 * 30 + 10


def test_a_class_is_three_batches_and_five_and_a_half_switches() -> None:
    assert bounds.lower_bound(30, LAB, batch_size=10) == 3 * (100 + 265) + 5.5 * 5


def test_a_last_batch_may_be_smaller() -> None:
    assert bounds.lower_bound(12, LAB, batch_size=10) == (100 + 265) + (20 + 15 + 50) + 3.5 * 5


def test_models_that_take_turns_rate_when_all_forms_are_there_and_cost_a_switch_more_per_batch() -> None:
    turns = replace(THREE_SLOTS, in_turns=True)
    assert bounds.evaluation(10, turns) == 4 * 15 + 5 + 4 * 25
    assert bounds.lower_bound(30, turns, batch_size=10) == 3 * (100 + 165) + 5.5 * 5
    assert bounds.lower_bound(30, turns, batch_size=10, nodes=2) == 30 * (10 + 40 / 3) / 2 + 2.5


def test_no_queue_beats_one_load_of_each_model() -> None:
    assert bounds.floor(30, LAB) == 300 + 15 + 30 * 25 + 1.5 * 5


def test_three_slots_can_reach_the_quarter_of_an_hour_and_one_cannot() -> None:
    assert bounds.lower_bound(30, THREE_SLOTS, batch_size=10) < 900 < bounds.floor(30, LAB)


def test_one_at_a_time_takes_25_minutes() -> None:
    assert bounds.one_at_a_time(30, LAB) == 25 * 60


def test_nodes_share_the_work() -> None:
    assert bounds.lower_bound(30, LAB, batch_size=10, nodes=2) == 30 * (10 + 25) / 2 + 2.5


@given(
    students=st.integers(1, 40),
    slots=st.integers(1, 5),
    in_turns=st.booleans(),
    times=st.tuples(*[st.floats(0.1, 100)] * 4),
    batch_size=st.integers(1, 12),
)
def test_the_bounds_stand_in_their_order(
    students: int, slots: int, in_turns: bool, times: tuple[float, float, float, float], batch_size: int
) -> None:
    work = StageTimes(*times, slots=slots, in_turns=in_turns)
    floor, bound = bounds.floor(students, work), bounds.lower_bound(students, work, batch_size=batch_size)
    assert floor <= bound * (1 + 1e-9)
    assert bounds.lower_bound(students, work, batch_size=batch_size, nodes=2) <= bound * (1 + 1e-9)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize(("extract", "rate"), [(2.0, 3.0), (3.0, 2.0), (1.0, 1.0)])
def test_no_way_to_deal_out_the_servers_is_quicker(slots: int, extract: float, rate: float) -> None:
    work = StageTimes(stt=1, extract=extract, rate=rate, switch=0, slots=slots)
    tasks = 4
    best = min(
        _makespan(extractors, raters, work)
        for extractors in itertools.product(range(slots), repeat=tasks)
        for raters in itertools.product(range(slots), repeat=tasks)
    )
    assert bounds.evaluation(tasks, work) == best


def _makespan(extractors: tuple[int, ...], raters: tuple[int, ...], work: StageTimes) -> float:
    """Of tasks alike, served in their order by the servers that they were dealt to."""
    extracting, rating = [0.0] * work.slots, [0.0] * work.slots
    for extractor, rater in zip(extractors, raters, strict=True):
        extracting[extractor] += work.extract
        rating[rater] = max(rating[rater], extracting[extractor]) + work.rate
    return max(rating)
