"""How fast a figure grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.policy import growth
from queueing.policy.growth import MIB, theil_sen


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.integers(3, 30))
def test_a_line_has_its_own_slope(start: float, slope: float, points: int) -> None:
    found = theil_sen([(x, start + slope * x) for x in range(points)])
    assert found is not None
    assert found.middle == pytest.approx(slope, abs=1e-6)
    assert found.least <= found.middle


@given(st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6), st.lists(st.integers(0, 29), min_size=6, max_size=6))
def test_a_few_wild_points_do_not_make_it_grow(values: list[float], places: list[int]) -> None:
    points = dict.fromkeys(range(30), 100.0) | dict(zip(places, values, strict=True))
    found = theil_sen([*points.items()])
    assert found is not None
    assert found.middle == 0


def test_too_few_points_say_nothing() -> None:
    assert theil_sen([(0, 1), (1, 2)]) is None
    assert theil_sen([(1, 1), (1, 2), (1, 3)]) is None
    assert growth.per_task([(n, n * MIB) for n in range(growth.FEWEST_TASKS - 1)]) is None


def test_what_a_process_gains_with_each_task() -> None:
    assert growth.per_task([(n, n * 7 * MIB) for n in range(8)]) == 7 * MIB
    assert growth.per_task([(n, size * MIB) for n, size in enumerate([90, 140, 150, 150, 150, 151, 150, 150])]) == 0
    assert growth.per_task([(3 * n, n * 6 * MIB) for n in range(8)]) == 2 * MIB, "three at once"


def test_the_most_that_a_process_may_hold_follows_its_model() -> None:
    assert growth.most_bytes(250 * MIB, 0) == (500 + 1024) * MIB
    assert growth.most_bytes(250 * MIB, 2000 * MIB) == 2000 * MIB
    assert growth.most_bytes(400 * MIB, 100 * MIB) == 500 * MIB, "else it would be begun anew after each task"
