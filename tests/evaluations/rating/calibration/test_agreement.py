from __future__ import annotations

import math

import pytest

from evaluations.rating.calibration.agreement import (
    MarkedRating,
    accuracy,
    agreement,
    kappa,
    quadratic_weighted_kappa,
    spread,
)
from tests.gold.agreement import table

# Both yes 20 times, only the first 5 times, only the second 10 times, neither 15 times: agreement 0.7, by chance 0.5.
FIRST = [True] * 25 + [False] * 25
SECOND = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15


def test_accuracy_is_the_share_of_equal_labels() -> None:
    assert accuracy(FIRST, SECOND) == 0.7


def test_kappa_is_the_agreement_beyond_chance() -> None:
    assert kappa(FIRST, SECOND) == pytest.approx(0.4)


def test_kappa_reaches_from_full_agreement_to_its_opposite() -> None:
    assert kappa(FIRST, FIRST) == 1
    assert kappa([True, False], [False, True]) == -1
    assert kappa([True, True, False, False], [True, False, True, False]) == 0


def test_one_label_throughout_proves_no_agreement() -> None:
    assert math.isnan(kappa([True] * 9, [True] * 9))
    assert math.isnan(quadratic_weighted_kappa([3] * 9, [3] * 9))


def test_weighted_kappa_reaches_from_full_agreement_to_its_opposite() -> None:
    assert quadratic_weighted_kappa([1, 2, 3], [1, 2, 3]) == 1
    assert quadratic_weighted_kappa([1, 2, 3], [3, 2, 1]) == -1


def test_weighted_kappa_of_two_labels_is_kappa() -> None:
    assert quadratic_weighted_kappa(FIRST, SECOND) == pytest.approx(kappa(FIRST, SECOND))


def test_weighted_kappa_minds_how_far_labels_are_apart() -> None:
    near = quadratic_weighted_kappa([1, 2, 3, 4], [1, 2, 3, 3])
    far = quadratic_weighted_kappa([1, 2, 3, 4], [1, 2, 3, 1])
    assert near == pytest.approx(0.875)  # 1 - (1/4) / (32/16)
    assert far == pytest.approx(0.1)  # 1 - (9/4) / (40/16)


def test_markings_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="longer"):
        kappa([True], [True, False])


def test_the_table_counts_what_is_marked_apart() -> None:
    first = {"x": {"items": {"name": True}}, "y": {"items": {"name": False}}}
    second = {"x": {"items": {"name": True}}, "y": {"items": {"name": True}}}
    assert table(first, second, ["name"]).splitlines()[-2:] == [
        "| name | 1 | 2 | 1 | 0.500 | 0.00 |",
        "| all | 1 | 2 | 1 | 0.500 | 0.00 |",
    ]


def rating(credits: dict[str, float], marks: dict[str, bool], overall: float, marked: float) -> MarkedRating:
    return MarkedRating(credits, marks, overall, marked)


def test_an_unsure_answer_is_not_right_whatever_the_mark() -> None:
    found = agreement(
        [
            rating({"plan": 1.0, "proof": 0.5}, {"plan": True, "proof": True}, 8.0, 9.0),
            rating({"plan": 1.0, "proof": 0.0}, {"plan": False, "proof": False}, 6.0, 3.0),
        ]
    )
    plan, proof = found.items
    assert (plan.key, plan.marked, plan.yes, plan.right, plan.unsure) == ("plan", 2, 1, 0.5, 0.0)
    assert (proof.right, proof.unsure) == (0.5, 0.5)
    assert (found.right, found.bias, found.ratings, found.is_enough) == (0.5, 1.0, 2, False)
    assert found.weighted_kappa == pytest.approx(1 - 5 / 11)  # (1 + 9) / 2 against (1 + 25 + 9 + 9) / 4


def test_ten_marked_ratings_are_enough() -> None:
    one = rating({"plan": 1.0}, {"plan": True}, 8.0, 8.0)
    assert not agreement([one] * 9).is_enough
    assert agreement([one] * 10).is_enough


def test_a_mark_of_an_item_that_was_not_rated_counts_nothing() -> None:
    found = agreement([rating({}, {"gone": True}, 5.0, 5.0)])
    assert found.items == ()
    assert found.as_dict()["right"] is None


def test_nothing_marked_is_no_figure_and_no_error() -> None:
    assert agreement([]).as_dict() == {
        "marked": 0,
        "calibrated": False,
        "right": None,
        "weighted_kappa": None,
        "bias": None,
        "items": [],
    }


def test_items_that_tell_nobody_apart_are_named_once_there_are_enough_ratings() -> None:
    class_of_ten = [{"name": 1.0, "proof": 0.0, "plan": float(number % 2)} for number in range(10)]
    found = spread([5.0] * 10, class_of_ten)
    assert (found.ceiling, found.floor) == (("name",), ("proof",))
    assert spread([5.0] * 9, class_of_ten[:9]).ceiling == ()


def test_a_class_with_too_many_at_the_top_is_crowded() -> None:
    assert spread([8.0, 9.0, 5.0], []).is_crowded
    assert not spread([8.0, 8.5, 5.0, 5.0, 7.9], []).is_crowded
    assert not spread([], []).is_crowded
