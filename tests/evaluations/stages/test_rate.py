from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from evaluations.errors.catalogue import explain
from evaluations.models import Classroom, Criterion, Rubric
from evaluations.rating import evidence, speech
from evaluations.rating.evidence import Sentence
from evaluations.rating.speech import Spoken
from evaluations.stages import prompts
from evaluations.stages.rate import CriterionFacts, Rate, RateWork, advise, scores
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_results

WORDS = [
    Spoken(word, at * 0.4, at * 0.4 + 0.3, 0.95) for at, word in enumerate(["I", "am", "Ada.", "I", "draw", "horses."])
]
ANSWERS: dict[str, object] = {"name": "Ada", "age": None, "hobbies": ["draw horses"]}
CRITERIA = (
    CriterionFacts("overall_rating", "Overall", "All.", Criterion.Basis.COMPUTED, "", 1),
    CriterionFacts("clarity", "Clarity", "Clear.", Criterion.Basis.BOTH, Criterion.Measure.DELIVERY, 1),
    CriterionFacts("humour", "Humour", "Funny.", Criterion.Basis.JUDGED, "", 3),
    CriterionFacts("complete", "Complete", "All said.", Criterion.Basis.MEASURED, Criterion.Measure.COMPLETENESS, 1),
)


@pytest.fixture
def work() -> RateWork:
    facts = speech.measure(WORDS, speech_seconds=2.0, duration=3.0)
    return RateWork(CRITERIA, tuple(evidence.sentences(WORDS)), ANSWERS, facts)


@pytest.fixture
def answer() -> dict[str, Any]:
    return {
        "criteria": {
            "clarity": {"level": "good", "sentences": [2, 1, 2]},
            "humour": {"level": "weak", "sentences": [1]},
        },
        "feedback": ["You draw horses.", "You are good at physics."],
        "suggestions": ["Tell us a joke.", "Say more next time."],
    }


def test_the_schema_admits_known_levels_and_sentences_only(work: RateWork, answer: dict[str, Any]) -> None:
    jsonschema.validate(answer, work.schema())
    for bad in ({"level": "superb", "sentences": [1]}, {"level": "good", "sentences": [3]}, {"level": "good"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**answer, "criteria": {**answer["criteria"], "clarity": bad}}, work.schema())


def test_measured_and_computed_criteria_are_not_asked_of_the_model(work: RateWork) -> None:
    assert set(work.rubric) == {"clarity", "humour"}
    assert "complete" not in work.prompt().user


def test_scores_come_in_the_rubrics_order_and_the_overall_is_their_weighted_mean(
    work: RateWork, answer: dict[str, Any]
) -> None:
    rows = scores(work, answer, judged_share=0.6)
    by_key = {row["key"]: row for row in rows}
    assert list(by_key) == ["overall_rating", "clarity", "humour", "complete"]
    assert by_key["humour"]["score"] == 3.0
    assert by_key["complete"]["score"] == 7.0  # two of three fields
    weighted = (by_key["clarity"]["score"] + 3 * 3.0 + 7.0) / 5
    assert by_key["overall_rating"]["score"] == pytest.approx(weighted, abs=0.05)


def test_each_judged_score_quotes_the_transcript_with_times(work: RateWork, answer: dict[str, Any]) -> None:
    rows = {row["key"]: row for row in scores(work, answer, judged_share=0.6)}
    assert [quote["quote"] for quote in rows["clarity"]["evidence"]] == ["I am Ada.", "I draw horses."]
    assert rows["clarity"]["evidence"][1]["start"] == pytest.approx(1.2)


def test_a_real_models_feedback_is_passed_on_as_it_is(work: RateWork, answer: dict[str, Any]) -> None:
    words, suggestions = advise(work, answer, demo_quality=False)
    assert words == "You draw horses. You are good at physics."
    assert suggestions == ["Tell us a joke.", "Say more next time."]


def test_a_demo_models_inventions_are_replaced_by_what_was_measured(work: RateWork, answer: dict[str, Any]) -> None:
    words, suggestions = advise(work, answer, demo_quality=True)
    assert words.startswith("You draw horses. You told us your name and your hobbies.")
    assert "physics" not in words
    assert "Say how old you are." in suggestions


def test_a_criterion_may_have_the_name_of_another_part_of_the_answer(work: RateWork, answer: dict[str, Any]) -> None:
    named = replace(CRITERIA[2], key="feedback")
    work = replace(work, criteria=(named,))
    answer["criteria"] = {"feedback": {"level": "weak", "sentences": [1]}}
    jsonschema.validate(answer, work.schema())
    assert [row["score"] for row in scores(work, answer, judged_share=0.6)] == [3.0]
    assert advise(work, answer, demo_quality=False)[0].startswith("You draw horses.")


def test_a_rubric_that_is_only_measured_asks_the_model_for_advice_alone(work: RateWork, answer: dict[str, Any]) -> None:
    work = replace(work, criteria=(CRITERIA[0], CRITERIA[3]))
    del answer["criteria"]
    jsonschema.validate(answer, work.schema())
    assert "Rubric" not in work.prompt().user
    assert "criteria" not in work.prompt().user
    assert [row["score"] for row in scores(work, answer, judged_share=0.6)] == [7.0, 7.0]


def test_the_worked_examples_of_the_prompt_have_the_form_that_is_asked_for(work: RateWork) -> None:
    examples = [
        json.loads(line.removeprefix("Rating: "))
        for line in work.prompt().user.splitlines()
        if line.startswith("Rating: ")
    ]
    shape = prompts.rating_schema(list(work.rubric), [Sentence(number, "", 0, 0) for number in range(1, 5)])
    assert examples
    for example in examples:
        jsonschema.validate(example, shape)


@pytest.mark.parametrize("criterion", [None, {"basis": Criterion.Basis.COMPUTED}, {"basis": Criterion.Basis.MEASURED}])
def test_a_rubric_that_can_not_be_scored_is_named_as_the_reason(cast: Cast, criterion: dict[str, str] | None) -> None:
    rubric = Rubric.objects.create(name="Of the class")
    if criterion:
        Criterion.objects.create(rubric=rubric, key="k", title="t", description="d", **criterion)
    Classroom.objects.filter(pk=cast.classroom.pk).update(rubric=rubric)
    submission = hand_in(cast.ada, cast.classroom)
    write_results(submission)
    with pytest.raises(Permanent) as caught:
        Rate().prepare(submission.evaluation_task)
    assert caught.value.code == "bad_rubric"
    assert explain("bad_rubric") != explain("unexpected")
