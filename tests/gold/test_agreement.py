from __future__ import annotations

import math

import pytest

from tests.gold.agreement import accuracy, kappa, quadratic_weighted_kappa, table

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
