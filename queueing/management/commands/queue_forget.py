from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_reason, known_node, who
from queueing.models import nodes


class Command(QueueCommand):
    help = (
        "Forget machines that have left for good, or go by another name now. Their pauses and what was asked of them "
        "end. Tasks are not touched. Without it, a machine is forgotten after a day without a living worker."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("nodes", nargs="+", metavar="NAME", help="machines by name, as queue_status shows them")
        add_reason(parser)

    def handle(self, *args: Any, reason: str, json: bool, **options: Any) -> None:
        named = sorted({known_node(name) for name in options["nodes"]})
        forgotten = nodes.forget(named, by=who(), reason=reason)
        kept = [name for name in named if name not in forgotten]
        lines = [f"{name} is forgotten." for name in forgotten]
        lines += [f"{name} is not: a worker is alive there. Stop it first." for name in kept]
        self.print_result({"forgotten": forgotten, "kept": kept}, "\n".join(lines), as_json=json, done=not kept)
