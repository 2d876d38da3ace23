"""Looks every few seconds whether somebody must be told of something, and samples the lab once a minute.

Every worker does, on a connection of its own; the site does while no worker is alive (introeval/serving/watch.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from threading import Event, Thread

import structlog
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import QuerySet

from queueing.models import Alert, Breaker, Worker
from queueing.policy import alerts
from queueing.policy.alerts import FiringAlert, LabFacts, NodeFacts
from queueing.report import channels, health, notices, samples
from queueing.signals import health_asked

log = structlog.get_logger()

LEAVE_SECONDS = 5.0  # for a look that is under way


class Watchdog:
    """Every `every_seconds` from `start` until `stop`; as a context it does both.

    Args:
        node: reads what only this process sees of its node.
        unless: whether somebody else looks.
    """

    def __init__(
        self,
        node: Callable[[], NodeFacts],
        *,
        every_seconds: float,
        unless: Callable[[], bool] = lambda: False,
    ) -> None:
        self.node, self.unless, self.every_seconds = node, unless, every_seconds
        self._sampled = 0  # the minute, by this process's clock: what counts is the database's
        self._stop, self._wake = Event(), Event()
        self._thread = Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hurry(self) -> None:
        """Something has changed: look now."""
        self._wake.set()

    def stop(self) -> None:
        self._stop.set()
        self._wake.set()
        self._thread.join(LEAVE_SECONDS)

    def __enter__(self) -> Watchdog:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self.every_seconds)
            self._wake.clear()
            try:
                if not (self._stop.is_set() or self.unless()):
                    self.look_and_sample()
            except (DatabaseError, InterfaceError) as error:
                log.warning("alerts not updated", error=str(error).strip())
                connection.close()
            except Exception:
                log.exception("alerts not updated")
        connection.close()

    def look_and_sample(self) -> None:
        try:
            look(self.node)
        finally:
            self._sample()

    def _sample(self) -> None:
        if self._sampled != (minute := int(time.time() // 60)):
            samples.take(self.node())
            self._sampled = minute


def look(read_node: Callable[[], NodeFacts]) -> None:
    """Once: read, raise and resolve, then send what nobody was told of yet. Nothing if somebody else looks now."""
    limits = health.thresholds()
    node, others = read_node(), _others()
    amiss = bool(node.silent) or health.may_be_amiss()
    if amiss and node.silent is not None:
        Breaker.objects.note_silence(node.node, node.silent, unheard=node.unheard)
    lab = health.read_lab() if amiss else LabFacts()
    firing = [*alerts.of_lab(lab, limits), *alerts.of_node(node, limits), *chain.from_iterable(others.values())]
    if not (firing or amiss):
        return
    with Alert.objects.looking() as mine:
        if not mine:
            return
        Alert.objects.apply(firing, among=_judged(node.node, others.keys()))
        new = Alert.objects.take_new(channels.configured())
        due = Alert.objects.take_due()
    notices.log_new(new)
    notices.send(due)


def _others() -> dict[str, Sequence[FiringAlert]]:
    """By kind, what other apps find; a kind that one can't judge now is left out."""
    found: dict[str, Sequence[FiringAlert]] = {}
    for receiver, answer in health_asked.send_robust(sender=Alert):
        if isinstance(answer, Exception):
            log.error("health unknown", of=getattr(receiver, "__name__", repr(receiver)), error=str(answer))
        else:
            found |= answer
    return found


def _judged(node: str, others: Collection[str]) -> QuerySet[Alert]:
    """What this look can tell to have ended: of the lab, of this node, and of nodes that nobody looks at any more."""
    on_nodes = Alert.objects.filter(kind__in=alerts.NODE_KINDS)
    watched = Worker.objects.alive().exclude(node=node).values("node")
    return Alert.objects.filter(kind__in={*alerts.LAB_KINDS, *others}) | on_nodes.exclude(subject__in=watched)
