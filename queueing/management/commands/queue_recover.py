from __future__ import annotations

from typing import Any

from django.conf import settings

from queueing import upkeep
from queueing.management.base import QueueCommand


class Command(QueueCommand):
    help = (
        "Do now what workers do by themselves every few seconds: bring back the tasks of workers that died, free what "
        "waits in their batches, forget them, tidy up. Safe at any time, beside running workers, and more than once."
    )

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        rescued = upkeep.rescue_expired(settings.MAX_CRASHES, settings.LEASE_SECONDS)
        released = upkeep.release_orphaned_batches(settings.LEASE_SECONDS)
        forgotten = upkeep.forget_dead_workers(settings.LEASE_SECONDS)
        tidied = upkeep.ask_others()
        words = [
            f"{rescued} tasks brought back from workers that fell silent",
            f"{released} batches of silent nodes opened to others",
            f"{forgotten} silent workers forgotten",
            *(f"{duty}: {problem or 'done'}" for duty, problem in tidied.items()),
        ]
        found = {"rescued": rescued, "released": released, "forgotten": forgotten, "tidied": tidied}
        self.tell(found, "\n".join(words), as_json=json, done=not any(tidied.values()))
