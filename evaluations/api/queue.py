"""Figures on the queue for all users: nothing that identifies a person or describes a machine's fault."""

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
    queue, status = rows.read_queue(), figures.status()
    return schemas.QueueStats(
        waiting=queue.line.waiting(),
        running=queue.line.running(),
        news=queue.activity,
        counts=queue.counts,
        statuses=status["statuses"],
        failures=status["failures"],
        oldest_seconds=status["oldest_seconds"],
        oldest_seconds_of_stage=status["oldest_seconds_of_stage"],
        worker_count=len(queue.workers),
        phases=status["phases"],
        pauses=status["pauses"],
        lines=[schemas.LineFigures(**one) for one in figures.lines()],
    )
