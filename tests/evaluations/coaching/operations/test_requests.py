"""To ask for a summary and a mind map: one of each at a time, nothing left behind, and by itself after a rating."""

from __future__ import annotations

import uuid
from threading import Barrier, Thread

import pytest
from django.db import connection, transaction

from evaluations.coaching.operations import requests
from evaluations.coaching.operations.pipeline import PIPELINES
from evaluations.coaching.operations.requests import ProcessingStatus, operation_skipped
from evaluations.models import MIND_MAP, SUMMARY, Rerating, Submission
from evaluations.stages import pipeline as evaluation
from evaluations.stages.rate import Rate, RateResult
from queueing import pipelines
from queueing.exceptions import Infrastructure, Permanent
from queueing.models import Task, Worker
from tests.conftest import Cast
from tests.evaluations.material import hand_in, rated, write_long_results, write_results


@pytest.fixture
def told(cast: Cast) -> Submission:
    submission = hand_in(cast.ada, cast.classroom)
    write_long_results(submission, scores={"Clarity": 6.0})
    return submission


def claimed(submission: Submission, pipeline: str) -> Task:
    worker = Worker.objects.create(node="lab-pc", pid=1)
    waiting = Task.objects.live().get(submission=submission, pipeline=pipeline)
    (task,) = Task.objects.take([waiting.pk], worker=worker, lease_seconds=60)
    return task


def made(submission: Submission) -> list[str]:
    tasks = Task.objects.filter(submission=submission).exclude(pipeline="evaluation")
    return sorted(tasks.values_list("pipeline", flat=True))


def test_both_may_run_at_once_and_of_each_one(told: Submission) -> None:
    for pipeline in (SUMMARY, MIND_MAP):
        assert requests.request(submission=told, pipeline=pipeline)
        assert not requests.request(submission=told, pipeline=pipeline)
        claimed(told, pipeline)
        assert not requests.request(submission=told, pipeline=pipeline)
    assert made(told) == [MIND_MAP, SUMMARY]


def test_the_status_says_since_when_and_ends_however_the_work_does(told: Submission) -> None:
    nothing = {
        "success": True,
        "session_id": str(told.pk),
        "summary_processing": False,
        "mind_map_processing": False,
        "any_processing": False,
        "summary_start_time": None,
        "mind_map_start_time": None,
    }
    assert requests.status_of(told).as_dict() == nothing
    requests.request(submission=told, pipeline=SUMMARY)
    task = claimed(told, SUMMARY)
    at = task.staged_at.timestamp()
    assert requests.status_of(told).as_dict() == {
        **nothing,
        "summary_processing": True,
        "any_processing": True,
        "summary_start_time": at,
    }
    task.hand_back(Infrastructure("gone"), took=1.0)
    assert requests.status_of(told).summary == at  # waiting again is under way, too
    claimed(told, SUMMARY).fail(Permanent(code="too_short_to_rate"), took=1.0)
    assert requests.status_of(told).as_dict() == nothing
    assert requests.request(submission=told, pipeline=SUMMARY)
    claimed(told, SUMMARY).advance(took=1.0)
    assert requests.status_of(told).as_dict() == nothing


def test_statuses_of_students_are_their_own(told: Submission, cast: Cast) -> None:
    of_bo = hand_in(cast.bo, cast.classroom)
    requests.request(submission=of_bo, pipeline=SUMMARY)
    requests.request(submission=told, pipeline=MIND_MAP)
    claimed(told, MIND_MAP).advance(took=1.0)
    students = {cast.ada.pk, cast.bo.pk}
    assert list(requests.statuses_of_students(students)) == [cast.bo.pk]
    found = requests.statuses_of_students(students, whole={cast.ada.pk})
    assert found[cast.ada.pk] == {told.pk: ProcessingStatus(told.pk)}
    assert found[cast.bo.pk][of_bo.pk].is_any
    assert not requests.statuses_of_students({cast.outsider.pk}, whole={cast.outsider.pk})


def test_a_skip_is_told_after_the_commit(told: Submission, django_capture_on_commit_callbacks: object) -> None:
    skipped: list[uuid.UUID] = []

    def note(submission_id: uuid.UUID, **kwargs: object) -> None:
        skipped.append(submission_id)

    operation_skipped.connect(note)
    try:
        with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
            requests.request(submission=told, pipeline=SUMMARY)
            requests.request(submission=told, pipeline=SUMMARY)
            assert skipped == []
    finally:
        operation_skipped.disconnect(note)
    assert skipped == [told.pk]


@pytest.mark.django_db(transaction=True)
def test_of_requests_at_the_same_moment_one_is_taken(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    together, began = Barrier(6), []

    def ask() -> None:
        together.wait()
        try:
            began.append(requests.request(submission=submission, pipeline=SUMMARY))
        finally:
            connection.close()

    threads = [Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(began) == [False] * 5 + [True]


@pytest.mark.django_db(transaction=True)
def test_of_a_deleted_one_nothing_is_made(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    Task.objects.filter(submission=submission).delete()
    Submission.objects.filter(pk=submission.pk).delete()
    with pytest.raises(Submission.DoesNotExist):
        requests.request(submission=submission, pipeline=SUMMARY)


# By itself


def rate(submission: Submission) -> None:
    """As the rating's stage stores what it found."""
    result = RateResult("none", None, None, "simulated", "none", simulated=True)  # type: ignore[arg-type]
    Rate().save(submission.evaluation_task, result)


def test_a_class_has_both_made_with_the_rating_and_only_if_it_wants_them(cast: Cast) -> None:
    submission = hand_in(cast.ada, cast.classroom)
    rate(submission)
    assert made(submission) == []
    cast.classroom.sums_up = True
    cast.classroom.save()
    other = hand_in(cast.ada, cast.classroom)
    rate(other)
    assert made(other) == [MIND_MAP, SUMMARY]
    rate(other)  # as when it is stored again
    assert made(other) == [MIND_MAP, SUMMARY]


def test_a_rating_that_is_rolled_back_asks_for_nothing(cast: Cast) -> None:
    cast.classroom.sums_up = True
    cast.classroom.save()
    submission = hand_in(cast.ada, cast.classroom)
    with transaction.atomic():
        rate(submission)
        transaction.set_rollback(True)
    assert made(submission) == []


def test_what_is_there_already_and_a_rating_made_again_ask_for_nothing(cast: Cast) -> None:
    cast.classroom.sums_up = True
    cast.classroom.save()
    submission = hand_in(cast.ada, cast.classroom)
    write_results(submission)
    Task.objects.filter(submission=submission).exclude(pipeline="evaluation").delete()
    order = Rerating.objects.create(classroom=cast.classroom, rubric=cast.classroom.rubric)
    rated(submission, rerating=order)
    assert made(submission) == []


def test_nobodys_rating_comes_after_it() -> None:
    ours = [stage.priority for each in PIPELINES for stage in each.stages]
    ratings = [stage.priority for each in evaluation.PIPELINES for stage in each.stages]
    assert max(ours) < min(ratings)
    assert {each.name for each in PIPELINES} <= set(pipelines.names())
