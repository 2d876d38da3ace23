from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_node, add_reason, add_wait, known_node, length, who
from queueing.models import Pause, Phase
from queueing.report import durations
from queueing.states import PhaseName, PhaseStep


class Command(QueueCommand):
    help = "Change a node over to speech to text or to evaluation, whatever else waits. What runs is finished first."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("phase", choices=PhaseName.values, help="stt: speech to text; eval: forms and ratings")
        add_node(parser)
        add_reason(parser)
        parser.add_argument("--hold", type=length, default=300.0, metavar="TIME", help="for how long (default: 5m)")
        add_wait(parser, "it works on that")

    def handle(self, *args: Any, phase: str, wait: float | None, hold: float, json: bool, **options: Any) -> None:
        node, wanted = known_node(options["node"]), PhaseName(phase)
        Phase.request(wanted, node=node, hold_seconds=hold, by=who(), reason=options["reason"])
        there = self.wait(wait, partial(_progress, node, wanted)) if wait else None
        texts = {
            None: f"{node} was asked for {wanted.label}, for {durations.spoken(hold)}. What runs is finished first.",
            True: f"{node} works on {wanted.label}.",
            False: f"{node} does not work on {wanted.label} yet, the time is over. `queue_status` says more.",
        }
        self.print_result(
            {"node": node, "wanted": phase, "there": there}, texts[there], as_json=json, done=there is not False
        )


def _progress(node: str, wanted: PhaseName) -> tuple[bool, str]:
    """Whether the node is where it should be, and what it does or what holds it up."""
    phase = Phase.objects.get(node=node)
    drains = Pause.objects.active().filter(drain=True, node__in=("", node))
    because = f" ({phase.reason})" if phase.reason else ""
    text = f"{phase}{because}" + "".join(f"; but there is a {drain}" for drain in drains)
    return phase.step == PhaseStep.ACTIVE and phase.name == wanted, text
