"""The alert that the certificate of `up --lab` ends soon: `up` renews it, so something keeps it from that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings

from queueing.policy import alerts
from queueing.policy.alerts import FiringAlert
from queueing.report import health


def alert(**_: object) -> dict[str, Sequence[FiringAlert]]:
    """To whoever raises alerts; nothing where the lab's certificate is somebody else's concern, a proxy's."""
    if not settings.LAB:
        return {}
    from introeval.lan import door  # it brings cryptography, which no command and no other worker needs

    ends_at = door.certificates().ends_at()
    if ends_at is None:
        return {}
    days = (ends_at - datetime.now(UTC)).total_seconds() / 86_400
    found = alerts.of_certificate(days, health.thresholds(), folder=str(door.certificates().folder))
    return {alerts.CERTIFICATE_ENDS: found}
