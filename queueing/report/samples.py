"""One row per minute on how the lab is, and what graphs read of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Final

from django.db.models import Count

from queueing.models import Forecast, LabSample, Phase, Task, Worker
from queueing.policy.alerts import NodeFacts
from queueing.report import lately
from queueing.report.health import database_time
from queueing.states import State

MOST_ESTIMATES: Final = 300  # of a sample: those who come first
FRESH: Final = timedelta(minutes=3)  # an older sample says nothing of now


def take(facts: NodeFacts) -> bool:
    """This minute's sample, as far as this node is asked for it. Returns whether it was the first to take it."""
    phase = Phase.objects.filter(node=facts.node).first()
    seen = {
        "phase": phase.name if phase else "",
        "step": phase.step if phase else "",
        "gpu_used": _rounded(facts.gpu_used, 4),
        "gpu_celsius": facts.gpu_celsius,
        "disk_free": _rounded(facts.disk_free, 4),
        "models": list(facts.models),
        "memory": {one.name: one.bytes for one in facts.memory},
    }
    return LabSample.objects.keep(facts.node, seen, read)


def read(at: datetime) -> LabSample:
    """The lab's figures at that minute, unsaved; what ended is that of the minute before."""
    live = Task.objects.live().values_list("stage", "state").annotate(tasks=Count("pk")).order_by()
    counts: dict[str, dict[str, int]] = {State.QUEUED: {}, State.RUNNING: {}}
    for stage, state, tasks in live:
        counts[state][stage] = tasks
    ended = lately.ended_between(at - timedelta(minutes=1), at)
    forecast = Forecast.objects.current()
    begun = (forecast.made_at - at).total_seconds() if forecast.ranges else 0.0
    # What a forecast that nobody renews says of waits is no longer true: it has places only.
    known = [(task, low, high) for task, (low, high, *_) in forecast.ranges.items() if high is not None]
    return LabSample(
        at=at,
        waiting=counts[State.QUEUED],
        running=counts[State.RUNNING],
        done={pipeline: found.done for pipeline, found in ended.items() if found.done},
        failed={pipeline: found.failed for pipeline, found in ended.items() if found.failed},
        waits={pipeline: [spread.p50, spread.p90] for pipeline, spread in lately.waits().items()},
        workers=Worker.objects.alive().count(),
        estimates={
            task: [round(begun + low, 1), round(begun + high, 1)]
            for task, low, high in sorted(known, key=itemgetter(2))[:MOST_ESTIMATES]
        },
    )


def nodes_now() -> dict[str, dict[str, Any]]:
    """What each node saw of itself lately, the newest of it, with the moment `at`."""
    found: dict[str, dict[str, Any]] = {}
    fresh = LabSample.objects.filter(at__gte=database_time() - FRESH)
    for at, nodes in fresh.order_by("at").values_list("at", "nodes"):
        found |= {node: {**seen, "at": at.isoformat()} for node, seen in nodes.items()}
    return dict(sorted(found.items()))


def since(at: datetime) -> Sequence[LabSample]:
    """Every one from then on. For a day at most: there is one a minute."""
    return list(LabSample.objects.filter(at__gte=at).defer("estimates").order_by("at"))


def at_moments(moments: Sequence[datetime]) -> Sequence[LabSample]:
    """Those of these minutes that there are; the way to look far back without reading all that lies between."""
    return list(LabSample.objects.filter(at__in=moments).defer("estimates").order_by("at"))


def _rounded(share: float | None, digits: int) -> float | None:
    return None if share is None else round(share, digits)
