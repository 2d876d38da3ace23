"""What a person does to many tasks at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evaluations.models import Submission
from queueing import actions
from queueing.exceptions import Permanent
from queueing.models import Task, Worker
from queueing.states import State
from tests.conftest import Cast

Make = Callable[[State], Task]


MOVES = {
    "retry": {State.FAILED: "queued", State.CANCELLED: "queued"},
    "cancel": {State.QUEUED: "cancelled", State.RUNNING: "cancelled"},
    "requeue": {State.QUEUED: "queued", State.RUNNING: "queued"},
    "put_first": {State.QUEUED: "queued"},
    "put_last": {State.QUEUED: "queued"},
}


@pytest.mark.parametrize("verb", MOVES)
def test_a_verb_moves_whom_it_can_and_says_why_the_others_were_skipped(verb: str, in_state: Make) -> None:
    tasks = {state: in_state(state) for state in State}
    report = actions.act(verb, tasks=tasks.values(), by="test")
    assert set(report.moved) == {tasks[state].pk for state in MOVES[verb]}
    skipped = {state: tasks[state].pk for state in State if state not in MOVES[verb]}
    assert report.skipped == {pk: f"already {state.label}" for state, pk in skipped.items()}
    for state, task in tasks.items():
        assert Task.objects.get(pk=task.pk).state == MOVES[verb].get(state, state)


def test_the_report_reads_like_a_sentence(in_state: Make) -> None:
    failed = [in_state(State.FAILED) for _ in range(3)]
    running = [in_state(State.RUNNING) for _ in range(2)]
    assert str(actions.retry(tasks=failed, by="test")) == "3 queued"
    assert str(actions.retry(tasks=running, by="test")) == "0 queued, 2 skipped: already running"
    report = actions.cancel(
        tasks=[*running, in_state(State.DONE), in_state(State.DONE), in_state(State.FAILED)], by="test"
    )
    assert str(report) == "2 cancelled, 3 skipped: 2 already done, 1 already failed"


def test_a_forecast_says_the_same_and_moves_nothing(in_state: Make) -> None:
    tasks = [in_state(state) for state in State]
    foreseen = actions.forecast("retry", tasks=tasks)
    assert [Task.objects.get(pk=task.pk).state for task in tasks] == list(State)
    assert actions.retry(tasks=tasks, by="test") == foreseen


def test_who_did_it_and_why_stay_in_the_event(in_state: Make) -> None:
    task = in_state(State.FAILED)
    actions.retry(tasks=[task], by="admin:7", reason="new microphone")
    event = task.events.latest("sequence")
    assert (event.kind, event.detail) == ("retry", {"by": "admin:7", "reason": "new microphone"})


def test_a_task_that_a_worker_claims_meanwhile_is_cancelled_all_the_same(in_state: Make, worker: Worker) -> None:
    seen = in_state(State.QUEUED)
    Task.objects.take([seen.pk], worker=worker, lease_seconds=60)
    assert actions.cancel(tasks=[seen], by="test").moved == (seen.pk,)
    assert Task.objects.get(pk=seen.pk).state == State.CANCELLED


def test_a_task_that_ended_meanwhile_is_skipped_with_its_new_word(in_state: Make, worker: Worker) -> None:
    seen = in_state(State.RUNNING)
    Task.objects.get(pk=seen.pk).fail(Permanent("silence", code="no_speech"), took=1.0)
    assert actions.cancel(tasks=[seen], by="test").skipped == {seen.pk: "already failed"}


def test_one_that_cannot_go_back_keeps_no_other_from_it(in_state: Make, cast: Cast) -> None:
    replaced, free = in_state(State.FAILED), in_state(State.FAILED)
    Task.objects.enqueue(submission_id=replaced.submission_id, pipeline="evaluation", owner_key=str(cast.ada.pk))
    report = actions.retry(tasks=[replaced, free], by="test")
    assert report.moved == (free.pk,)
    assert report.skipped == {replaced.pk: "another task does the same work"}


def test_one_that_is_gone_is_skipped(in_state: Make) -> None:
    seen = in_state(State.QUEUED)
    Submission.objects.filter(pk=seen.submission_id).delete()
    assert actions.cancel(tasks=[seen], by="test").skipped == {seen.pk: "gone"}
