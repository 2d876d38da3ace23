"""The tasks that an operator's page lists: by state, stage, class and error; acted on as chosen, or all that match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from evaluations.errors import catalogue
from evaluations.models import Classroom
from queueing import pipelines
from queueing.models import Forecast, Task
from queueing.report import estimates
from queueing.states import LIVE, State

SHOWN: Final = 50  # rows
MOST: Final = 1000  # that one action reaches

UNFINISHED: Final = "unfinished"  # waiting or running
_CHOSEN_BY: Final = ("state", "stage", "classroom", "code")


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """Which tasks the address asks for; what can't be understood is left out."""

    state: str = UNFINISHED
    stage: str = ""
    classroom: str = ""  # its key
    code: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> TaskChoice:
        given = {name: query.get(name, "")[:40].replace("\0", "") for name in _CHOSEN_BY}
        return cls(
            given["state"] if given["state"] in State.values else UNFINISHED,
            given["stage"] if given["stage"] in {spec.name for spec in pipelines.specs()} else "",
            "".join(map(str, _keys([given["classroom"]]))),
            given["code"] if given["state"] == State.FAILED else "",
        )

    def query(self, **changes: str) -> str:
        wanted = replace(self, **changes)
        made = QueryDict(mutable=True)
        for name in _CHOSEN_BY:
            if value := getattr(wanted, name):
                made[name] = value
        return f"?{made.urlencode()}"

    def fields(self) -> list[tuple[str, str]]:
        """For a form that is to lead back to them."""
        return [(name, getattr(self, name)) for name in _CHOSEN_BY]

    def among(self, tasks: QuerySet[Task]) -> QuerySet[Task]:
        rows = tasks.filter(state__in=LIVE) if self.state == UNFINISHED else tasks.filter(state=self.state)
        if self.stage:
            rows = rows.filter(stage=self.stage)
        if self.classroom:
            rows = rows.filter(submission__classroom=int(self.classroom))
        return rows.filter(error_code=self.code) if self.code else rows


@dataclass(frozen=True, slots=True)
class TaskLine:
    task: Task
    stage: str
    status: str
    error: str
    place: int | None
    still: str  # how long it still takes, in words


@dataclass(frozen=True, slots=True)
class TaskFilter:
    label: str
    query: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class TaskList:
    choice: TaskChoice
    lines: tuple[TaskLine, ...]
    matching: int  # at most MOST
    states: tuple[TaskFilter, ...]
    stages: tuple[TaskFilter, ...]
    classes: tuple[TaskFilter, ...]
    codes: tuple[TaskFilter, ...]

    @property
    def query(self) -> str:
        return self.choice.query()

    @property
    def filters(self) -> tuple[tuple[TaskFilter, ...], ...]:
        return tuple(filter(None, (self.states, self.stages, self.classes, self.codes)))

    @property
    def verbs(self) -> tuple[str, ...]:
        """What can be done to tasks of that state."""
        if self.choice.state in (State.FAILED, State.CANCELLED):
            return ("retry",)
        return () if self.choice.state == State.DONE else ("put_first", "put_last", "cancel")


def state_words(state: str) -> str:
    return {
        UNFINISHED: pgettext("tasks", "waiting or in work"),
        State.QUEUED: pgettext("tasks", "waiting"),
        State.RUNNING: pgettext("tasks", "in work"),
        State.FAILED: pgettext("tasks", "failed"),
        State.CANCELLED: pgettext("tasks", "cancelled"),
        State.DONE: pgettext("tasks", "done"),
    }[state]


def read(choice: TaskChoice, tasks: QuerySet[Task]) -> TaskList:
    """Of `tasks`, those of the choice; the newest first, those that live in the order of service."""
    rows = choice.among(tasks)
    ordered: Any = rows.order_by("turn", "pk") if choice.state in (UNFINISHED, *LIVE) else rows.order_by("-pk")
    places, forecast = Task.objects.positions(), Forecast.objects.current()
    return TaskList(
        choice=choice,
        lines=tuple(_line(task, places.get(task.pk), forecast) for task in ordered.select_related("batch")[:SHOWN]),
        matching=len(rows.values_list("pk", flat=True)[:MOST]),
        states=tuple(
            TaskFilter(state_words(state), choice.query(state=state, code=""), state == choice.state)
            for state in (UNFINISHED, State.FAILED, State.CANCELLED, State.DONE)
        ),
        stages=_stages(choice),
        classes=_classes(choice, tasks),
        codes=_codes(choice, tasks),
    )


def chosen(query: QueryDict, tasks: QuerySet[Task]) -> list[Task]:
    """The tasks that a form names by `task`, or with `all` those of its choice; of these, whatever is in `tasks`."""
    if query.get("all"):
        rows = TaskChoice.of(query).among(tasks)
    else:
        rows = tasks.filter(pk__in=_keys(query.getlist("task")[:MOST]))
    return list(rows.select_related("batch").order_by("pk")[:MOST])


def _line(task: Task, place: int | None, forecast: Forecast) -> TaskLine:
    found = forecast.of(task.pk)
    return TaskLine(
        task,
        stage=str(pipelines.spec_of(task.stage).verbose_name),
        status=str(task.status.label),
        error=catalogue.explain(task.error_code).title if task.error_code else "",
        place=place,
        still=estimates.spoken(found) if found else "",
    )


def _stages(choice: TaskChoice) -> tuple[TaskFilter, ...]:
    every = TaskFilter(pgettext("stages", "all"), choice.query(stage=""), not choice.stage)
    return (
        every,
        *(
            TaskFilter(str(spec.verbose_name), choice.query(stage=spec.name), spec.name == choice.stage)
            for spec in pipelines.specs()
        ),
    )


def _classes(choice: TaskChoice, tasks: QuerySet[Task]) -> tuple[TaskFilter, ...]:
    """Those that have such tasks, as far as the newest of these tell; nothing to choose from if that is one."""
    rows = replace(choice, classroom="").among(tasks).order_by("-pk")
    found = set(rows.values_list("submission__classroom", flat=True)[:MOST])
    if len(found) < 2 and not choice.classroom:
        return ()
    named = Classroom.objects.filter(pk__in=found).order_by("name", "pk")
    keys = [("", pgettext("classes", "all classes")), *((str(one.pk), one.name) for one in named)]
    return tuple(TaskFilter(name, choice.query(classroom=key), key == choice.classroom) for key, name in keys)


def _codes(choice: TaskChoice, tasks: QuerySet[Task]) -> tuple[TaskFilter, ...]:
    """The errors of those that failed, as far as the newest of them tell."""
    if choice.state != State.FAILED:
        return ()
    newest = tasks.filter(state=State.FAILED).order_by("-pk").values_list("error_code", flat=True)[:MOST]
    found = sorted(set(newest))
    every = TaskFilter(_("all errors"), choice.query(code=""), not choice.code)
    named = [TaskFilter(catalogue.explain(code).title, choice.query(code=code), code == choice.code) for code in found]
    return (every, *named) if len(found) > 1 or choice.code else ()


def _keys(given: Iterable[str]) -> Sequence[int]:
    return [int(key) for key in given if key.isascii() and key.isdigit() and len(key) < 19]
