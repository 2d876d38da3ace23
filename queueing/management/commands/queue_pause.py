from __future__ import annotations

from typing import Any, Final

from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_node, add_reason, known_node, length, usage, who
from queueing.models import Pause
from queueing.report import durations, figures

PAUSED: Final = [*Pause.WORK, Pause.What.UPLOADS]


class Command(QueueCommand):
    help = (
        "Let nothing new begin. What runs is finished; uploads are still taken, unless it is them that are paused: then"
        " new ones wait in the browsers and begin later, by themselves. Students can read the reason."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "what", nargs="?", choices=PAUSED, default=Pause.What.EVERYTHING, help="default: everything"
        )
        add_node(parser, "all of them, those to come too")
        add_reason(parser, required=True, help="why; everybody who waits can read it")
        parser.add_argument("--for", dest="seconds", type=length, metavar="TIME", help="ends by itself: 90s, 10m, 2h")

    def handle(
        self, *args: Any, what: str, node: str | None, reason: str, seconds: float | None, json: bool, **options: Any
    ) -> None:
        if node and what == Pause.What.UPLOADS:
            raise usage("Uploads come to the site, not to a node: leave --node out.")
        where = known_node(node) if node else ""
        Pause.objects.start(what, node=where, by=who(), reason=reason, seconds=seconds)
        until = f"for {durations.spoken(seconds)}" if seconds else "until queue_resume"
        text = f"Paused {until}: {Pause.What(what).label} on {where or 'all nodes'}. What runs is finished."
        if what == Pause.What.UPLOADS:
            text = f"Paused {until}: new uploads. Those that have begun are finished; what was handed in is worked on."
        self.print_result({"pauses": figures.pauses()}, text, as_json=json)
