"""Ratings made again: who is rated, which rating counts afterwards, and what people decided before."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.contrib.auth.models import User

from evaluations import actions
from evaluations.actions import decisions, release, reratings
from evaluations.actions.decisions import Kind
from evaluations.actions.reratings import (
    COUNTS,
    COUNTS_NOT,
    DECIDED,
    GONE,
    NO_FORM,
    NO_TRANSCRIPT,
    NONE_BEFORE,
    NOT_RATED,
    UNDER_WAY,
)
from evaluations.models import Classroom, Evaluation, Form, Rerating, ReviewDecision, Rubric, Submission
from evaluations.rating.rubric import BadRubricError
from queueing.models import Task
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.material import finish, hand_in, item_row, newest_decision, write_results


def submission_of(student: User, classroom: Classroom, **evaluation: Any) -> Submission:
    """Rated, and no work left to do."""
    submission = hand_in(student, classroom)
    finish(submission)
    write_results(submission, **evaluation)
    return submission


def order(classroom: Classroom, *submissions: Submission, **more: Any) -> reratings.OrderReport:
    given = {"rubric": classroom.rubric, "by": None, **more}
    return reratings.order(classroom=classroom, submissions=[each.pk for each in submissions], **given)


def ordered(classroom: Classroom, *submissions: Submission, **more: Any) -> Rerating:
    found = order(classroom, *submissions, **more).order
    assert found
    return found


def rate(rerating: Rerating, submission: Submission, overall: float = 5.0, **more: Any) -> Evaluation:
    """As the worker does: a rating of the order, and the task is done."""
    for task in Task.objects.live().filter(owner_key=rerating.owner_key, submission=submission):
        task.cancel(by="test")
    items = [item_row("plan", "names a plan", 0.0), item_row("proof", "proves it", 1.0)]
    scores = [{"key": "confidence", "title": "Confidence", "weight": 1, "score": overall, "items": items}]
    found = {"overall": overall, "scores": scores, "feedback": "", "engine": "simulated", "model": "none", **more}
    return Evaluation.objects.create(submission=submission, rerating=rerating, rubric=rerating.rubric, **found)


def counting(submission: Submission) -> Evaluation | None:
    return Submission.objects.select_related("evaluation").get(pk=submission.pk).evaluation


def test_what_is_ordered_is_a_task_of_low_priority_for_each(cast: Cast) -> None:
    both = [submission_of(cast.ada, cast.classroom), submission_of(cast.bo, cast.classroom)]
    found = order(cast.classroom, *both, by=cast.teacher, reason="a new model")
    assert found.order
    assert (found.order.by, found.order.reason, found.skipped) == (cast.teacher, "a new model", {})
    assert set(found.order.submissions.all()) == set(both)
    tasks = Task.objects.live()
    assert {(task.submission_id, task.pipeline, task.state) for task in tasks} == {
        (each.pk, "rerating", "queued") for each in both
    }


def test_an_order_takes_no_turn_of_a_student(cast: Cast) -> None:
    many = [submission_of(cast.ada, cast.classroom) for _ in range(3)]
    ordered(cast.classroom, *many)
    assert Task.objects.next_turn(str(cast.ada.pk)) == Task.objects.next_turn(str(cast.bo.pk))


def test_what_can_not_be_rated_is_skipped_and_says_why(cast: Cast) -> None:
    good, waiting, formless = (submission_of(cast.ada, cast.classroom) for _ in range(3))
    Form.objects.filter(submission=formless).delete()
    unheard = hand_in(cast.bo, cast.classroom)
    theirs = submission_of(cast.outsider, cast.other_classroom)
    ordered(cast.classroom, waiting)
    found = order(cast.classroom, good, waiting, formless, unheard, theirs)
    assert found.order
    assert list(found.order.submissions.all()) == [good]
    assert found.skipped == {
        waiting.pk: UNDER_WAY,
        formless.pk: NO_FORM,
        unheard.pk: NO_TRANSCRIPT,
        theirs.pk: GONE,
    }
    assert reratings.in_words({waiting.pk: UNDER_WAY, good.pk: UNDER_WAY, theirs.pk: GONE}) == (
        "3 left out: it is being rated again already (2), it is not in the class any more (1)."
    )


def test_without_a_form_the_form_can_be_filled_in_anew(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    Form.objects.filter(submission=submission).delete()
    ordered(cast.classroom, submission, extract=True)
    assert Task.objects.live().get().pipeline == "reextraction"
    assert order(cast.classroom, submission).skipped == {submission.pk: NO_FORM}
    assert order(cast.classroom, submission, extract=True).skipped == {submission.pk: UNDER_WAY}


def test_nothing_that_can_be_rated_is_no_order(cast: Cast) -> None:
    assert order(cast.classroom, hand_in(cast.ada, cast.classroom)).order is None
    assert not Rerating.objects.exists()


def test_a_rubric_that_can_not_be_scored_orders_nothing(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    with pytest.raises(BadRubricError):
        order(cast.classroom, submission, rubric=Rubric.objects.create(name="Empty"))
    assert not Rerating.objects.exists()


def test_a_rubric_that_is_ordered_can_not_be_changed_any_more(cast: Cast) -> None:
    rubric = cast.classroom.rubric.new_version()
    assert not rubric.is_used
    order = ordered(cast.classroom, submission_of(cast.ada, cast.classroom), rubric=rubric)
    assert rubric.is_used
    reratings.withdraw(rerating=order, by=None)
    assert not rubric.is_used


def test_an_adopted_rating_counts_and_the_one_before_is_remembered(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    before = counting(submission)
    rerating = ordered(cast.classroom, submission, reason="a better rubric")
    new = rate(rerating, submission)
    report = reratings.adopt(rerating=rerating, by=cast.teacher)
    assert report.adopted == (submission.pk,)
    assert counting(submission) == new
    assert before
    decision = ReviewDecision.objects.get()
    assert (decision.kind, decision.evaluation, decision.value) == (Kind.ADOPTED, new, before.pk)
    assert (decision.by, decision.reason) == (cast.teacher, "a better rubric")
    rerating.refresh_from_db()
    assert rerating.adopted_at is not None


def test_adopting_twice_has_no_effect(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    rerating = ordered(cast.classroom, submission)
    rate(rerating, submission)
    reratings.adopt(rerating=rerating, by=cast.teacher)
    first = Rerating.objects.get().adopted_at
    again = reratings.adopt(rerating=rerating, by=cast.teacher, force=True)
    assert (again.adopted, again.skipped) == ((), {submission.pk: COUNTS})
    assert ReviewDecision.objects.count() == 1
    assert Rerating.objects.get().adopted_at == first


@pytest.mark.parametrize(
    ("policy", "was_released", "is_released"),
    [("at_once", True, True), ("at_once", False, False), ("after_review", True, False), ("after_review", False, False)],
)
def test_a_successor_is_released_only_where_the_class_releases_at_once(
    cast: Cast, policy: str, *, was_released: bool, is_released: bool
) -> None:
    Classroom.objects.filter(pk=cast.classroom.pk).update(release=policy)
    cast.classroom.refresh_from_db()
    submission = submission_of(cast.ada, cast.classroom, **({} if was_released else {"released_at": None}))
    rerating = ordered(cast.classroom, submission)
    rate(rerating, submission)
    reratings.adopt(rerating=rerating, by=cast.teacher)
    now = counting(submission)
    assert now
    assert (now.released_at is not None) == is_released


def test_what_waits_for_a_person_is_not_released_by_adopting(cast: Cast) -> None:
    cast.classroom.release = Classroom.Release.AT_ONCE
    cast.classroom.save()
    submission = submission_of(cast.ada, cast.classroom)
    rerating = ordered(cast.classroom, submission)
    rate(rerating, submission, flags=["off_topic"])
    reratings.adopt(rerating=rerating, by=cast.teacher)
    now = counting(submission)
    assert now
    assert now.released_at is None


def test_what_a_person_has_decided_is_withheld_until_it_is_forced(cast: Cast) -> None:
    reviewed, other = submission_of(cast.ada, cast.classroom), submission_of(cast.bo, cast.classroom)
    before = counting(reviewed)
    assert before
    decide(reviewed, cast.teacher, Kind.ITEM, value=True, key="proof")
    rerating = ordered(cast.classroom, reviewed, other)
    rate(rerating, reviewed)
    rate(rerating, other)
    report = reratings.adopt(rerating=rerating, by=cast.teacher)
    assert (report.adopted, report.skipped, report.decided) == ((other.pk,), {reviewed.pk: DECIDED}, (reviewed.pk,))
    assert counting(reviewed) == before
    assert reratings.adopt(rerating=rerating, by=cast.teacher, submissions=report.decided, force=True).adopted
    assert counting(reviewed) == rerating.ratings.get(submission=reviewed)
    assert decisions.standing(before).items == {"proof": True}  # it stays where it was made


def test_a_decision_that_was_undone_withholds_nothing(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    decide(submission, cast.teacher, Kind.REVIEWED, value=True)
    rating = counting(submission)
    assert rating
    seen = newest_decision(rating)
    decisions.undo(submission_id=submission.pk, evaluation_id=rating.pk, by=cast.teacher, seen=seen)
    rerating = ordered(cast.classroom, submission)
    rate(rerating, submission)
    assert reratings.adopt(rerating=rerating, by=cast.teacher).adopted == (submission.pk,)


def decide(submission: Submission, by: User, kind: Kind, **given: Any) -> None:
    rating = counting(submission)
    assert rating
    seen = newest_decision(rating)
    decisions.decide(submission_id=submission.pk, evaluation_id=rating.pk, by=by, seen=seen, kind=kind, **given)


def test_whoever_decides_on_the_old_rating_afterwards_is_told(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    old = counting(submission)
    assert old
    rerating = ordered(cast.classroom, submission)
    rate(rerating, submission)
    reratings.adopt(rerating=rerating, by=cast.teacher)
    with pytest.raises(decisions.ConflictError):
        decisions.decide(
            submission_id=submission.pk,
            evaluation_id=old.pk,
            by=cast.other_teacher,
            seen=0,
            kind=Kind.REVIEWED,
            value=True,
        )


def test_some_can_be_adopted_and_what_is_not_rated_or_gone_is_reported(cast: Cast) -> None:
    one, two, three = (submission_of(cast.ada, cast.classroom) for _ in range(3))
    rerating = ordered(cast.classroom, one, two, three)
    rate(rerating, one)
    rate(rerating, two)
    nobodys = uuid.uuid4()
    report = reratings.adopt(rerating=rerating, by=cast.teacher, submissions=[one.pk, three.pk, nobodys])
    assert report.adopted == (one.pk,)
    assert report.skipped == {three.pk: NOT_RATED, nobodys: GONE}
    assert counting(two) != rerating.ratings.get(submission=two)


def adopted(classroom: Classroom, submission: Submission, by: User, **more: Any) -> tuple[Rerating, Evaluation]:
    """An order whose rating counts."""
    rerating = ordered(classroom, submission)
    new = rate(rerating, submission, **more)
    assert reratings.adopt(rerating=rerating, by=by).adopted
    return rerating, new


def test_the_earlier_ratings_count_again_and_can_be_left_again(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    before = counting(submission)
    rerating, new = adopted(cast.classroom, submission, cast.teacher)
    report = reratings.restore(rerating=rerating, by=cast.teacher)
    assert (report.adopted, report.skipped) == ((submission.pk,), {})
    assert counting(submission) == before
    made, undone = ReviewDecision.objects.all()
    assert (undone.kind, undone.evaluation, undone.value) == (Kind.ADOPTED, before, new.pk)
    assert (undone.undoes, undone.by) == (made, cast.teacher)
    assert reratings.restore(rerating=rerating, by=cast.teacher).skipped == {submission.pk: COUNTS_NOT}
    reratings.adopt(rerating=rerating, by=cast.teacher)
    assert counting(submission) == new
    reratings.restore(rerating=rerating, by=cast.teacher)
    assert counting(submission) == before


def test_of_two_adoptions_the_last_one_is_undone_first(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    before = counting(submission)
    first, one = adopted(cast.classroom, submission, cast.teacher)
    second, two = adopted(cast.classroom, submission, cast.teacher)
    assert reratings.restore(rerating=first, by=cast.teacher).skipped == {submission.pk: COUNTS_NOT}
    assert counting(submission) == two
    reratings.restore(rerating=second, by=cast.teacher)
    assert counting(submission) == one
    reratings.restore(rerating=first, by=cast.teacher)
    assert counting(submission) == before


def test_where_nothing_counted_before_there_is_nothing_to_go_back_to(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    Submission.objects.filter(pk=submission.pk).update(evaluation=None)
    rerating, new = adopted(cast.classroom, submission, cast.teacher)
    assert reratings.restore(rerating=rerating, by=cast.teacher).skipped == {submission.pk: NONE_BEFORE}
    assert counting(submission) == new


def test_what_a_person_decided_on_the_adopted_rating_is_not_left_without_being_told(cast: Cast) -> None:
    submission = submission_of(cast.ada, cast.classroom)
    before = counting(submission)
    rerating, new = adopted(cast.classroom, submission, cast.teacher)
    decide(submission, cast.teacher, Kind.ITEM, value=True, key="plan")
    assert reratings.restore(rerating=rerating, by=cast.teacher).decided == (submission.pk,)
    assert counting(submission) == new
    assert reratings.restore(rerating=rerating, by=cast.teacher, force=True).adopted == (submission.pk,)
    assert counting(submission) == before


@pytest.mark.parametrize(
    ("was_released", "is_hidden", "is_released"), [(True, False, True), (False, False, False), (True, True, False)]
)
def test_an_earlier_rating_is_seen_by_its_student_as_before_but_not_where_the_new_one_was_hidden(
    cast: Cast, *, was_released: bool, is_hidden: bool, is_released: bool
) -> None:
    Classroom.objects.filter(pk=cast.classroom.pk).update(release="after_review")
    submission = submission_of(cast.ada, cast.classroom, **({} if was_released else {"released_at": None}))
    rerating, _ = adopted(cast.classroom, submission, cast.teacher)
    these = Submission.objects.filter(pk=submission.pk)
    release.release(these, by=cast.teacher)
    if is_hidden:
        release.withdraw(these, by=cast.teacher)
    reratings.restore(rerating=rerating, by=cast.teacher)
    now = counting(submission)
    assert now
    assert (now.released_at is not None) == is_released


def test_withdrawing_keeps_what_is_rated_and_stops_the_rest(cast: Cast) -> None:
    one, two = (submission_of(cast.ada, cast.classroom) for _ in range(2))
    rerating = ordered(cast.classroom, one, two)
    rate(rerating, one)
    assert reratings.withdraw(rerating=rerating, by=cast.teacher) == 1
    assert list(rerating.submissions.all()) == [one]
    assert not Task.objects.live().exists()
    assert reratings.withdraw(rerating=rerating, by=cast.teacher) == 0
    assert ordered(cast.classroom, two)  # it can be ordered again


def test_an_order_of_nothing_is_gone(cast: Cast) -> None:
    rerating = ordered(cast.classroom, submission_of(cast.ada, cast.classroom))
    reratings.withdraw(rerating=rerating, by=cast.teacher)
    assert not Rerating.objects.exists()
    assert Task.objects.get(pipeline="rerating").state == State.CANCELLED


def test_a_deleted_submission_leaves_its_order(cast: Cast) -> None:
    one, two = (submission_of(cast.ada, cast.classroom) for _ in range(2))
    rerating = ordered(cast.classroom, one, two)
    rate(rerating, one)
    actions.delete(submission=one, by=cast.ada)
    assert list(rerating.submissions.all()) == [two]
    assert not rerating.ratings.exists()


def test_a_class_rated_under_two_seals_is_made_alike_by_the_newest(cast: Cast) -> None:
    other = cast.classroom.rubric.new_version()
    old, unsealed = submission_of(cast.ada, cast.classroom, seal="a" * 16), submission_of(cast.bo, cast.classroom)
    new = submission_of(cast.bo, cast.classroom, seal="b" * 16, rubric=other)
    submission_of(cast.outsider, cast.other_classroom, seal="c" * 16)
    assert [(each.seal, each.ratings) for each in reratings.seals_of(cast.classroom)] == [
        ("b" * 16, 1),
        ("", 1),
        ("a" * 16, 1),
    ]
    found = reratings.order_alike(classroom=cast.classroom, by=cast.teacher).order
    assert found
    assert found.rubric == other
    assert set(found.submissions.all()) == {old, unsealed}
    for each in (old, unsealed):
        rate(found, each, seal="b" * 16)
    reratings.adopt(rerating=found, by=cast.teacher)
    assert [each.seal for each in reratings.seals_of(cast.classroom)] == ["b" * 16]
    assert reratings.order_alike(classroom=cast.classroom, by=cast.teacher).order is None
    assert new not in reratings.unlike_the_newest(cast.classroom)


def test_a_rubric_is_tried_on_five_spread_over_the_scores(cast: Cast) -> None:
    for overall in range(1, 10):
        submission_of(cast.ada, cast.classroom, overall=float(overall))
    hand_in(cast.bo, cast.classroom)
    tried = reratings.to_try_on(cast.classroom, 5)
    scores = Evaluation.objects.filter(current_of__in=tried).order_by("overall").values_list("overall", flat=True)
    assert list(scores) == [1.0, 3.0, 5.0, 7.0, 9.0]
    ordered(cast.classroom, *Submission.objects.filter(pk__in=tried))
    assert not set(reratings.to_try_on(cast.classroom, 9)) & set(tried)  # they are under way
