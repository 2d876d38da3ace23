from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_node, add_reason, add_wait, known_node, length, usage, who
from queueing.models import Event, Pause, Phase
from queueing.policy.phases import OFTEN_DWELL_SECONDS
from queueing.report import durations
from queueing.states import PhaseName, PhaseStep

HOLD_SECONDS: Final = 300.0
OFTEN_SECONDS: Final = 1800.0


class Command(QueueCommand):
    help = (
        "Change a node over to speech to text or to evaluation, whatever else waits. What runs is finished first. Or,"
        " with --often, have evaluation give way to waiting uploads after a minute (`queue_resume long` ends it)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "phase", nargs="?", choices=PhaseName.values, help="stt: speech to text; eval: forms and ratings"
        )
        parser.add_argument("--often", action="store_true", help="change over after a minute where both kinds wait")
        add_node(parser)
        add_reason(parser)
        parser.add_argument(
            "--hold",
            type=length,
            metavar="TIME",
            help="for how long at most, while it has work (default: 5m; with --often 30m)",
        )
        add_wait(parser, "it works on that")

    def handle(
        self, *args: Any, phase: str | None, wait: float | None, hold: float | None, json: bool, **options: Any
    ) -> None:
        if bool(phase) == options["often"]:
            raise usage("Either a phase, or --often.")
        node = known_node(options["node"])
        if phase is None:
            self._often(node, hold or OFTEN_SECONDS, reason=options["reason"], as_json=json)
            return
        wanted, hold = PhaseName(phase), hold or HOLD_SECONDS
        Phase.request(wanted, node=node, hold_seconds=hold, by=who(), reason=options["reason"])
        settled = self.wait(wait, partial(_progress, node, wanted)) if wait else None
        there = _is_there(Phase.objects.get(node=node), wanted) if settled else settled
        texts = {
            None: f"{node} was asked for {wanted.label}, for at most {durations.spoken(hold)} while that has work. "
            "What runs is finished first.",
            True: f"{node} works on {wanted.label}.",
            False: f"{node} does not work on {wanted.label}: {_ended(node)}."
            if settled
            else f"{node} does not work on {wanted.label} yet, the time is over. `queue_status` says more.",
        }
        self.print_result(
            {"node": node, "wanted": phase, "there": there}, texts[there], as_json=json, done=there is not False
        )

    def _often(self, node: str, seconds: float, *, reason: str, as_json: bool) -> None:
        said = reason or "uploads must not wait long for evaluation"
        Pause.objects.start(Pause.What.LONG, node=node, by=who(), reason=said, seconds=seconds)
        text = f"For {durations.spoken(seconds)}, {node} changes over after {OFTEN_DWELL_SECONDS:.0f} s when both wait."
        self.print_result({"node": node, "often": True, "seconds": seconds}, text, as_json=as_json)


def _progress(node: str, wanted: PhaseName) -> tuple[bool, str]:
    """Whether the node is where it should be, or not asked for it any more, and what it does or what holds it up."""
    phase = Phase.objects.get(node=node)
    drains = Pause.objects.active().filter(drain=True, node__in=("", node))
    because = f" ({phase.reason})" if phase.reason else ""
    text = f"{phase}{because}" + "".join(f"; but there is a {drain}" for drain in drains)
    return _is_there(phase, wanted) or phase.wanted != wanted, text


def _is_there(phase: Phase, wanted: PhaseName) -> bool:
    return phase.step == PhaseStep.ACTIVE and phase.name == wanted


def _ended(node: str) -> str:
    """Why the node is no longer asked for it: the worker, or another person, has ended that."""
    event = Event.objects.filter(node=node, kind="phase_wish_ended").last()
    return event.detail.get("reason", event.detail["by"]) if event else "something else was asked for"
