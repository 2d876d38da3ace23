"""What tests do with a task, by its verbs."""

from __future__ import annotations

from evaluations.stages.names import Stage
from queueing.exceptions import Permanent
from queueing.models import Task, Worker, in_seconds
from queueing.states import State


def claim(worker: Worker, lease_seconds: float = 30) -> Task:
    (task,) = Task.objects.claim(worker=worker, stages=[*Stage.values], lease_seconds=lease_seconds)
    return task


def let_lease_expire(task: Task) -> None:
    Task.objects.filter(pk=task.pk, state=State.RUNNING).update(lease_until=in_seconds(-1))


def in_state(state: State, task: Task, worker: Worker, *, stage: Stage = Stage.TRANSCRIBE) -> Task:
    """The task, brought into `state` at `stage`; one that is done is at the last one."""
    for _ in range([*Stage].index(stage)):
        claim(worker).advance(took=0)
    task.refresh_from_db()
    if state == State.CANCELLED:
        task.cancel(by="test")
    elif state != State.QUEUED:
        task = claim(worker)
        if state == State.FAILED:
            task.fail(Permanent(), took=0)
        while state == State.DONE and task.state == State.RUNNING:
            task.advance(took=0)
            task.refresh_from_db()
            task = claim(worker) if task.state == State.QUEUED else task
    task.refresh_from_db()
    assert task.state == state
    return task
