from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from queueing import actions
from queueing.management.base import QueueCommand, add_reason, named_tasks, usage, who
from queueing.models import Task
from queueing.states import State


class Command(QueueCommand):
    help = "Stop the work on tasks, waiting or running (within seconds). Videos and earlier results are kept."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "ids", nargs="*", type=int, metavar="ID", help="tasks by number, as queue_status names them"
        )
        parser.add_argument("--waiting", action="store_true", help="instead of IDs: all that wait")
        add_reason(parser)

    def handle(self, *args: Any, ids: list[int], waiting: bool, reason: str, json: bool, **options: Any) -> None:
        if bool(ids) == waiting:
            raise usage("Name tasks by ID, or ask for --waiting.")
        tasks = Task.objects.filter(state=State.QUEUED).order_by("pk") if waiting else named_tasks(ids)
        self.print_report(actions.cancel(tasks=tasks, by=who(), reason=reason), as_json=json)
