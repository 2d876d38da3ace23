"""Each verb × each state: what moves, where to, and that what may not move stays exactly as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.forms.models import model_to_dict

from evaluations.stages.names import Stage
from queueing.exceptions import ClaimLost, Crashed, Infrastructure, Permanent, Transient
from queueing.models import Task, Worker
from queueing.states import ENDED, TRANSITIONS, State
from tests.queueing.steps import in_state, let_lease_expire

Enqueue = Callable[..., Task]


@dataclass(frozen=True)
class TransitionCase:
    """A verb of the table, and how it is called; `stage` is where it applies."""

    verb: str
    say: Callable[[Task], object]
    stage: Stage = Stage.TRANSCRIBE


def take(task: Task) -> list[Task]:
    return Task.objects.take([task.pk], worker=Worker.objects.get(), lease_seconds=30)


def rescue(task: Task) -> bool:
    let_lease_expire(task)
    return task.rescue(Crashed())


def give_up(task: Task) -> bool:
    let_lease_expire(task)
    return task.give_up(Permanent())


ROWS = {
    "join": TransitionCase("join", lambda task: Task.objects.fill_batch("n", 10)),
    "claim": TransitionCase("claim", take),
    "advance": TransitionCase("advance", lambda task: task.advance(took=0)),
    "finish": TransitionCase("finish", lambda task: task.advance(took=0), Stage.RATE),
    "retry_later": TransitionCase("retry_later", lambda task: task.retry_later(Transient(), 0, took=0)),
    "hand_back": TransitionCase("hand_back", lambda task: task.hand_back(Infrastructure(), took=0)),
    "rescue": TransitionCase("rescue", rescue),
    "fail": TransitionCase("fail", lambda task: task.fail(Permanent(), took=0)),
    "give_up": TransitionCase("fail", give_up),
    "cancel": TransitionCase("cancel", lambda task: task.cancel(by="test")),
    "requeue": TransitionCase("requeue", lambda task: task.requeue(by="test")),
    "put_first": TransitionCase("put_first", lambda task: task.put_first(by="test", reason="a bus")),
    "put_last": TransitionCase("put_last", lambda task: task.put_last(by="test", reason="a guest")),
    "retry": TransitionCase("retry", lambda task: task.retry(by="test")),
}


def test_every_verb_has_its_row() -> None:
    assert {row.verb for row in ROWS.values()} == set(TRANSITIONS)


def everything(task: Task) -> dict[str, Any]:
    """The row and its history, without the lease that the test itself lets run out."""
    task.refresh_from_db()
    row = {key: value for key, value in model_to_dict(task).items() if key != "lease_until"}
    return row | {"attempts": list(task.attempts.values()), "events": list(task.events.values())}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("name", ROWS)
def test_a_verb_moves_a_task_only_from_the_states_it_starts_from(
    enqueue: Enqueue, worker: Worker, name: str, state: State
) -> None:
    row = ROWS[name]
    task = in_state(state, enqueue(), worker, stage=row.stage)
    before = everything(task)
    sources, target = TRANSITIONS[row.verb]
    with contextlib.suppress(ClaimLost) if state not in sources else contextlib.nullcontext():
        row.say(task)
    after = everything(task)
    if state not in sources:
        assert after == before
        return
    assert after["state"] == target
    assert after["events"][-1]["kind"] == row.verb
    assert (task.finished_at is not None) == (task.state in ENDED)
    assert (task.lease_until is not None) == (task.state == State.RUNNING)
    assert task.attempts.filter(ended_at=None).count() == (task.state == State.RUNNING)


WORKERS_VERBS = [name for name, row in ROWS.items() if TRANSITIONS[row.verb][0] == (State.RUNNING,)]


@pytest.mark.parametrize("name", WORKERS_VERBS)
def test_a_stale_claim_moves_nothing_by_any_verb(enqueue: Enqueue, worker: Worker, name: str) -> None:
    """The task is running, as the verb wants it, but under a later claim."""
    stale = in_state(State.RUNNING, enqueue(), worker, stage=ROWS[name].stage)
    assert Task.objects.get().requeue(by="test")
    (current,) = take(stale)
    before = everything(current)
    with contextlib.suppress(ClaimLost):
        assert ROWS[name].say(stale) is False
    assert everything(current) == before


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
