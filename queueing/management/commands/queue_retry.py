from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from queueing import actions
from queueing.management.base import QueueCommand, add_reason, named_tasks, usage, who
from queueing.models import Task
from queueing.states import State


class Command(QueueCommand):
    help = "Try failed or cancelled tasks again, each from the stage where it ended. Earlier results are kept."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "ids", nargs="*", type=int, metavar="ID", help="tasks by number, as queue_status names them"
        )
        parser.add_argument("--failed", action="store_true", help="instead of IDs: all that failed")
        parser.add_argument("--code", metavar="CODE", help="with --failed: only those with this error code")
        add_reason(parser)

    def handle(
        self, *args: Any, ids: list[int], failed: bool, code: str | None, reason: str, json: bool, **options: Any
    ) -> None:
        if bool(ids) == failed:
            raise usage("Name tasks by ID, or ask for --failed.")
        if code and not failed:
            raise usage("--code goes with --failed.")
        tasks = _failed(code) if failed else named_tasks(ids)
        self.print_report(actions.retry(tasks=tasks, by=who(), reason=reason), as_json=json)


def _failed(code: str | None) -> Iterable[Task]:
    return Task.objects.filter(state=State.FAILED, **({"error_code": code} if code else {})).order_by("pk")
