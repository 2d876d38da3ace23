"""Blind marks: what is marked, by whom, how far the program agrees, and what is fitted to them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evaluations.actions import decisions, marking
from evaluations.actions.decisions import InvalidDecisionError
from evaluations.models import CalibrationFit, Evaluation, ReviewDecision
from evaluations.rating.calibration import Calibration
from evaluations.stages import prompts
from tests.conftest import Cast
from tests.evaluations.material import hand_in, item_row, rated

DIGEST = "sha256:abc"


def rating(cast: Cast, overall: float, *, plan: float = 1.0, proof: float = 0.0, told: float = 0.8) -> Evaluation:
    computed = {**item_row("name", "says their name", 1.0), "computed": True}
    items = [item_row("plan", "names a plan", plan), item_row("proof", "proves it", proof), computed]
    score = {"key": "content", "title": "Content", "weight": 1, "score": overall, "items": items}
    call = {"digest": DIGEST, "probabilities": {"answers.plan": told, "answers.proof": 1 - told, "answers.name": 1.0}}
    return rated(
        hand_in(cast.ada, cast.classroom),
        overall=overall,
        scores=[score],
        feedback="",
        model="qwen",
        engine="embedded",
        provenance={"prompts": prompts.VERSION, "calls": [call, {"digest": DIGEST, "probabilities": {"plan:1": 0.1}}]},
    )


def class_of(cast: Cast, overalls: Sequence[float]) -> list[Evaluation]:
    return [rating(cast, overall) for overall in overalls]


def mark(cast: Cast, evaluation: Evaluation, *, plan: bool, proof: bool) -> int:
    marks = {"plan": plan, "proof": proof}
    return marking.mark(
        submission_id=evaluation.submission_id, evaluation_id=evaluation.pk, items=marks, by=cast.teacher
    )


def test_what_is_to_be_marked_is_spread_over_the_scores(cast: Cast) -> None:
    class_of(cast, [9.0, 1.0, 5.0, 3.0, 7.0, 8.0])
    assert [one.overall for one, _ in marking.to_mark(cast.classroom, cast.teacher, 3)] == [1.0, 5.0, 9.0]
    assert len(marking.to_mark(cast.classroom, cast.teacher, 10)) == 6


def test_what_was_marked_stays_and_what_is_left_only_goes_down(cast: Cast) -> None:
    class_of(cast, [9.0, 1.0, 5.0, 3.0, 7.0, 8.0])
    left = []
    for _ in range(3):
        first = next(one for one, marked in marking.to_mark(cast.classroom, cast.teacher, 3) if not marked)
        mark(cast, first, plan=True, proof=False)
        found = marking.to_mark(cast.classroom, cast.teacher, 3)
        assert [marked for _, marked in found] == [bool(one.decisions.exists()) for one, _ in found]
        left.append(sum(not marked for _, marked in found))
        assert len(found) == 3
    assert left == [2, 1, 0]


def test_only_what_the_model_was_asked_is_marked_and_all_of_it(cast: Cast) -> None:
    (made,) = class_of(cast, [5.0])
    assert marking.asked_items(made) == ["plan", "proof"]
    for wrong in ({"plan": True}, {"plan": True, "proof": True, "name": True}, {"plan": True, "proof": "yes"}):
        with pytest.raises(InvalidDecisionError):
            marking.mark(submission_id=made.submission_id, evaluation_id=made.pk, items=wrong, by=cast.teacher)  # type: ignore[arg-type]
    assert not ReviewDecision.objects.exists()


def test_a_mark_counts_for_no_score_and_disturbs_nobody_who_reviews(cast: Cast) -> None:
    (made,) = class_of(cast, [5.0])
    mark(cast, made, plan=False, proof=True)
    assert decisions.standing(made).of(made).overall == 5.0
    assert decisions.decide(
        submission_id=made.submission_id,
        evaluation_id=made.pk,
        seen=0,
        by=cast.other_teacher,
        kind=decisions.Kind.REVIEWED,
        value=True,
    )


def test_marking_again_stores_what_is_other_than_before(cast: Cast) -> None:
    (made,) = class_of(cast, [5.0])
    assert mark(cast, made, plan=True, proof=True) == 2
    assert mark(cast, made, plan=True, proof=True) == 0
    assert mark(cast, made, plan=True, proof=False) == 1
    (found,) = marking.marked_ratings(cast.classroom)
    assert found.marks == {"plan": True, "proof": False}


def test_agreement_compares_answers_and_the_scores_that_the_marks_would_make(cast: Cast) -> None:
    (made,) = class_of(cast, [5.0])
    mark(cast, made, plan=True, proof=True)
    (found,) = marking.marked_ratings(cast.classroom)
    assert (found.credits, found.overall, found.overall_marked) == ({"plan": 1.0, "proof": 0.0}, 5.0, 10.0)
    assert marking.agreement_of(cast.classroom).right == 0.5


def test_two_people_who_mark_the_same_one_make_one_marked_rating(cast: Cast) -> None:
    (made,) = class_of(cast, [5.0])
    mark(cast, made, plan=True, proof=True)
    marks = {"plan": False, "proof": True}
    marking.mark(submission_id=made.submission_id, evaluation_id=made.pk, items=marks, by=cast.other_teacher)
    assert [one.marks for one in marking.marked_ratings(cast.classroom)] == [marks]
    assert marking.marked_count(cast.classroom) == 1


def test_a_fit_learns_what_the_marks_say_and_the_next_rating_uses_it(cast: Cast) -> None:
    for number, evaluation in enumerate(class_of(cast, [4.0, 5.0, 6.0, 7.0])):
        mark(cast, evaluation, plan=number == 0, proof=False)  # the model says 0.8 of plans, people see one in four
    (row,) = marking.fit(cast.classroom, cast.teacher)
    assert (row.model_sha256, row.rubric, row.submissions) == (DIGEST, cast.classroom.rubric, 4)
    assert not cast.classroom.rubric.fitted(prompts.VERSION + 1), "other prompts get other answers"
    fitted = cast.classroom.rubric.fitted(prompts.VERSION)
    assert fitted == {DIGEST: Calibration(row.slope, row.intercepts)}
    assert fitted[DIGEST].probability("plan", 0.8) < 0.5


def test_the_newest_fit_counts(cast: Cast) -> None:
    for slope in (1.0, 2.0):
        CalibrationFit.objects.create(
            rubric=cast.classroom.rubric, model_sha256=DIGEST, prompts=4, slope=slope, intercepts={}, submissions=10
        )
    assert cast.classroom.rubric.fitted(4) == {DIGEST: Calibration(2.0, {})}


def test_marks_that_all_say_the_same_fit_nothing(cast: Cast) -> None:
    (made,) = class_of(cast, [5.0])
    with pytest.raises(marking.NothingToFitError):
        marking.fit(cast.classroom, cast.teacher)
    mark(cast, made, plan=True, proof=True)
    with pytest.raises(marking.NothingToFitError):
        marking.fit(cast.classroom, cast.teacher)
    assert not CalibrationFit.objects.exists()
