"""The alert that the certificate of `up --lab` ends soon: `up` renews it, so something keeps it from that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings

from introeval.lan import door
from queueing.policy import alerts
from queueing.policy.alerts import FiringAlert
from queueing.report import health


def alert(**_: object) -> dict[str, Sequence[FiringAlert]]:
    """To whoever raises alerts; nothing where the lab's certificate is somebody else's concern, a proxy's."""
    ends_at = door.certificates().ends_at() if settings.LAB else None
    if ends_at is None:
        return {}
    days = (ends_at - datetime.now(UTC)).total_seconds() / 86_400
    found = alerts.of_certificate(days, health.thresholds(), folder=str(door.certificates().folder))
    return {alerts.CERTIFICATE_ENDS: found}
