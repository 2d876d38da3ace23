"""The site's own watchdog: it raises alerts while no worker is alive to do it."""

from __future__ import annotations

from django.conf import settings
from twisted.internet import reactor

from queueing.models import Worker
from queueing.report import health
from queueing.worker.background.watchdog import Watchdog


def install() -> None:
    """Begin as soon as a server runs in this process."""
    site = Watchdog(
        lambda: health.read_node(settings.NODE),
        unless=lambda: Worker.objects.alive().exists(),
        every_seconds=settings.ALERT_SECONDS,
    )
    reactor.callWhenRunning(site.start)
