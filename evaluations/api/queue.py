"""The queue, for whoever waits in it: figures, and nothing that leads to a person or names a machine's fault."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from evaluations.api import schemas
from evaluations.api.describing import documented
from evaluations.pages import rows
from queueing.report import figures

router = Router(tags=["queue"])


@router.get("/queue/stats", response=documented(schemas.QueueStats))
def stats(request: HttpRequest) -> schemas.QueueStats:
    """How many wait for what and for how long, what each GPU is doing, and what is paused."""
    queue, said = rows.read_queue(), figures.status()
    return schemas.QueueStats(
        waiting=queue.waiting,
        running=queue.running,
        news=queue.news,
        counts=queue.counts,
        statuses=said["statuses"],
        failures=said["failures"],
        oldest_seconds=said["oldest_seconds"],
        oldest_seconds_of_stage=said["oldest_seconds_of_stage"],
        worker_count=len(queue.workers),
        phases=said["phases"],
        pauses=said["pauses"],
    )
