"""The database's clock steps back: whatever was written before lies in the future by as much, and waits no longer.

A step is made by moving every time in the queue's tables, which to the database is the same.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import DateTimeField, F
from django.db.models.expressions import RawSQL
from django.db.models.functions import Now

from queueing.exceptions import Infrastructure, StageError, Transient
from queueing.models import Attempt, Batch, Breaker, Forecast, Pause, Phase, Task, Worker, in_seconds
from queueing.models.clock import longest_delay_seconds
from queueing.policy.breaker import BreakerConfig, Move, next_move
from queueing.policy.retries import HandBack, RetryLater, RetryLimits, Tries, after_failure
from queueing.policy.retries import longest_delay_seconds as longest
from queueing.states import PhaseName, State
from queueing.worker import upkeep
from queueing.worker.background import line_facts
from tests.queueing.steps import claim

Enqueue = Callable[..., Task]
LEASE = 30
STEPS = (600, 3 * 3600, 30 * 24 * 3600)  # seconds

pytestmark = pytest.mark.django_db


def step_back(seconds: float) -> None:
    """As the rows look after the clock has stepped back."""
    for model in (Task, Attempt, Batch, Worker, Pause, Phase, Breaker, Forecast):
        times = [field.name for field in model._meta.fields if isinstance(field, DateTimeField)]
        model.objects.update(**{name: F(name) + timedelta(seconds=seconds) for name in times})
    restarts = "ARRAY(SELECT at + make_interval(secs => %s) FROM unnest(restarted_at) AS r (at))"
    Breaker.objects.update(restarted_at=RawSQL(restarts, (seconds,)))  # noqa: S611 - text of its own


def mend() -> int:
    return upkeep.mend_times(LEASE)


def claimed(worker: Worker) -> list[int]:
    found = Task.objects.claim(worker=worker, stages=["transcribe"], lease_seconds=LEASE, limit=9)
    return [task.pk for task in found]


@pytest.mark.parametrize("seconds", STEPS)
def test_what_waits_is_due_at_once_and_nothing_new_overtakes_it(
    seconds: float, enqueue: Enqueue, worker: Worker
) -> None:
    waiting = enqueue()
    delayed = enqueue()
    claim(worker).retry_later(Transient(), 20, took=1)
    step_back(seconds)
    new = enqueue()
    assert {task.pk for task in Task.objects.due()} == {waiting.pk, delayed.pk, new.pk}
    assert Task.objects.snapshot("test").unbatched.due == 3
    assert Task.objects.demands("test", ["transcribe"])["transcribe"].due == 3
    assert claimed(worker) == [waiting.pk, delayed.pk, new.pk]


def test_a_step_within_a_retrys_own_delay_changes_nothing(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    claim(worker).retry_later(Transient(), 20, took=1)
    step_back(5)
    assert claimed(worker) == []


def test_no_failure_delays_a_task_for_longer_than_is_believed() -> None:
    limits = RetryLimits(max_attempts=4, max_crashes=3, backoff_seconds=10)
    errors: list[StageError] = [Transient(), Infrastructure(), Transient(code="does_not_fit")]
    for seed in range(50):
        for error in errors:
            for failures in range(limits.max_attempts):
                found = after_failure(error, Tries(failures, 0), limits, random.Random(seed))
                if isinstance(found, (RetryLater, HandBack)):
                    assert found.delay_seconds < longest(limits.backoff_seconds, limits.max_attempts)


@pytest.mark.parametrize("seconds", STEPS)
def test_an_upload_that_waits_for_others_waits_its_time_and_no_longer(
    seconds: float, enqueue: Enqueue, worker: Worker
) -> None:
    task = enqueue()
    step_back(seconds)
    assert Task.objects.snapshot("test").unbatched.oldest_seconds < 0
    assert mend() > 0
    assert 0 <= Task.objects.snapshot("test").unbatched.oldest_seconds < 60
    Task.objects.filter(pk=task.pk).update(staged_at=in_seconds(-9))
    assert mend() == 0, "what is right is left alone"
    assert Task.objects.snapshot("test").unbatched.oldest_seconds > 8


@pytest.mark.parametrize("seconds", STEPS)
def test_a_task_whose_worker_died_before_the_step_is_rescued_a_lease_after_it(
    seconds: float, enqueue: Enqueue, worker: Worker
) -> None:
    enqueue()
    task = claim(worker, LEASE)
    step_back(seconds)
    mend()
    task.refresh_from_db()
    (left,) = Task.objects.values_list(F("lease_until") - Now(), flat=True)
    assert timedelta(seconds=LEASE - 5) < left <= timedelta(seconds=LEASE)
    assert Task.objects.extend_leases(worker, [task.pk], LEASE) == {task.pk}, "a living one keeps its work"
    Task.objects.update(lease_until=in_seconds(-1))
    assert upkeep.rescue_expired(2, LEASE) == 1


@pytest.mark.parametrize("seconds", STEPS)
def test_a_worker_that_died_before_the_step_is_dead_a_lease_after_it(seconds: float, worker: Worker) -> None:
    Batch.objects.create(node=worker.node)
    step_back(seconds)
    mend()
    silent = Worker.objects.with_silence().get()
    assert silent.silence < timedelta(seconds=10)
    Worker.objects.update(last_heartbeat_at=F("last_heartbeat_at") - timedelta(seconds=LEASE))
    assert not Worker.objects.alive(LEASE).exists()
    assert upkeep.release_orphaned_batches(LEASE) == 1


@pytest.mark.parametrize("seconds", STEPS)
def test_a_pause_lasts_no_longer_than_it_was_to(seconds: float) -> None:
    Pause.objects.start(Pause.What.STT, by="anna", reason="lunch", seconds=600)
    Pause.objects.start(Pause.What.EVAL, by="anna", reason="until I come back")
    Pause.objects.start_or_extend(Pause.What.EVERYTHING, node="n", reason="disk full", seconds=15)
    Pause.objects.filter(by="system").update(since=in_seconds(-100 * 24 * 3600))  # and prolonged ever since
    step_back(seconds)
    mend()
    left = dict(Pause.objects.values_list("what", F("until") - Now()))
    assert timedelta(seconds=590) < left[Pause.What.STT] <= timedelta(seconds=600)
    assert left[Pause.What.EVAL] is None
    assert left[Pause.What.EVERYTHING] <= timedelta(seconds=60)
    assert mend() == 0


@pytest.mark.parametrize("seconds", STEPS)
def test_a_wish_lasts_no_longer_than_it_was_to(seconds: float) -> None:
    Phase.objects.create(node="n")
    Phase.request(PhaseName.STT, node="n", hold_seconds=300, by="anna")
    step_back(seconds)
    mend()
    ((left, age),) = Phase.objects.values_list(F("wanted_until") - Now(), Now() - F("since"))
    assert timedelta(seconds=290) < left <= timedelta(seconds=300)
    assert age < timedelta(seconds=10)


@pytest.mark.parametrize("seconds", STEPS)
def test_a_server_is_asked_again_and_restarted_in_time(seconds: float, worker: Worker) -> None:
    config = BreakerConfig(opens_after=1)
    Breaker.objects.fail("s", Infrastructure("away", code="engine_unavailable"), node="n", config=config)
    Breaker.objects.update(openings=5, restarts=1, restarted_at=[row.now for row in Breaker.objects.now()])
    step_back(seconds)
    assert upkeep.mend_times(LEASE, config) > 0
    state = Breaker.objects.now().get().breaker_state
    assert all(0 <= age < 10 for age in state.restart_ages)
    (left,) = Breaker.objects.values_list(F("open_until") - Now(), flat=True)
    assert left <= timedelta(seconds=config.given_up_pause)
    later = timedelta(seconds=config.restart_grace + 1)
    Breaker.objects.update(open_until=in_seconds(-1), restarted_at=[Breaker.objects.now().get().now - later])
    assert next_move(Breaker.objects.now().get().breaker_state, config, can_restart=True) is Move.RESTART
    assert Breaker.objects.reserve("s", worker=worker.pk, seconds=LEASE)


def test_a_forecast_is_made_anew_after_a_step() -> None:
    Forecast.objects.create(ranges={"1": [1.0, 2.0, 0, 0]})
    step_back(3 * 3600)
    mend()
    assert Forecast.objects.current().of(1) is None
    with Forecast.objects.renew(2) as row:
        assert row is not None


def test_a_stage_that_ended_before_it_began_teaches_no_pace(enqueue: Enqueue, worker: Worker) -> None:
    for _ in range(4):
        enqueue()
        claim(worker).advance(took=5)
    Attempt.objects.update(began_at=Now() - timedelta(seconds=5), ended_at=Now())
    found = line_facts.paces()["transcribe"].plain.mean
    assert found == pytest.approx(5)
    Attempt.objects.filter(task=Task.objects.earliest("pk")).update(began_at=in_seconds(3 * 3600))
    assert line_facts.paces()["transcribe"].plain.mean == pytest.approx(5)


def test_a_person_can_mend_one_task_by_requeueing_it(enqueue: Enqueue, worker: Worker) -> None:
    task = enqueue()
    step_back(3 * 3600)
    assert task.requeue(by="anna")
    assert Task.objects.filter(state=State.QUEUED, not_before__lte=Now(), staged_at__lte=Now()).exists()
    assert longest_delay_seconds() < 600
