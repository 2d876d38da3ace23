"""What a person does to many tasks at once; admin, commands and pages call the same ones.

Who did it and why are kept in each task's event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db import IntegrityError, transaction

from queueing import pipelines
from queueing.models import Task
from queueing.models.queue import MAX_PUT_FIRST
from queueing.signals import tasks_moved
from queueing.states import TRANSITIONS, State

MAX_TRIES: Final = 3  # on a task that moves while it is acted on

_VERBS: Final[dict[str, Callable[..., bool]]] = {
    "retry": Task.retry,
    "cancel": Task.cancel,
    "requeue": Task.requeue,
    "put_first": Task.put_first,
    "put_last": Task.put_last,
}
_DONE: Final = {
    "retry": "queued",
    "cancel": "cancelled",
    "requeue": "queued",
    "put_first": "put first",
    "put_last": "put last",
}
PUT: Final = {"put_first": "first", "put_last": "last"}
"""Verbs that change a task's place in its line, and the priority that it has then."""


@dataclass(frozen=True, slots=True)
class Report:
    """What happened to the tasks that somebody acted on; or, as a forecast, what would."""

    verb: str
    moved: tuple[int, ...]
    skipped: Mapping[int, str]  # task → why, such as "already running"

    def __str__(self) -> str:
        """`12 queued, 2 skipped: already running`."""
        return ", ".join(filter(None, (f"{len(self.moved)} {_DONE[self.verb]}", self.skips)))

    @property
    def skips(self) -> str:
        """`2 skipped: already running`; empty if there are none."""
        reasons = Counter(self.skipped.values()).most_common()
        if not reasons:
            return ""
        parts = (why if len(reasons) == 1 else f"{count} {why}" for why, count in reasons)
        return f"{len(self.skipped)} skipped: {', '.join(parts)}"

    def as_dict(self) -> dict[str, Any]:
        return {"moved": list(self.moved), "skipped": {str(task): why for task, why in self.skipped.items()}}


def retry(*, tasks: Iterable[Task], by: str, reason: str = "") -> Report:
    """Failed and cancelled tasks go on at the stage where they ended."""
    return act("retry", tasks=tasks, by=by, reason=reason)


def cancel(*, tasks: Iterable[Task], by: str, reason: str = "") -> Report:
    """Waiting and running tasks end; what was computed before stays."""
    return act("cancel", tasks=tasks, by=by, reason=reason)


def act(verb: str, *, tasks: Iterable[Task], by: str, reason: str = "") -> Report:
    """Each task by itself: one that can't move keeps no other from it."""
    if verb in PUT:
        tasks = sorted(tasks, key=lambda task: (task.turn, task.pk))  # among themselves they keep their order
    report = _report(verb, {task.pk: _act_on(task, verb, by, reason) for task in tasks})
    tasks_moved.send(act, verb=verb, tasks=report.moved, by=by)
    return report


def forecast(verb: str, *, tasks: Iterable[Task]) -> Report:
    """What `act` would report if nothing moved before it is called."""
    return _report(verb, {task.pk: _why_not(verb, task) for task in tasks})


def fits(verb: str, task: Task) -> bool:
    """Whether the task's state allows it."""
    return task.state in TRANSITIONS[verb][0]


def _act_on(task: Task, verb: str, by: str, reason: str) -> str:
    """Returns why it could not be done; nothing if it was."""
    for _ in range(MAX_TRIES):
        if why := _why_not(verb, task):
            return why
        try:
            with transaction.atomic():
                if _VERBS[verb](task, by=by, reason=reason):
                    return ""
        except IntegrityError:
            return "another task does the same work"
        # A worker was first: what the person wants may still be possible, for a claimed task can be cancelled.
        fresh = Task.objects.filter(pk=task.pk).first()
        if fresh is None:
            return "gone"
        task = fresh
    return "moving too fast"


def _why_not(verb: str, task: Task) -> str:
    if not fits(verb, task):
        return f"already {State(task.state).label}"
    if verb in PUT and task.pipeline in pipelines.in_order():
        return "served in the order they came"
    if task.priority and task.priority == PUT.get(verb):
        return f"already put {task.priority}"
    if verb == "put_first" and Task.objects.were_passed_enough(task.pipeline):
        return f"{MAX_PUT_FIRST} were put ahead of somebody who still waits"
    return ""


def _report(verb: str, whys: Mapping[int, str]) -> Report:
    moved = tuple(task for task, why in whys.items() if not why)
    return Report(verb, moved, {task: why for task, why in whys.items() if why})
