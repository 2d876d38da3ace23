from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.rating import scoring
from evaluations.rating.scoring import LEVELS, Part
from evaluations.rating.speech import Spoken, measure

FACTS = measure([Spoken("hi", 0, 0.4, 1.0), Spoken("you", 0.4, 0.9, 1.0)], speech_seconds=0.9, duration=1.0)


@given(st.floats(-1e6, 1e6), st.floats(-100, 100), st.floats(-100, 100))
def test_a_measurement_is_always_on_the_scale(value: float, worst: float, best: float) -> None:
    if worst != best:
        assert 1 <= scoring.between(value, worst=worst, best=best) <= 10


@pytest.mark.parametrize(
    ("pace", "articulation", "score"),
    [
        (140, 0.95, 10),
        (40, 0.5, 1),
        (260, 0.5, 1),
        (140, 0.5, 5.5),
        (75, 0.9, 7.75),  # half-way from 40, the worst, to 110, which is well
        (215, 0.9, 7.75),  # half-way from 260 to 170
        (110, 0.7, 7.75),
        (170, 0.7, 7.75),
    ],
)
def test_delivery_rates_pace_and_articulation_alike(pace: float, articulation: float, score: float) -> None:
    facts = dataclasses.replace(FACTS, words_per_minute=pace, articulation=articulation)
    assert scoring.delivery(facts) == pytest.approx(score)


def test_fillers_and_long_pauses_cost_fluency() -> None:
    fluent = dataclasses.replace(FACTS, fillers_per_100_words=0, long_pauses_per_minute=0)
    halting = dataclasses.replace(FACTS, fillers_per_100_words=8, long_pauses_per_minute=4)
    assert scoring.fluency(fluent) == 10
    assert scoring.fluency(halting) == 1
    assert scoring.fluency(dataclasses.replace(fluent, fillers_per_100_words=2)) == 8.875  # a quarter of one half
    assert scoring.fluency(dataclasses.replace(fluent, long_pauses_per_minute=1)) == 8.875


def test_completeness_is_the_share_of_the_form_that_was_said() -> None:
    assert scoring.completeness({"name": "Ada", "age": 16}) == 10
    assert scoring.completeness({"name": "Ada", "age": None}) == 5.5
    assert scoring.completeness({"name": None, "age": None}) == 1


def test_a_judged_and_a_measured_part_are_mixed_by_share() -> None:
    part = Part("clarity", 1, judged="good", measured=5.0)
    assert part.score(0.6) == 6.8
    assert Part("clarity", 1, judged="good").score(0.6) == LEVELS["good"]
    assert Part("clarity", 1, measured=5.26).score(0.6) == 5.3
    assert Part("clarity", 1, judged="good", measured=5.1).score(0.6) == 6.8  # of 6.84


def test_a_part_without_any_basis_has_no_score() -> None:
    with pytest.raises(ValueError, match="neither judged nor measured"):
        Part("clarity", 1).score(0.6)


def test_the_overall_score_weighs_its_parts() -> None:
    assert scoring.overall([(10, 1), (4, 2)]) == 6.0
    assert scoring.overall([(10, 0.5), (5, 0.25)]) == 8.3
    assert scoring.overall([(10, 0), (4, 0)]) == 7.0
    assert scoring.overall([(10, 0), (5, 0), (5, 0)]) == 6.7
