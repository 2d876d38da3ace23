"""A form filled in anew, and a rating made again, for an order."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest

from evaluations.actions import reratings
from evaluations.models import Evaluation, Form, Rerating, Rubric, Submission, Transcript
from evaluations.stages.again import ExtractAgain, RateAgain, RateAgainResult
from evaluations.stages.pipeline import PIPELINE, REEXTRACTION_PIPELINE, RERATING_PIPELINE
from queueing.exceptions import Permanent
from queueing.models import Task
from tests.conftest import Cast
from tests.evaluations.material import hand_in, write_long_results
from tests.evaluations.stages.test_rate import Scripted, engines


@pytest.fixture
def rated(cast: Cast) -> Submission:
    submission = hand_in(cast.ada, cast.classroom)
    write_long_results(submission, scores={"Clarity": 6.0})
    return submission


def give(submission: Submission, rubric: Rubric | None = None, *, extract: bool = False) -> Rerating:
    classroom = submission.classroom
    report = reratings.order(
        classroom=classroom, rubric=rubric or classroom.rubric, submissions=[submission.pk], by=None, extract=extract
    )
    assert report.order
    return report.order


def task_of(order: Rerating) -> Task:
    return next(iter(reratings.tasks_of(order).values()))


def work(task: Task) -> RateAgainResult:
    handler = RateAgain()
    return handler.compute(handler.prepare(task), engines(Scripted()), lambda done, total: None, Event())


def test_it_is_rated_by_the_orders_rubric_and_the_rating_before_still_counts(rated: Submission) -> None:
    before = rated.evaluation
    other = rated.classroom.rubric.new_version()
    order = give(rated, other)
    RateAgain().save(task_of(order), work(task_of(order)))
    rated.refresh_from_db()
    new = order.ratings.get()
    assert rated.evaluation == before
    assert (new.rubric, new.released_at, new.method) == (other, None, Evaluation.Method.ITEMS)
    assert new.seal != ""


def test_what_runs_twice_has_one_effect(rated: Submission) -> None:
    order = give(rated)
    task = task_of(order)
    results = [work(task), work(task)]
    for result in results:
        RateAgain().save(task, result)
    assert order.ratings.count() == 1
    with pytest.raises(Permanent) as caught:
        RateAgain().prepare(task)
    assert caught.value.code == "order_withdrawn"


def test_the_newest_order_comes_first_and_an_earlier_one_that_failed_can_still_be_tried(rated: Submission) -> None:
    first = give(rated)
    task_of(first).cancel(by="test")
    second = give(rated, rated.classroom.rubric.new_version())
    assert work(task_of(second)).rerating_id == second.pk
    RateAgain().save(task_of(second), work(task_of(second)))
    assert work(task_of(first)).rerating_id == first.pk


def test_a_withdrawn_order_ends_the_work_and_leaves_no_rating(rated: Submission) -> None:
    order = give(rated)
    task = task_of(order)
    late = work(task)
    assert reratings.withdraw(rerating=order, by=None) == 1
    for handler in (RateAgain(), ExtractAgain()):
        with pytest.raises(Permanent) as caught:
            handler.prepare(task)
        assert caught.value.code == "order_withdrawn"
    RateAgain().save(task, late)
    assert rated.ratings.count() == 1


@pytest.mark.parametrize("model", [Transcript, Form])
def test_without_a_transcript_or_a_form_there_is_nothing_to_rate(
    rated: Submission, model: type[Transcript | Form]
) -> None:
    task = task_of(give(rated))
    model.objects.filter(submission=rated).delete()
    with pytest.raises(Permanent) as caught:
        RateAgain().prepare(task)
    assert caught.value.code == "nothing_to_rate"


def test_a_deleted_submission_ends_the_work(rated: Submission) -> None:
    task = task_of(give(rated))
    Task.objects.filter(submission=rated).delete()
    rated.delete()
    with pytest.raises(Permanent) as caught:
        RateAgain().prepare(task)
    assert caught.value.code == "deleted"


def test_a_form_that_is_filled_in_anew_replaces_the_one_before_and_the_rating_follows(rated: Submission) -> None:
    order = give(rated, extract=True)
    task = task_of(order)
    assert task.pipeline == "reextraction"
    handler, scripted = ExtractAgain(), engines(Scripted())
    scripted.language["extract"].load()
    made = handler.prepare(task)
    form: dict[str, Any] = {
        "name": "Ada",
        "age": None,
        "hobbies": [],
        "career_goals": None,
        "strengths": [],
        "experience": None,
    }
    extracting = scripted.language["extract"]
    assert isinstance(extracting, Scripted)
    extracting.form = form
    handler.save(task, handler.compute(made, scripted, lambda done, total: None, Event()))
    assert Form.objects.get(submission=rated).hobbies == []
    assert task_of(order).pipeline == "rerating"
    handler.save(task, handler.compute(made, scripted, lambda done, total: None, Event()))  # twice
    assert Task.objects.filter(pipeline="rerating").count() == 1
    assert rated.ratings.count() == 1


def test_it_comes_after_everything_that_a_student_waits_for() -> None:
    again = [*RERATING_PIPELINE.stages, *REEXTRACTION_PIPELINE.stages]
    assert {stage.priority for stage in again} == {-1}
    assert all(stage.priority > -1 for stage in PIPELINE.stages)
