from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_node, add_reason, known_node, usage, who
from queueing.models import Pause
from queueing.report import figures


class Command(QueueCommand):
    help = "Lift pauses and drains, so that work goes on at once."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("what", nargs="?", choices=Pause.What.values, help="which pauses (default: everything)")
        parser.add_argument("--all", action="store_true", help="pauses of every kind")
        add_node(parser, "wherever they are")
        add_reason(parser)

    def handle(
        self, *args: Any, what: str | None, all: bool, node: str | None, reason: str, json: bool, **options: Any
    ) -> None:
        if what and all:
            raise usage("Either one kind, or --all.")
        meant = Pause.objects.filter(**({"node": known_node(node)} if node else {}))
        lifted = (meant if all else meant.filter(what=what or Pause.What.EVERYTHING)).end(by=who(), reason=reason)
        left = [f"Still on: {pause}" for pause in Pause.objects.active()]
        text = "\n".join([f"{lifted} lifted" if lifted else "Nothing to lift.", *left])
        self.print_result({"lifted": lifted, "pauses": figures.pauses()}, text, as_json=json, done=bool(lifted))
