from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.rating import scoring

CREDITS = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0]))
ITEMS = st.lists(st.tuples(st.integers(1, 9), CREDITS), max_size=6)


@pytest.mark.parametrize(
    ("earned", "score"),
    [
        ([(2, 1.0), (1, 1.0)], 10.0),
        ([(2, 0.0), (1, 0.0)], 1.0),
        ([(2, 1.0), (1, 0.0)], 7.0),
        ([(2, 0.5), (1, 0.0)], 4.0),
        ([(2, 1.0), (1, None)], 10.0),  # what doesn't apply counts neither way
        ([(2, 0.0), (1, None)], 1.0),
        ([(2, None)], None),
        ([], None),
    ],
)
def test_a_score_is_the_share_of_the_points_that_count(
    earned: list[tuple[int, float | None]], score: float | None
) -> None:
    assert scoring.score(earned) == score


@given(ITEMS)
def test_a_score_is_on_the_scale(earned: list[tuple[int, float | None]]) -> None:
    score = scoring.score(earned)
    assert score is None or 1.0 <= score <= 10.0


@given(ITEMS, st.integers(1, 9))
def test_an_item_more_never_lowers_a_score_and_a_miss_never_raises_it(
    earned: list[tuple[int, float | None]], points: int
) -> None:
    before = scoring.score(earned)
    if before is not None:
        with_it, without = scoring.score([*earned, (points, 1.0)]), scoring.score([*earned, (points, 0.0)])
        assert with_it is not None
        assert without is not None
        assert without <= before <= with_it


@pytest.mark.parametrize(
    ("scores", "overall"),
    [
        ([(8.0, 1), (4.0, 1)], 6.0),
        ([(8.0, 3), (4.0, 1)], 7.0),
        ([(8.0, 0), (5.0, 0)], 6.5),
        ([(7.0, 0), (1.0, 1)], 1.0),
    ],
)
def test_the_overall_score_is_the_mean_by_weight(scores: list[tuple[float, float]], overall: float) -> None:
    assert scoring.overall(scores) == overall
