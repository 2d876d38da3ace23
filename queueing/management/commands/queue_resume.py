from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_node, add_reason, known_node, usage, who
from queueing.models import Pause, Phase
from queueing.report import figures


class Command(QueueCommand):
    help = "Lift pauses and drains, and phases that were asked for, so that work goes on at once and as usual."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "what",
            nargs="?",
            choices=Pause.What.values,
            help="which pauses (default: everything; and what switch_phase asked for)",
        )
        parser.add_argument("--all", action="store_true", help="pauses of every kind")
        add_node(parser, "wherever they are")
        add_reason(parser)

    def handle(
        self, *args: Any, what: str | None, all: bool, node: str | None, reason: str, json: bool, **options: Any
    ) -> None:
        if what and all:
            raise usage("Either one kind, or --all.")
        here = {"node": known_node(node)} if node else {}
        meant = Pause.objects.filter(**here)
        lifted = (meant if all else meant.filter(what=what or Pause.What.EVERYTHING)).end(by=who(), reason=reason)
        # A wish holds up the other kind of work as a pause does; one kind of pause alone leaves it.
        wishes = 0 if what else Phase.objects.filter(**here).end_wishes(by=who(), reason=reason)
        left = [f"Still on: {pause}" for pause in Pause.objects.active()]
        ended = [f"{lifted} lifted"] if lifted or not wishes else []
        ended += [f"{wishes} asked-for {'phase' if wishes == 1 else 'phases'} ended"] if wishes else []
        text = "\n".join([", ".join(ended) if lifted or wishes else "Nothing to lift.", *left])
        found = {"lifted": lifted, "wishes": wishes, "pauses": figures.pauses()}
        self.print_result(found, text, as_json=json, done=bool(lifted or wishes))
