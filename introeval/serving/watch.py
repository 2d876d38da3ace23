"""The site's own watchdog: it raises alerts while no worker is alive to do it."""

from __future__ import annotations

from django.conf import settings
from twisted.internet import reactor

from queueing.models import Worker
from queueing.report import health
from queueing.worker.background.watchdog import Watchdog

STARTING_SECONDS = 20.0  # in which a worker that is started beside the site may register


def install() -> None:
    """Begin as soon as a server runs in this process."""
    site = Watchdog(
        lambda: health.read_node(settings.NODE),
        unless=lambda: Worker.objects.alive().exists(),
        first_seconds=STARTING_SECONDS,
    )
    reactor.callWhenRunning(site.start)
