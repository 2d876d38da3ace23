from __future__ import annotations

import re
from dataclasses import replace

import pytest

from evaluations.models import Form
from evaluations.rating import default_rubric, scoring
from evaluations.rating.rubric import BadRubricError, CriterionSpec, ItemSpec, RubricSpec, WorkedExample

HARD = ItemSpec("proof", "proves it", 2, hard=True)
EASY = ItemSpec("claim", "claims it", 1)
GOOD = RubricSpec("R", 1, "en", (CriterionSpec("c", "C", (EASY, HARD)),))


def of(*items: ItemSpec, weight: float = 1.0) -> RubricSpec:
    return replace(GOOD, criteria=(CriterionSpec("c", "C", items, weight),))


@pytest.mark.parametrize(
    ("rubric", "says"),
    [
        (replace(GOOD, criteria=()), "no items"),
        (of(), "no items"),
        (of(HARD, HARD), "twice: proof"),
        (of(HARD, replace(EASY, points=0)), "claim has no points"),
        (of(HARD, replace(EASY, computed="mood")), "'mood'"),
        (of(HARD, replace(EASY, points=8)), "above 8 without a hard item"),
        (of(EASY), "above 8 without a hard item"),
        (of(HARD, weight=0.0), "weight"),
        (of(HARD, *(replace(EASY, key=f"k{n}", points=1) for n in range(6))), "1 to 6"),
    ],
)
def test_what_can_not_be_rated_by_is_refused_with_the_reason(rubric: RubricSpec, says: str) -> None:
    GOOD.validate()
    with pytest.raises(BadRubricError, match=re.escape(says)):
        rubric.validate()


def test_the_hard_items_may_just_be_needed_above_eight() -> None:
    of(replace(HARD, points=2), replace(EASY, points=7)).validate()  # 1 + 9 × 7/9 is 8.0
    with pytest.raises(BadRubricError):
        of(replace(HARD, points=2), replace(EASY, points=8)).validate()


def test_what_can_change_a_score_changes_the_digest() -> None:
    assert GOOD.digest == replace(GOOD, name="Other", version=7).digest
    for changed in (of(EASY, replace(HARD, points=3)), of(replace(EASY, statement="x"), HARD), of(HARD, EASY)):
        assert changed.digest != GOOD.digest


@pytest.mark.parametrize("rubric", default_rubric.DEFAULTS, ids=lambda rubric: rubric.language)
class TestDefaultRubric:
    def test_it_can_be_rated_by_and_keeps_the_promised_scores(self, rubric: RubricSpec) -> None:
        rubric.validate()
        assert [each.key for each in rubric.criteria] == ["clarity_of_speech", "content_quality", "confidence"]
        assert all(3 <= len(each.items) <= 6 for each in rubric.criteria)

    def test_without_a_hard_item_no_criterion_is_above_eight(self, rubric: RubricSpec) -> None:
        for criterion in rubric.criteria:
            score = scoring.score((item.points, float(not item.hard)) for item in criterion.items)
            assert score is not None
            assert score <= 8.0

    def test_each_item_that_is_asked_has_both_examples_and_each_one_advice(self, rubric: RubricSpec) -> None:
        assert all(item.yes and item.no for item in rubric.asked())
        assert all(item.advice and item.title for item in rubric.items())
        assert all(item.about in ("", *Form.FIELDS) for item in rubric.items())

    def test_its_worked_examples_answer_each_item_and_each_once_true_and_once_false(self, rubric: RubricSpec) -> None:
        examples = rubric.worked_examples()
        keys = [item.key for item in rubric.asked()]
        assert len(examples) == 2
        for example in examples:
            assert list(example.answers) == keys
            assert {number for shown in example.answers.values() for number in shown} <= set(
                range(1, len(example.sentences) + 1)
            )
        differing = [key for key in keys if len({bool(example.answers[key]) for example in examples}) == 2]
        assert len(differing) >= 5


def test_a_worked_example_that_lacks_an_item_is_left_out_and_the_others_stay() -> None:
    whole, partly = (
        WorkedExample(("I ski.",), {"claim": (1,), "proof": ()}),
        WorkedExample(("I ski.",), {"claim": (1,)}),
    )
    rubric = replace(of(EASY, HARD), examples=(whole, partly))
    assert rubric.worked_examples() == [whole]
    assert rubric.digest != of(EASY, HARD).digest


def test_both_languages_have_the_same_items() -> None:
    shapes = [
        [(item.key, item.points, item.hard, item.whole, item.computed, item.about) for item in rubric.items()]
        for rubric in default_rubric.DEFAULTS
    ]
    assert shapes[0] == shapes[1]
    answers = [[example.answers for example in rubric.examples] for rubric in default_rubric.DEFAULTS]
    assert answers[0] == answers[1]


def test_a_rating_by_the_default_rubric_is_read_in_either_language_and_other_words_stay() -> None:
    item = {
        "key": "future",
        "title": "a concrete plan",
        "statement": "names a concrete job, field or plan for the future",
    }
    row = {
        "title": "Content quality",
        "items": [{**item, "advice": "My own advice.", "sentences": [{"quote": "a reason"}]}],
    }
    (german,) = default_rubric.localized([row], "de")
    assert german["title"] == "Inhalt"
    assert german["items"][0]["title"] == "einen bestimmten Plan"
    assert german["items"][0]["advice"] == "My own advice."
    assert german["items"][0]["sentences"] == [{"quote": "a reason"}]
    assert default_rubric.localized([german], "en") == default_rubric.localized([row], "fr") == [row]
