from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from queueing.models.clock import in_seconds, is_ahead


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self, lease_seconds: float | None = None) -> Self:
        """Those that have not stopped and sent a heartbeat within a lease: the one meaning of "alive".

        Past it their tasks are taken over, so pages, forecast, commands and other workers go by the same figure.

        Args:
            lease_seconds: of the calling worker; LEASE_SECONDS by default.
        """
        return self.filter(_alive(lease_seconds))

    def mend_times(self) -> int:
        """After a step of the clock back: silence is counted from now on. Returns how many were mended."""
        return self.filter(is_ahead("last_heartbeat_at"), stopped_at=None).update(last_heartbeat_at=Now())

    def with_silence(self) -> Self:
        """Those that have not stopped, each with its `silence` and whether it `is_alive`."""
        return self.filter(stopped_at=None).annotate(silence=Now() - F("last_heartbeat_at"), is_alive=_alive())


def _alive(lease_seconds: float | None = None) -> Q:
    seconds = settings.LEASE_SECONDS if lease_seconds is None else lease_seconds
    return Q(stopped_at=None, last_heartbeat_at__gte=in_seconds(-seconds))


class Worker(models.Model):
    """One start of one worker process. The id is new at every start, so a restarted worker owns nothing of its past."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    last_heartbeat_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True, blank=True)

    objects = WorkerQuerySet.as_manager()

    if TYPE_CHECKING:
        silence: timedelta  # by `WorkerQuerySet.with_silence`
        is_alive: bool

    class Meta:
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return f"{self.node}/{self.pid}"
