from __future__ import annotations

from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_node, add_reason, add_wait, known_node, who
from queueing.models import Pause, Phase, Task, Worker
from queueing.report import figures
from queueing.states import PhaseStep, State


class Command(QueueCommand):
    help = "Empty a node: what runs is finished, the models are unloaded, nothing new begins until queue_resume."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_node(parser)
        add_reason(parser, help="why; everybody who waits can read it")
        add_wait(parser, "nothing runs and nothing is loaded")

    def handle(self, *args: Any, node: str | None, reason: str, wait: float | None, json: bool, **options: Any) -> None:
        node = known_node(node)
        because = reason or "The machine is being emptied for work on it."
        Pause.objects.start(Pause.What.EVERYTHING, node=node, drain=True, by=who(), reason=because)
        # A worker polls every POLL_SECONDS: only after that has it surely seen the pause.
        steady = 2 * settings.POLL_SECONDS
        empty = self.wait(wait, partial(_progress, node), steady_seconds=steady) if wait else None
        texts = {
            None: f"{node} finishes what runs, then unloads. `queue_drain --wait 10m` waits for that.",
            True: f"{node} is empty: nothing runs, nothing is loaded. `queue_resume` lets it go on.",
            False: f"{node} is not empty yet, the time is over. It stays drained until `queue_resume`.",
        }
        found = {"node": node, "empty": empty, "pauses": figures.pauses()}
        self.print_result(found, texts[empty], as_json=json, done=empty is not False)


def _progress(node: str) -> tuple[bool, str]:
    """Whether the node is empty, and what it still does."""
    running = Task.objects.filter(state=State.RUNNING, worker__node=node).count()
    phase = Phase.objects.get(node=node)
    empty = not running and phase.step == PhaseStep.IDLE
    alive = Worker.objects.alive().filter(node=node).exists()
    text = f"{running} running; {phase}" + ("" if alive or empty else "; no worker is alive there to unload anything")
    return empty, text
