"""What a task's verbs promise."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models.functions import Now

from evaluations.models import Submission
from queueing.exceptions import ClaimLost, Crashed, Infrastructure, Permanent, Transient
from queueing.models import Attempt, Batch, Event, Task, Worker, in_seconds
from queueing.states import ENDED, LIVE, TRANSITIONS, PhaseName, Stage, State, Status
from tests.conftest import Cast

Enqueue = Callable[..., Task]


def claim(worker: Worker, lease_seconds: float = 30) -> Task:
    (task,) = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=lease_seconds)
    return task


def let_lease_expire(task: Task) -> None:
    Task.objects.filter(pk=task.pk).update(lease_until=in_seconds(-1))


def in_state(state: State, task: Task, worker: Worker) -> Task:
    """The task, brought into `state` by its verbs."""
    if state == State.CANCELLED:
        task.cancel(by="test")
    elif state != State.QUEUED:
        task = claim(worker)
        if state == State.FAILED:
            task.fail(Permanent(), took=0)
        if state == State.DONE:
            for _ in range(3):
                task.advance(took=0)
                task.refresh_from_db()
                task = claim(worker) if task.state == State.QUEUED else task
    task.refresh_from_db()
    assert task.state == state
    return task


VERBS: dict[str, Callable[[Task], object]] = {
    "advance": lambda task: task.advance(took=0),
    "retry_later": lambda task: task.retry_later(Transient(), 0, took=0),
    "hand_back": lambda task: task.hand_back(Infrastructure(), took=0),
    "fail": lambda task: task.fail(Permanent(), took=0),
    "cancel": lambda task: task.cancel(by="test"),
    "retry": lambda task: task.retry(by="test"),
    "requeue": lambda task: task.requeue(by="test"),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_moves_a_task_only_from_the_states_it_starts_from(
    enqueue: Enqueue, worker: Worker, verb: str, state: State
) -> None:
    task = in_state(state, enqueue(), worker)
    sources, target = TRANSITIONS[verb]
    if state in sources:
        VERBS[verb](task)
    else:
        with contextlib.suppress(ClaimLost):
            assert VERBS[verb](task) is False
    task.refresh_from_db()
    assert task.state == (target if state in sources else state)
    assert (task.finished_at is not None) == (task.state in ENDED)
    assert (task.lease_until is not None) == (task.state == State.RUNNING)


@pytest.mark.django_db
def test_a_claim_gives_the_task_a_new_epoch_a_lease_and_an_attempt(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    first = claim(worker)
    first.hand_back(Infrastructure(), took=0)
    second = claim(worker)
    assert (first.epoch, second.epoch) == (1, 2)
    assert second.lease_until is not None
    assert list(Attempt.objects.values_list("epoch", "outcome")) == [(1, "infrastructure"), (2, "")]


def test_a_stale_worker_cannot_finish_a_task_that_its_successor_is_running(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    stale = claim(worker)
    let_lease_expire(stale)
    assert Task.objects.get(pk=stale.pk).rescue(Crashed())
    current = claim(Worker.objects.create(node="other", pid=2))
    with pytest.raises(ClaimLost):
        stale.advance(took=0)
    current.refresh_from_db()
    assert (current.state, current.stage, current.epoch) == (State.RUNNING, Stage.TRANSCRIBE, 2)


def test_a_stale_workers_result_is_rolled_back_with_its_claim(enqueue: Enqueue, worker: Worker) -> None:
    task = enqueue()
    stale = claim(worker)
    let_lease_expire(stale)
    Task.objects.get(pk=stale.pk).rescue(Infrastructure())

    def finish() -> None:
        with transaction.atomic():
            Submission.objects.filter(pk=task.submission_id).update(duration=1.0)
            stale.advance(took=0)

    with pytest.raises(ClaimLost):
        finish()
    assert Submission.objects.get(pk=task.submission_id).duration is None


def test_a_lease_that_was_renewed_meanwhile_is_not_rescued(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    task = claim(worker)
    let_lease_expire(task)
    seen = Task.objects.expired().get()
    Task.objects.filter(pk=task.pk).update(lease_until=in_seconds(30))
    assert not seen.rescue(Infrastructure())


def test_an_expired_lease_is_not_renewed(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    task = claim(worker)
    assert Task.objects.extend_leases(worker, {task.pk}, 30) == {task.pk}
    let_lease_expire(task)
    assert Task.objects.extend_leases(worker, {task.pk}, 30) == set()


def test_a_delayed_task_is_not_due_before_its_time(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    claim(worker).retry_later(Transient(), 60, took=0)
    assert Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=30) == []


def test_the_next_student_is_served_after_at_most_one_more_of_a_flood(
    cast: Cast, enqueue: Enqueue, worker: Worker
) -> None:
    for _ in range(20):
        enqueue(cast.ada)
    late = enqueue(cast.bo)
    assert late.pk in {claim(worker).pk, claim(worker).pk}


def test_a_persons_retry_resumes_at_the_failed_stage_and_keeps_the_history(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    claim(worker).advance(took=0)
    claim(worker).fail(Permanent("bad", code="invalid_answer"), took=0)
    task = Task.objects.get()
    assert task.retry(by="teacher")
    task.refresh_from_db()
    assert (task.state, task.stage, task.status) == (State.QUEUED, Stage.EXTRACT, Status.RETRY_QUEUED)
    assert [row.outcome for row in task.attempts.all()] == ["succeeded", "permanent"]


def test_a_submission_has_one_live_task_per_pipeline(enqueue: Enqueue) -> None:
    task = enqueue()
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.enqueue(submission_id=task.submission_id, pipeline="evaluation", owner_key="1")


def test_the_database_refuses_a_running_task_without_a_lease(enqueue: Enqueue) -> None:
    task = enqueue()
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.filter(pk=task.pk).update(state=State.RUNNING)


def test_every_change_leaves_one_event_and_the_sequence_has_no_gap(enqueue: Enqueue, worker: Worker) -> None:
    task = enqueue()
    claim(worker).retry_later(Transient(), 0, took=0)
    for _ in range(3):
        claim(worker).advance(took=0)
    kinds = list(Event.objects.filter(task=task).order_by("sequence").values_list("sequence", "kind", "state"))
    assert kinds == [
        (1, "submit", "queued"),
        (2, "claim", "running"),
        (3, "retry_later", "queued"),
        (4, "claim", "running"),
        (5, "advance", "queued"),
        (6, "claim", "running"),
        (7, "advance", "queued"),
        (8, "claim", "running"),
        (9, "finish", "done"),
    ]
    task.refresh_from_db()
    assert task.sequence == 9


def test_positions_count_those_that_wait(cast: Cast, enqueue: Enqueue, worker: Worker) -> None:
    first, second, third = enqueue(cast.ada), enqueue(cast.ada), enqueue(cast.bo)
    running = claim(worker)
    assert running.pk == first.pk
    assert Task.objects.positions() == {first.pk: 0, third.pk: 1, second.pk: 2}


def test_a_batch_is_extracted_before_any_of_it_is_rated(enqueue: Enqueue, worker: Worker) -> None:
    tasks = [enqueue() for _ in range(2)]
    Task.objects.fill_batch("a", 10)
    Task.objects.filter(pk=tasks[0].pk).update(stage=Stage.RATE)
    Task.objects.filter(pk=tasks[1].pk).update(stage=Stage.EXTRACT)
    assert [claim(worker).stage for _ in range(2)] == [Stage.EXTRACT, Stage.RATE]


def test_an_earlier_batch_is_rated_before_a_later_one_is_extracted(enqueue: Enqueue, worker: Worker) -> None:
    early, late = enqueue(), enqueue()
    for task, stage in ((early, Stage.RATE), (late, Stage.EXTRACT)):
        batch = Batch.objects.create(node="a", phase=PhaseName.EVAL)
        Task.objects.filter(pk=task.pk).update(batch=batch, stage=stage)
    assert claim(worker).pk == early.pk


def test_a_batch_takes_no_more_than_its_size_and_one_node_has_one_open_batch(enqueue: Enqueue) -> None:
    for _ in range(5):
        enqueue()
    batch = Task.objects.fill_batch("a", 3)
    assert batch is not None
    assert batch.tasks.count() == 3
    again = Task.objects.fill_batch("a", 3)
    assert again == batch
    assert batch.tasks.count() == 3
    other = Task.objects.fill_batch("b", 3)
    assert other is not None
    assert other.tasks.count() == 2


def test_closing_a_batch_frees_who_was_left_waiting(enqueue: Enqueue) -> None:
    task = enqueue()
    batch = Task.objects.fill_batch("a", 3)
    assert batch is not None
    batch.close_transcription()
    task.refresh_from_db()
    assert task.batch is None
    assert Batch.objects.get().phase == PhaseName.EVAL


@pytest.fixture
def unindexed_plans(db: None) -> None:
    """Plans under which PostgreSQL would run a locking subquery more than once."""
    with connection.cursor() as cursor:
        for method in ("hashjoin", "mergejoin", "material", "indexscan", "bitmapscan"):
            cursor.execute(f"SET LOCAL enable_{method} = off")


def test_a_claim_takes_one_task_under_any_plan(enqueue: Enqueue, worker: Worker, unindexed_plans: None) -> None:
    for _ in range(50):
        enqueue()
    claim(worker)
    assert Task.objects.filter(state=State.RUNNING).count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_workers_at_once_never_share_a_task(enqueue: Enqueue) -> None:
    ids = {enqueue().pk for _ in range(40)}
    workers = [Worker.objects.create(node=f"n{number}", pid=number) for number in range(8)]
    claimed: list[int] = []

    def drain(worker: Worker) -> None:
        try:
            while tasks := Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=30, limit=3):
                claimed.extend(task.pk for task in tasks)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=drain, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)


def test_live_and_ended_states_are_all_states() -> None:
    assert {*LIVE, *ENDED} == {*State}


def test_the_clock_of_leases_is_the_databases(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    claim(worker, lease_seconds=30)
    assert Task.objects.filter(lease_until__gt=Now()).count() == 1


@pytest.mark.parametrize("before", State)
@pytest.mark.parametrize("after", State)
def test_the_database_refuses_every_move_that_the_table_does_not_have(
    enqueue: Enqueue, worker: Worker, before: State, after: State
) -> None:
    task = in_state(before, enqueue(), worker)
    allowed = {(source, target) for sources, target in TRANSITIONS.values() for source in sources}
    fields = {
        "epoch": task.epoch + 1,
        "lease_until": Now() if after == State.RUNNING else None,
        "finished_at": Now() if after in ENDED else None,
        "error_code": "x" if after == State.FAILED else "",
    }
    move = Task.objects.filter(pk=task.pk)
    if before == after or (before, after) in allowed:
        assert move.update(state=after, **fields) == 1
    else:
        with pytest.raises(IntegrityError, match="does not go"), transaction.atomic():
            move.update(state=after, **fields)


@pytest.mark.parametrize("change", [{"epoch": 0}, {"sequence": 0}])
def test_the_database_refuses_an_epoch_or_a_sequence_that_shrinks(
    enqueue: Enqueue, worker: Worker, change: dict[str, int]
) -> None:
    enqueue()
    claim(worker)
    with pytest.raises(IntegrityError, match="only grow"), transaction.atomic():
        Task.objects.update(**change)


def test_the_database_refuses_a_claim_without_a_new_epoch(enqueue: Enqueue) -> None:
    task = enqueue()
    with pytest.raises(IntegrityError, match="new epoch"), transaction.atomic():
        Task.objects.filter(pk=task.pk).update(state=State.RUNNING, lease_until=Now())


def test_an_event_is_never_changed(enqueue: Enqueue) -> None:
    enqueue()
    with pytest.raises(IntegrityError, match="only added"), transaction.atomic():
        Event.objects.update(kind="forged")


def test_a_running_task_that_a_person_requeues_is_due_again_and_its_worker_loses_it(
    enqueue: Enqueue, worker: Worker
) -> None:
    enqueue()
    task = claim(worker)
    assert Task.objects.get().requeue(by="teacher", reason="it hangs")
    with pytest.raises(ClaimLost):
        task.advance(took=1)
    again = claim(worker)
    assert (again.epoch, again.failures, again.crashes) == (2, 0, 0)
    assert Event.objects.get(kind="requeue").detail == {"by": "teacher", "reason": "it hangs"}
