"""Decisions on a rating: what counts, who has decided what, and two people at one submission."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from evaluations.actions import decisions
from evaluations.actions.decisions import ConflictError, InvalidDecisionError, Kind, Standing
from evaluations.models import Evaluation, ReviewDecision
from tests.conftest import Cast
from tests.evaluations.material import hand_in, newest_decision, write_results


@pytest.fixture
def rating(cast: Cast) -> Evaluation:
    return write_results(hand_in(cast.ada, cast.classroom))


def decide(rating: Evaluation, by: User, kind: Kind, value: Any, **given: Any) -> ReviewDecision | None:
    seen = given.pop("seen", None)
    return decisions.decide(
        submission_id=rating.submission_id,
        evaluation_id=rating.pk,
        by=by,
        seen=newest_decision(rating) if seen is None else seen,
        kind=kind,
        value=value,
        **given,
    )


def undo(rating: Evaluation, by: User) -> ReviewDecision | None:
    seen = newest_decision(rating)
    return decisions.undo(submission_id=rating.submission_id, evaluation_id=rating.pk, by=by, seen=seen)


def test_a_decision_counts_and_says_who_made_it_and_what_counted_before(cast: Cast, rating: Evaluation) -> None:
    made = decide(rating, cast.teacher, Kind.ITEM, value=True, key="proof", reason="at 1:02")
    assert made
    assert (made.by, made.value, made.before, made.reason) == (cast.teacher, True, None, "at 1:02")
    stand = decisions.standing(rating)
    assert stand == Standing(items={"proof": True})
    assert stand.of(rating).overall == 10.0
    rating.refresh_from_db()
    assert rating.overall == 7.5  # the rating itself is never changed


def test_what_counts_already_is_no_decision(cast: Cast, rating: Evaluation) -> None:
    assert decide(rating, cast.teacher, Kind.REVIEWED, value=True)
    assert decide(rating, cast.teacher, Kind.REVIEWED, value=True) is None


def test_undoing_goes_back_one_own_decision_after_the_other(cast: Cast, rating: Evaluation) -> None:
    decide(rating, cast.teacher, Kind.ITEM, value=True, key="proof")
    decide(rating, cast.teacher, Kind.ITEM, value=False, key="proof")
    decide(rating, cast.teacher, Kind.COMMENT, "Well done.")
    seen = []
    while undo(rating, cast.teacher):
        stand = decisions.standing(rating)
        seen.append((stand.items.get("proof"), stand.comment))
    assert seen == [(False, ""), (True, ""), (None, "")]
    assert ReviewDecision.objects.count() == 6  # nothing is forgotten


def test_nobody_undoes_what_another_decided(cast: Cast, rating: Evaluation) -> None:
    decide(rating, cast.teacher, Kind.ITEM, value=True, key="proof")
    assert undo(rating, cast.other_teacher) is None
    assert decisions.standing(rating).items == {"proof": True}


def test_a_second_person_is_told_and_nothing_is_changed(cast: Cast, rating: Evaluation) -> None:
    first = decide(rating, cast.teacher, Kind.ITEM, value=True, key="proof")
    with pytest.raises(ConflictError) as caught:
        decide(rating, cast.other_teacher, Kind.ITEM, value=False, key="proof", seen=0)
    assert caught.value.decisions == [first]
    assert decisions.standing(rating).items == {"proof": True}


def test_own_decisions_made_in_another_tab_are_no_conflict(cast: Cast, rating: Evaluation) -> None:
    decide(rating, cast.teacher, Kind.ITEM, value=True, key="proof", seen=0)
    assert decide(rating, cast.teacher, Kind.COMMENT, "Good.", seen=0)


def test_a_decision_on_a_rating_that_counts_no_more_is_refused(cast: Cast, rating: Evaluation) -> None:
    newer = Evaluation.objects.create(submission=rating.submission, feedback="")
    rating.submission.evaluation = newer
    rating.submission.save()
    with pytest.raises(ConflictError):
        decide(rating, cast.teacher, Kind.REVIEWED, value=True)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Kind.ITEM, {"key": "none of these", "value": True}),
        (Kind.ITEM, {"key": "proof", "value": "yes"}),
        (Kind.OVERALL, {"value": 11, "reason": "more"}),
        (Kind.OVERALL, {"value": True, "reason": "more"}),
        (Kind.OVERALL, {"value": 5.0, "reason": "  "}),
        (Kind.COMMENT, {"value": None}),
        (Kind.REVIEWED, {"value": 1}),
        (Kind.RELEASED, {"value": True}),
    ],
)
def test_what_makes_no_sense_is_refused(cast: Cast, rating: Evaluation, kind: Kind, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidDecisionError):
        decide(rating, cast.teacher, kind, **given)
    assert not ReviewDecision.objects.exists()


def test_an_overall_score_needs_a_reason_and_is_given_back_without_one(cast: Cast, rating: Evaluation) -> None:
    decide(rating, cast.teacher, Kind.OVERALL, 4.0, reason="read from a sheet")
    assert decisions.standing(rating).of(rating).overall == 4.0
    decide(rating, cast.teacher, Kind.OVERALL, None)
    assert decisions.standing(rating).of(rating).overall == 7.5
