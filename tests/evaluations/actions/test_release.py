"""Releasing and withdrawing: for one, the reviewed, or a class; each a decision, and the students' lists notice."""

from __future__ import annotations

from threading import Thread

import pytest
from django.db import connection
from pytest_django import DjangoCaptureOnCommitCallbacks

from evaluations.actions import decisions, release
from evaluations.actions.decisions import Kind
from evaluations.live.broker import broker
from evaluations.models import Evaluation, ReviewDecision, Submission
from evaluations.pages import rows
from tests.conftest import Cast
from tests.evaluations.material import finish, hand_in, write_results


@pytest.fixture
def held(cast: Cast) -> list[Evaluation]:
    """Of Ada and Bo, rated and not released."""
    return [write_results(hand_in(who, cast.classroom), released_at=None) for who in (cast.ada, cast.bo)]


def shown() -> list[bool]:
    return [one.released_at is not None for one in Evaluation.objects.order_by("pk")]


def test_one_is_released_and_withdrawn_and_each_is_a_decision(cast: Cast, held: list[Evaluation]) -> None:
    one = Submission.objects.filter(pk=held[0].submission_id)
    assert release.release(one, by=cast.teacher) == 1
    assert shown() == [True, False]
    assert release.release(one, by=cast.teacher) == 0  # it is already
    assert release.withdraw(one, by=cast.teacher) == 1
    assert release.withdraw(one, by=cast.teacher) == 0
    assert shown() == [False, False]
    made = ReviewDecision.objects.values_list("kind", "value", "before", "by")
    assert list(made) == [("released", True, False, cast.teacher.pk), ("released", False, True, cast.teacher.pk)]


def test_of_a_class_the_reviewed_or_all_are_released_and_what_is_not_rated_is_skipped(
    cast: Cast, held: list[Evaluation]
) -> None:
    hand_in(cast.ada, cast.classroom)
    foreign = write_results(hand_in(cast.outsider, cast.other_classroom), released_at=None)
    decisions.decide(
        submission_id=held[1].submission_id,
        evaluation_id=held[1].pk,
        by=cast.teacher,
        seen=0,
        kind=Kind.REVIEWED,
        value=True,
    )
    mine = Submission.objects.filter(classroom=cast.classroom)
    assert release.release(mine, by=cast.teacher, only_reviewed=True) == 1
    assert shown() == [False, True, False]
    assert release.release(mine, by=cast.teacher) == 1
    assert shown() == [True, True, False]
    assert not foreign.decisions.exists()


def test_rows_notice_what_people_decide_though_the_task_does_not_move(cast: Cast, held: list[Evaluation]) -> None:
    submission = held[0].submission
    finish(submission)
    (row,) = rows.of_student(cast.ada, rows.read_queue())
    known = {cast.ada.pk: {(row.task.pk, row.task.sequence, row.rating.decided)}}
    assert row.is_held
    assert rows.read_students(known, rows.read_queue())[cast.ada.pk].changed == ()
    release.release(Submission.objects.filter(pk=submission.pk), by=cast.teacher)
    (changed,) = rows.read_students(known, rows.read_queue())[cast.ada.pk].changed
    assert not changed.is_held
    assert changed.task.sequence == row.task.sequence
    assert changed.version != row.version


def test_a_decision_is_published_after_its_commit(
    cast: Cast,
    held: list[Evaluation],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(broker, "publish", sent.append)
    with django_capture_on_commit_callbacks() as callbacks:
        release.release(Submission.objects.filter(pk=held[0].submission_id), by=cast.teacher)
        assert not sent
    for callback in callbacks:
        callback()
    assert sent == [{"type": "refresh"}]


@pytest.mark.django_db(transaction=True)
def test_two_who_release_a_class_at_the_same_time_release_each_rating_once(cast: Cast, held: list[Evaluation]) -> None:
    counts: list[int] = []

    def work() -> None:
        try:
            counts.append(release.release(Submission.objects.filter(classroom=cast.classroom), by=cast.teacher))
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == ReviewDecision.objects.count() == 2
