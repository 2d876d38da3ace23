"""Alerts as messages to operators: one for all that a look has found, by every channel.

Each channel sends on a thread of its own. A look waits a moment for it; what takes longer is heard of by a later one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

import structlog
from django.utils.timezone import localtime

from queueing.models import Alert
from queueing.policy.alerts import Severity
from queueing.report import channels
from queueing.report.channels import OperatorMessage

log = structlog.get_logger()

SUBJECT_LENGTH: Final = 120
FULL_ALERTS: Final = 10  # of a message that are told at length; of more each gets a line
WAIT_SECONDS: Final = 5.0
HUNG_SECONDS: Final = 300.0  # then a channel is tried again beside a try that has not come back


@dataclass(frozen=True, slots=True)
class Sending:
    """A message that one channel sends."""

    told: Mapping[int, str]  # by the alert's id, the severity that it tells
    outcome: Future[None]
    began: float


_under_way: dict[str, Sending] = {}
"""By channel; of this process, of which one thread looks."""


def log_new(found: Sequence[Alert]) -> None:
    for alert in found:
        log.error("alert", kind=alert.kind, severity=alert.severity, text=alert.text, cure=alert.cure)


def send(due: Sequence[Alert]) -> None:
    """Send each by the channels that it was not sent by yet; record what was sent, now or since the last call."""
    _record_ended()
    for name, channel in channels.configured().items():
        wanted = [alert for alert in due if name in alert.unsent]
        if wanted and name not in _under_way:
            outcome = channels.begin(partial(channel, OperatorMessage(_subject(wanted), _body(wanted))))
            _under_way[name] = Sending({alert.pk: alert.notified for alert in wanted}, outcome, monotonic())
    if due:
        wait([sending.outcome for sending in _under_way.values()], WAIT_SECONDS)
        _record_ended()


def _record_ended() -> None:
    for name, sending in list(_under_way.items()):
        _record(name, sending)


def _record(name: str, sending: Sending) -> None:
    if not sending.outcome.done() and monotonic() - sending.began < HUNG_SECONDS:
        return
    del _under_way[name]
    if not sending.outcome.done():
        log.warning("alerts not sent: no end of it", channel=name)
    elif error := sending.outcome.exception():
        log.warning("alerts not sent", channel=name, error=str(error))
    else:
        Alert.objects.note_sent(sending.told, name)


def _subject(found: Sequence[Alert]) -> str:
    worst = next((alert for alert in found if alert.severity == Severity.CRITICAL), found[0])
    others = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    line = " ".join(str(worst).split())  # a header has one line
    room = SUBJECT_LENGTH - len(others)
    return f"IntroEval, {line if len(line) <= room else line[: room - 1] + '…'}{others}"


def _body(found: Sequence[Alert]) -> str:
    if len(found) > FULL_ALERTS:
        return "\n".join(f"{alert.severity.upper()}: {alert.text}" for alert in found)
    return "\n\n".join(
        f"{alert.severity.upper()}: {alert.text}\n  since {localtime(alert.since):%d %b %Y, %H:%M}\n  {alert.cure}"
        for alert in found
    )
