"""Alerts as e-mail to the people of ALERT_EMAILS: one message for all that a look has found."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from django.conf import settings
from django.core.mail import EmailMessage
from django.utils.timezone import localtime

from queueing.models import Alert
from queueing.policy.alerts import Severity

log = structlog.get_logger()

SUBJECT_LENGTH = 120


def send(found: Sequence[Alert]) -> None:
    """Log them, and send them to whoever is to know. What can't be sent is tried again at the next look."""
    for alert in found:
        log.error("alert", kind=alert.kind, severity=alert.severity, text=alert.text, cure=alert.cure)
    if not found or not settings.ALERT_EMAILS:
        return
    try:
        EmailMessage(_subject(found), _body(found), to=settings.ALERT_EMAILS).send()
    except OSError as error:  # smtplib's are, too
        log.warning("alerts not sent", error=str(error), to=settings.ALERT_EMAILS)
        Alert.objects.mark_unsent(found)


def _subject(found: Sequence[Alert]) -> str:
    worst = next((alert for alert in found if alert.severity == Severity.CRITICAL), found[0])
    others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    line = " ".join(str(worst).split())  # a header has one line
    room = SUBJECT_LENGTH - len(others)
    return f"IntroEval, {line if len(line) <= room else line[: room - 1] + '…'}{others}"


def _body(found: Sequence[Alert]) -> str:
    return "\n\n".join(
        f"{alert.severity.upper()}: {alert.text}\n  since {localtime(alert.since):%d %b %Y, %H:%M}\n  {alert.cure}"
        for alert in found
    )
