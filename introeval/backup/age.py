"""How old the last backup is, and the alert that it is too old.

Known from the events of the queue, so that every node and the site come to the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from evaluations.models import Submission
from queueing.models import Event
from queueing.policy import alerts
from queueing.policy.alerts import FiringAlert
from queueing.report import health

MADE: Final = "backup_made"
RESTORED: Final = "backup_restored"
SOUND_SECONDS: Final = 3600.0  # between two looks while the last one is recent enough


def note_made(at: datetime, *, folder: str, by: str) -> None:
    """`at`: the moment that the backup is of."""
    Event.objects.create(node=settings.NODE, kind=MADE, detail={"of": at.isoformat(), "folder": folder, "by": by})


def note_restored(at: datetime) -> None:
    """What is here now is in that backup."""
    Event.objects.create(node=settings.NODE, kind=RESTORED, detail={"of": at.isoformat()})


def last_backup() -> datetime | None:
    """The moment that the newest backup is of; None where there is none."""
    newest = Event.objects.filter(task=None, kind__in=(MADE, RESTORED)).order_by("-pk").first()
    return datetime.fromisoformat(newest.detail["of"]) if newest else None


@dataclass
class BackupAge:
    """Looks often only while it is too old, so that a backup ends the alert at once."""

    firing: Sequence[FiringAlert] = ()
    rest_until: float = 0.0

    def alert(self, **_: object) -> dict[str, Sequence[FiringAlert]]:
        """To whoever raises alerts."""
        if self.firing or time.monotonic() >= self.rest_until:
            self.rest_until = time.monotonic() + SOUND_SECONDS
            self.firing = _look()
        return {alerts.BACKUP_OLD: self.firing}


backup_age = BackupAge()


def _look() -> Sequence[FiringAlert]:
    made = last_backup()
    since = made or Submission.objects.aggregate(at=Min("created_at"))["at"]
    if since is None:
        return ()  # nothing was handed in yet
    days = (timezone.now() - since).total_seconds() / 86_400
    return alerts.of_backup(days, health.thresholds(), ever=made is not None)
