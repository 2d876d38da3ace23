from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.rating import calibration, default_rubric
from evaluations.rating.calibration import Calibration, platt
from evaluations.rating.rubric import RubricSpec
from evaluations.stages import prompts


def marks(items: dict[str, float], count: int, *, seed: int) -> list[tuple[str, float, bool]]:
    """Of a model that ranks well and says "true" too readily: by how much, item by item, in `items`."""
    chance = random.Random(seed)
    found = []
    for item, lean in items.items():
        for _ in range(count):
            said = chance.random() < 0.5
            told = min(max(chance.gauss(0.65 if said else 0.4, 0.1) + lean, 0.01), 0.99)
            found.append((item, told, said))
    return found


def right(fitted: Calibration, judged: list[tuple[str, float, bool]]) -> float:
    return sum((fitted.probability(item, told) >= 0.5) == said for item, told, said in judged) / len(judged)


LEANS = {"strength": 0.3, "closing": -0.15, "plan": 0.1}


def test_what_is_fitted_on_one_half_is_right_on_the_other() -> None:
    fitted = calibration.fit(marks(LEANS, 40, seed=1))
    judged = marks(LEANS, 200, seed=2)
    assert right(fitted, judged) > 0.85
    assert right(fitted, judged) > right(calibration.NONE, judged) + 0.1
    assert fitted.slope > 1.0  # it was less sure than it may be


def test_a_model_that_is_sure_keeps_the_margin_and_one_that_is_not_leaves_a_tenth_undecided() -> None:
    sure = calibration.fit([("plan", 0.999, True), ("plan", 0.001, False)] * 20)
    assert sure.margin == calibration.MAX_MARGIN == calibration.NONE.margin
    judged = [(item, 0.5 + (told - 0.5) / 4, said) for item, told, said in marks(LEANS, 60, seed=4)]
    unsure = calibration.fit(judged)
    within = [abs(unsure.probability(item, told) - 0.5) < unsure.margin for item, told, _ in judged]
    assert unsure.margin < sure.margin
    assert 0.05 < sum(within) / len(within) <= 0.11


def test_of_few_marks_an_item_keeps_close_to_the_others() -> None:
    many = marks({"plan": 0.1, "closing": 0.1}, 60, seed=3)
    lonely = calibration.fit([*many, ("proof", 0.9, False)])
    assert abs(lonely.intercepts["proof"] - lonely.intercepts["plan"]) < 2.5


@pytest.mark.parametrize("judged", [[], [("plan", 0.4, True)], [("plan", 0.4, False), ("proof", 0.9, False)]])
def test_marks_of_one_kind_fit_nothing(judged: list[tuple[str, float, bool]]) -> None:
    with pytest.raises(ValueError, match="both kinds"):
        calibration.fit(judged)


@given(st.floats(0, 1), st.floats(0, 1))
def test_it_never_changes_the_order(one: float, other: float) -> None:
    fitted = Calibration(1.7, {"plan": -0.8})
    low, high = sorted((one, other))
    assert fitted.probability("plan", low) <= fitted.probability("plan", high)
    assert 0 <= fitted.probability("plan", low) <= 1


def test_without_one_for_the_model_and_the_rubric_probabilities_stay() -> None:
    assert calibration.of("another model", default_rubric.ENGLISH.digest) is calibration.NONE
    assert calibration.NONE.probability("plan", 0.3) == pytest.approx(0.3)


def test_each_that_is_kept_is_for_the_prompts_as_they_are_now() -> None:
    """With other words before them, a model's probabilities are others."""
    assert {each["prompts"] for each in json.loads(platt.FILE.read_text())} == {prompts.VERSION}


def test_each_that_is_kept_is_for_a_default_rubric_as_it_is_or_as_it_was_without_signs() -> None:
    """Classes in which something was rated by the version before keep that."""
    digests = {rubric.digest for spec in default_rubric.DEFAULTS for rubric in (spec, without_signs(spec))}
    assert {rubric for _, rubric in platt._fitted()} == digests


def without_signs(spec: RubricSpec) -> RubricSpec:
    criteria = (replace(one, items=tuple(replace(item, sign="") for item in one.items)) for one in spec.criteria)
    return replace(spec, criteria=tuple(criteria))
