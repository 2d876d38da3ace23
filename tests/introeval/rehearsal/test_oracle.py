"""The oracle, shown one contradiction after the other: what it can't find would never be found."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from evaluations.stages.names import Stage
from introeval.rehearsal import oracle, stages
from introeval.rehearsal.faults import InjectedFault
from introeval.rehearsal.oracle import Counters, Interval, Story
from queueing.exceptions import Crashed, Permanent
from queueing.models import Attempt, Event, Task, Worker

Enqueue = Callable[..., Task]


@pytest.fixture(autouse=True)
def effects(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(stages.EFFECTS)


def effect(task: Task) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            stages.WRITE, (task.pk, task.stage, task.epoch, task.worker_id, "test", task.epoch, task.epoch + 1)
        )


def run_stage(task: Task, worker: Worker) -> Task:
    (claimed,) = Task.objects.claim(worker=worker, stages=[task.stage], lease_seconds=30)
    effect(claimed)
    claimed.advance(took=1.0)
    return claimed


@pytest.fixture
def done(enqueue: Enqueue, worker: Worker) -> Task:
    task = enqueue()
    for _ in Stage:
        run_stage(task, worker)
        task.refresh_from_db()
    return task


def judge(*tasks: Task) -> Counters:
    return oracle.count(attempted=len(tasks), acknowledged={task.pk for task in tasks}, retried=0, loaded_together=0)


def sql(text: str) -> None:
    """Past the guards, which would not let most of it happen."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(text)


def test_a_task_that_went_well_is_right(done: Task) -> None:
    found = judge(done)
    assert found.correct
    assert (found.ok, found.acknowledged) == (1, 1)


def test_one_that_waits_for_ever_is_lost(enqueue: Enqueue) -> None:
    assert judge(enqueue()).lost == 1


def test_one_that_was_promised_and_is_not_there_is_lost(done: Task) -> None:
    assert oracle.count(attempted=1, acknowledged={done.pk + 1}, retried=0, loaded_together=0).lost == 1


def test_one_that_is_done_without_a_result_is_lost_and_torn(done: Task) -> None:
    sql("DELETE FROM rehearsal_effect WHERE stage = 'extract'")
    found = judge(done)
    assert (found.lost, found.torn) == (1, 1)


def test_one_that_failed_is_unexpected(enqueue: Enqueue, worker: Worker) -> None:
    task = enqueue()
    (claimed,) = Task.objects.claim(worker=worker, stages=[task.stage], lease_seconds=30)
    claimed.fail(Permanent("no"), took=1.0)
    found = judge(task)
    assert (found.unexpected, found.lost, found.correct) == (1, 0, False)


def test_a_second_effect_is_a_duplicate(done: Task) -> None:
    sql(
        "INSERT INTO rehearsal_effect (task, stage, epoch, worker, node, began, ended)"
        " SELECT task, stage, epoch, worker, node, 5, 6 FROM rehearsal_effect WHERE stage = 'rate'"
    )
    found = judge(done)
    assert (found.duplicated, found.stale) == (1, 0)


def test_an_effect_of_an_attempt_that_did_not_succeed_is_stale(enqueue: Enqueue, worker: Worker) -> None:
    task = enqueue()
    (lost,) = Task.objects.claim(worker=worker, stages=[task.stage], lease_seconds=-1)
    assert Task.objects.get(pk=task.pk).rescue(Crashed("silent"))
    run_stage(task, worker)
    effect(lost)
    assert judge(task).stale == 1


def test_an_effect_that_comes_after_the_next_claim_is_stale_whatever_its_attempt_says(done: Task) -> None:
    sql("UPDATE rehearsal_effect SET saved_at = statement_timestamp() WHERE stage = 'transcribe'")
    assert judge(done).stale == 1


def test_an_effect_of_another_worker_than_the_one_that_owned_the_task_is_stale(done: Task) -> None:
    sql("UPDATE rehearsal_effect SET worker = gen_random_uuid() WHERE stage = 'rate'")
    assert judge(done).stale == 1


@pytest.mark.parametrize(
    ("what", "broken"),
    [
        ("events with a gap", "DELETE FROM queueing_event WHERE sequence = 3"),
        ("events with a gap", "UPDATE queueing_task SET sequence = sequence + 1"),
        ("a last event of another state or stage", "UPDATE queueing_event SET state = 'queued' WHERE state = 'done'"),
        ("an epoch without its attempt", "UPDATE queueing_task SET epoch = epoch + 1"),
        ("an epoch without its attempt", "UPDATE queueing_attempt SET epoch = 9 WHERE epoch = 3"),
        (
            "an open attempt of a task that does not run",
            "UPDATE queueing_attempt SET ended_at = NULL, outcome = '' WHERE epoch = 3",
        ),
        (
            "a running task without its open attempt",
            "UPDATE queueing_task SET state = 'running', lease_until = now(), finished_at = NULL",
        ),
        ("a success without its effect", "DELETE FROM rehearsal_effect WHERE stage = 'rate'"),
    ],
)
def test_a_task_its_attempts_and_its_events_must_tell_the_same_story(done: Task, what: str, broken: str) -> None:
    sql(broken)
    assert oracle.torn()[what] == 1
    assert judge(done).torn >= 1


def test_the_tables_that_are_contradicted_are_the_real_ones(done: Task) -> None:
    assert (Attempt.objects.count(), Event.objects.count()) == (3, 7)
    assert sum(oracle.torn().values()) == 0


def test_phases_that_overlap_on_one_node_are_counted() -> None:
    speech = Interval("a", speech=True, began=0, ended=10)
    assert oracle.overlapping([speech, Interval("a", speech=False, began=9, ended=12)]) == 1
    assert oracle.overlapping([speech, Interval("b", speech=False, began=9, ended=12)]) == 0
    assert oracle.overlapping([speech, Interval("a", speech=True, began=9, ended=12)]) == 0
    assert oracle.overlapping([speech, Interval("a", speech=False, began=10, ended=12)]) == 0
    assert oracle.overlapping([Interval("a", speech=False, began=2, ended=3), speech]) == 1


HIT = frozenset({(1, 4)})


def test_recovery_lasts_until_the_next_claim_after_the_task_was_free_again() -> None:
    story = Story(freed={(1, 4): (102.0, "crashed")}, moves=[99.0, 101.0, 102.5])
    assert oracle.recovery(InjectedFault("kill", 100.0, HIT), story, away=[]) == 2.5


def test_time_without_a_database_is_not_counted() -> None:
    story = Story(freed={(1, 4): (102.0, "crashed")}, moves=[102.5])
    assert oracle.recovery(InjectedFault("kill", 100.0, HIT), story, away=[(99.0, 101.0), (110.0, 120.0)]) == 1.5


def test_a_task_that_was_given_up_needs_no_further_claim() -> None:
    story = Story(freed={(1, 4): (102.0, "poison")}, moves=[])
    assert oracle.recovery(InjectedFault("kill", 100.0, HIT), story, away=[]) == 2.0


def test_a_fault_that_hit_nothing_needs_no_recovery() -> None:
    assert oracle.recovery(InjectedFault("kill", 100.0, HIT), Story(freed={}, moves=[103.0]), away=[]) is None


def test_after_a_crash_of_the_database_any_claim_counts() -> None:
    assert oracle.recovery(InjectedFault("pg", 100.0), Story(freed={}, moves=[99.0, 103.0]), away=[]) == 3.0
