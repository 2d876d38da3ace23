from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now

from queueing.models.clock import in_seconds


class Worker(models.Model):
    """One start of one worker process. The id is new at every start, so a restarted worker owns nothing of its past."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    last_heartbeat_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return f"{self.node}/{self.pid}"

    @classmethod
    def alive(cls, within_seconds: float) -> models.QuerySet[Worker]:
        """Workers heard of within the last `within_seconds` that have not said goodbye."""
        return cls.objects.filter(stopped_at=None, last_heartbeat_at__gte=in_seconds(-within_seconds))
