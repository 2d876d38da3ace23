from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from queueing.management.base import QueueCommand, add_node, known_node, who
from queueing.models import Phase, nodes
from queueing.worker import upkeep


class Command(QueueCommand):
    help = (
        "Do now what workers do by themselves every few seconds: bring back the tasks of workers that died, free what "
        "waits in their batches, forget them, mend the times that a step of the clock left in the future, tidy up. "
        "Safe at any time, beside running workers, and more than once."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--accept-gpu-memory",
            action="store_true",
            help="also take what is in the GPU's memory now, beside our models, for other programs' that stay; for a "
            "node that is blocked because its memory did not come back",
        )
        add_node(parser)

    def handle(self, *args: Any, json: bool, node: str | None, accept_gpu_memory: bool, **options: Any) -> None:
        accepted = known_node(node) if accept_gpu_memory else None
        mended = upkeep.mend_times(settings.LEASE_SECONDS)
        rescued = upkeep.rescue_expired(settings.MAX_CRASHES, settings.LEASE_SECONDS)
        released = upkeep.release_orphaned_batches(settings.LEASE_SECONDS)
        forgotten = upkeep.forget_dead_workers(settings.LEASE_SECONDS)
        left = nodes.forget_left()
        tidied = upkeep.run_others()
        lines = [
            f"{mended} times mended that a step of the clock had left in the future",
            f"{rescued} tasks brought back from workers that fell silent",
            f"{released} batches of silent nodes opened to others",
            f"{forgotten} silent workers forgotten",
            f"{len(left)} machines forgotten that had no worker for a day",
            *(f"{duty}: {problem or 'done'}" for duty, problem in tidied.items()),
        ]
        if accepted:
            Phase.accept_gpu_memory(node=accepted, by=who())
            lines.append(f"what is in the GPU's memory of {accepted} is taken for others' at its next try")
        found = {
            "mended": mended,
            "rescued": rescued,
            "released": released,
            "forgotten": forgotten,
            "left": left,
            "tidied": tidied,
            "accepted": accepted,
        }
        self.print_result(found, "\n".join(lines), as_json=json, done=not any(tidied.values()))
