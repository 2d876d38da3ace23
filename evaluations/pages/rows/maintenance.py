"""Whether work has begun again after nobody worked for a while, and whom that concerns."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from django.db.models import Max
from django.db.models.functions import Coalesce
from django.utils.timezone import now

from evaluations.pages.rows import SubmissionRow
from queueing.models import Worker

AWAY: Final = timedelta(seconds=30)  # a worker that is only restarted is back sooner
NEWS: Final = timedelta(minutes=30)  # how long it is news


def came_back(rows: Iterable[SubmissionRow]) -> str:
    """Which return to work concerns these rows: the id of its first worker; empty if none does.

    It does where something of theirs was left over from before.
    """
    first = Worker.objects.alive().order_by("started_at").first()
    if first is None or now() - first.started_at > NEWS:
        return ""
    before = Worker.objects.filter(started_at__lt=first.started_at)
    last_seen = before.aggregate(at=Max(Coalesce("stopped_at", "last_heartbeat_at")))["at"]
    if last_seen is None or first.started_at - last_seen < AWAY:
        return ""
    is_left = any(row.is_live and row.submission.created_at < first.started_at for row in rows)
    return str(first.pk) if is_left else ""
