"""Which nodes there are. A node is known from the first start of its worker until it is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from queueing.models.breaker import Breaker
from queueing.models.clock import in_seconds
from queueing.models.phase import SYSTEM, Pause, Phase, note
from queueing.models.worker import Worker

LEFT_SECONDS: Final = 24 * 3600.0  # a node without a sign of life for so long has left


def working() -> set[str]:
    """The nodes on which a worker is alive."""
    return set(Worker.objects.alive().values_list("node", flat=True))


def silent() -> QuerySet[Phase]:
    """The nodes that are known, and on which no worker is alive."""
    return Phase.objects.exclude(node__in=Worker.objects.alive().values("node"))


def forget(nodes: Iterable[str], *, by: str, reason: str = "") -> list[str]:
    """A person says that these nodes will not come back. Returns those that were forgotten, in the order of names.

    One on which a worker is alive is not: it would be known again at once. One that does come back is a new one.
    """
    return _forget(silent().filter(node__in=nodes), by=by, reason=reason)


def forget_left(*, spare: str = "") -> list[str]:
    """Forget the nodes that have given no sign of life for LEFT_SECONDS; returns their names.

    `spare` is the caller's own: after a long sleep of its machine, its last heartbeat is as old as that of the others.
    What a person has paused there stays paused, should the node come back.
    """
    since = in_seconds(-LEFT_SECONDS)
    heard = Worker.objects.filter(last_heartbeat_at__gte=since).values("node")
    left = silent().filter(since__lt=since).exclude(node__in=heard).exclude(node=spare)
    return _forget(left, by=SYSTEM, reason="no worker for a day")


def _forget(found: QuerySet[Phase], *, by: str, reason: str) -> list[str]:
    if not found.exists():  # as a rule: one statement
        return []
    with transaction.atomic():
        names = sorted(found.select_for_update(of=("self",)).values_list("node", flat=True))
        for name in names:
            Phase.objects.filter(node=name).delete()
            Worker.objects.filter(node=name, stopped_at=None).update(stopped_at=Now())
            Breaker.objects.of_node(name).delete()
            note(name, "node_forgotten", by=by, reason=reason)
        gone = Pause.objects.filter(node__in=names)
        (gone.filter(by=SYSTEM) if by == SYSTEM else gone).end(by=by, reason="the node was forgotten")
    return names


def holding_up_work() -> Q:
    """Of pauses of work: those of all nodes, and those of nodes that work. Another one's holds up nobody."""
    return Q(what__in=Pause.WORK) & (Q(node="") | Q(node__in=Worker.objects.alive().values("node")))
