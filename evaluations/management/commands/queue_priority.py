from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import QuerySet

from evaluations.management.classrooms import named
from evaluations.models import EVALUATION
from queueing import actions
from queueing.management.base import QueueCommand, add_reason, named_tasks, usage, who
from queueing.models import Task
from queueing.states import State


class Command(QueueCommand):
    help = (
        "Put waiting tasks first or last in their line. Whom that concerns reads the reason on their page, and nobody "
        "who waits is passed by more than a class."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("place", choices=actions.PUT.values())
        parser.add_argument(
            "ids", nargs="*", type=int, metavar="ID", help="tasks by number, as queue_status names them"
        )
        parser.add_argument("--student", metavar="NAME", help="instead of IDs: a student's videos, by the login name")
        parser.add_argument("--class", dest="classroom", metavar="CLASS", help="instead of IDs: by its name or number")
        add_reason(parser, required=True, help="students read it")

    def handle(
        self,
        *args: Any,
        place: str,
        ids: list[int],
        student: str | None,
        classroom: str | None,
        reason: str,
        json: bool,
        **options: Any,
    ) -> None:
        if sum(map(bool, (ids, student, classroom))) != 1 or not reason.strip():
            raise usage("Name tasks by ID, or a --student, or a --class; and give a reason.")
        waiting: QuerySet[Task] = Task.objects.filter(pipeline=EVALUATION, state=State.QUEUED)
        if classroom:
            waiting = waiting.filter(submission__classroom=named(classroom))
        elif student:
            waiting = _of_student(waiting, student)
        (verb,) = (verb for verb, put in actions.PUT.items() if put == place)
        tasks = named_tasks(ids) if ids else waiting
        self.print_report(actions.act(verb, tasks=tasks, by=who(), reason=reason), as_json=json)


def _of_student(tasks: QuerySet[Task], name: str) -> QuerySet[Task]:
    """
    Raises:
        CommandError: nothing of theirs waits.
    """
    found = tasks.filter(submission__student__username=name)
    if not found:
        raise usage(f"No video of {name!r} waits.")
    return found
