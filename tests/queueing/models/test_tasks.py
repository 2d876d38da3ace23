"""What a task's verbs promise."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models.functions import Now

from evaluations.models import Submission
from evaluations.stages.names import Stage
from queueing.exceptions import ClaimLost, Crashed, Infrastructure, Permanent, Transient
from queueing.models import Attempt, Batch, Event, Task, Worker, in_seconds
from queueing.states import ENDED, LIVE, PhaseName, State, Status
from tests.conftest import Cast
from tests.queueing.steps import claim, let_lease_expire

Enqueue = Callable[..., Task]


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


def test_a_flood_of_retries_waits_like_any_other(cast: Cast, enqueue: Enqueue, worker: Worker) -> None:
    for _ in range(20):
        task = enqueue(cast.ada)
        task.cancel(by="ada")
    for task in Task.objects.all():
        assert task.retry(by="ada")
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


@pytest.mark.django_db
def test_the_demands_of_stages_count_what_is_due_and_what_runs_here(enqueue: Enqueue, worker: Worker) -> None:
    def waiting(stage: Stage, since: float, due: float = 0) -> Task:
        task = enqueue()
        Task.objects.filter(pk=task.pk).update(stage=stage, staged_at=in_seconds(-since), not_before=in_seconds(due))
        return task

    elsewhere = Worker.objects.create(node="other", pid=2)
    for node in (worker, worker, elsewhere):
        Task.objects.take([waiting(Stage.EXTRACT, 900).pk], worker=node, lease_seconds=60)
    waiting(Stage.EXTRACT, 500), waiting(Stage.EXTRACT, 40), waiting(Stage.EXTRACT, 800, due=60)
    waiting(Stage.TRANSCRIBE, 5)
    demands = Task.objects.demands("test", [Stage.EXTRACT, Stage.RATE])
    assert demands.keys() == {"extract"}
    assert (demands["extract"].due, demands["extract"].running) == (2, 2)
    assert 500 <= demands["extract"].oldest_seconds < 600
    Task.objects.filter(state=State.QUEUED).update(not_before=in_seconds(60))
    assert Task.objects.demands("test", [Stage.EXTRACT])["extract"].oldest_seconds == 0


def test_a_position_counts_the_results_that_come_first(cast: Cast, enqueue: Enqueue, worker: Worker) -> None:
    first, second, third = enqueue(cast.ada), enqueue(cast.ada), enqueue(cast.bo)
    assert claim(worker).pk == first.pk
    assert Task.objects.positions() == {first.pk: 1, third.pk: 2, second.pk: 3}
    Task.objects.filter(pk=first.pk).update(stage=Stage.RATE)
    assert Task.objects.positions() == {first.pk: 0, third.pk: 1, second.pk: 2}
    Task.objects.filter(pk=first.pk).update(pipeline="of an app that is gone", stage="odd")
    assert Task.objects.positions()[first.pk] == 0


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
