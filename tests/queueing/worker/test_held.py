"""What a worker holds: heartbeats, leases that run out, and work that is taken away or handed back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest

from evaluations.stages.names import Stage
from evaluations.stages.rate import Rate
from queueing.models import Claim, Task, Worker, in_seconds
from queueing.states import State
from queueing.worker import upkeep
from queueing.worker.background.heartbeat import Heartbeat
from queueing.worker.process import PhaseWorker
from tests.queueing.worker.working import Enqueue, quick, registered

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def test_a_task_that_was_taken_from_its_worker_stops_computing_at_the_next_poll(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.RATE)
    with registered(node(quick(seconds=60))) as worker:
        while not worker.jobs:
            worker.run_once()
        (job,) = worker.jobs.running.values()
        worker.run_once()
        assert not job.stop.is_set()
        Task.objects.get().cancel(by="teacher")
        worker.run_once()
        assert job.stop.is_set()


def test_a_worker_that_was_silent_because_the_database_was_down_did_not_die(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
    Worker.objects.update(last_heartbeat_at=upkeep.database_started_at() - timedelta(seconds=1))
    assert upkeep.rescue_expired(max_crashes=2, lease_seconds=0.001) == 1
    assert Task.objects.get().crashes == 0


def test_work_that_cannot_be_interrupted_is_handed_back_when_the_worker_stops(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = threading.Event()
    monkeypatch.setattr(Rate, "compute", lambda self, *args: leave.wait(30))
    task = ready_to(Stage.RATE)
    process = node()
    with registered(process) as loop:
        while not loop.jobs:
            loop.run_once()
        process._wind_down(loop)
    leave.set()
    task.refresh_from_db()
    assert (task.state, task.crashes, task.failures) == (State.QUEUED, 0, 0)


def heartbeat(worker: Worker, held: set[Claim]) -> Heartbeat:
    return Heartbeat(
        worker,
        every_seconds=1,
        lease_seconds=30,
        held=lambda: held,
        on_tasks_lost=lambda claims: None,
        on_lost=lambda: None,
    )


def test_a_heartbeat_renews_what_is_held_and_nothing_else(enqueue: Enqueue, worker: Worker) -> None:
    """A claim whose commit was lost on the way back is worked on by no one; it must expire."""
    enqueue(), enqueue()
    held, orphan = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=1, limit=2)
    heartbeat(worker, {(held.pk, held.epoch)})._send()
    assert Task.objects.get(pk=orphan.pk).lease_until == orphan.lease_until
    assert Task.objects.get(pk=held.pk).lease_until != held.lease_until


def test_a_heartbeat_does_not_stop_the_next_stage_of_a_task_that_was_finished_meanwhile(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    ready_to(Stage.EXTRACT)
    process = node(quick(seconds=0.3))
    with registered(process) as loop:
        while not loop.jobs:
            loop.run_once()
        late = process._heartbeat(loop)
        held = loop.jobs.held()
        late.held = lambda: held  # it has read what is held; the rest of the heartbeat comes late
        while {task.stage for task in (job.task for job in loop.jobs.running.values())} != {Stage.RATE}:
            loop.run_once()
        Task.objects.update(lease_until=in_seconds(-1))  # so that the heartbeat does not own it
        late._send()
        (job,) = loop.jobs.running.values()
        assert not job.stop.is_set()


def test_a_worker_given_up_for_dead_is_alive_again_with_its_next_heartbeat(worker: Worker) -> None:
    Worker.objects.update(last_heartbeat_at=in_seconds(-1000))
    upkeep.forget_dead_workers(30)
    assert not Worker.objects.alive(30).exists()
    heartbeat(worker, set())._send()
    assert Worker.objects.alive(30).exists()


def test_a_lease_that_ran_out_under_a_living_worker_counts_as_no_crash(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    for _ in range(4):
        assert Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
        assert upkeep.rescue_expired(max_crashes=2, lease_seconds=30) == 1
    task = Task.objects.get()
    assert (task.state, task.crashes) == (State.QUEUED, 0)


def test_a_worker_whose_last_heartbeat_came_just_after_its_last_claim_died_all_the_same(
    enqueue: Enqueue, worker: Worker
) -> None:
    enqueue()
    Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
    Worker.objects.update(last_heartbeat_at=in_seconds(-0.6))  # the database itself is older than that
    assert upkeep.rescue_expired(max_crashes=2, lease_seconds=1) == 1
    assert Task.objects.get().crashes == 1


def test_a_worker_does_not_rescue_its_own_running_tasks(enqueue: Enqueue, worker: Worker) -> None:
    enqueue()
    (task,) = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=-1)
    assert upkeep.rescue_expired(max_crashes=2, lease_seconds=30, spare={task.pk}) == 0


def test_what_another_node_runs_does_not_hold_this_nodes_phase(enqueue: Enqueue, ready_to: Callable[..., Task]) -> None:
    ready_to(Stage.RATE)
    enqueue()
    elsewhere = Worker.objects.create(node="other", pid=1)
    Task.objects.claim(worker=elsewhere, stages=[Stage.RATE], lease_seconds=30)
    assert Task.objects.snapshot("this").evaluation.running == 0
    assert Task.objects.snapshot("other").evaluation.running == 1
