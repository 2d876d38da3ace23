"""What each machine's GPU was for: bars on one axis of time, and the hand-overs between them with their reasons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from evaluations.pages import charts
from queueing.models import Event, Phase
from queueing.report.durations import spoken
from queueing.states import PhaseName, PhaseStep

MOST_EVENTS: Final = 400  # of a node: a busy day has some hundred
SHOWN: Final = 12  # hand-overs

PHASES: Final = {
    PhaseName.STT: pgettext_lazy("what a GPU is for", "speech to text"),
    PhaseName.EVAL: pgettext_lazy("what a GPU is for", "evaluation"),
}
STEPS: Final = {
    PhaseStep.IDLE: pgettext_lazy("of a machine", "idle"),
    PhaseStep.LOADING: gettext_lazy("loading the model"),
    PhaseStep.ACTIVE: pgettext_lazy("of a machine", "working"),
    PhaseStep.DRAINING: gettext_lazy("finishing running work"),
    PhaseStep.UNLOADING: gettext_lazy("unloading the model"),
    PhaseStep.VERIFYING: gettext_lazy("checking that memory came back"),
    PhaseStep.BLOCKED: pgettext_lazy("of a machine", "blocked"),
}
CHANGING: Final = "changing"
_KINDS: Final = {
    PhaseName.STT.value: PHASES[PhaseName.STT],
    PhaseName.EVAL.value: PHASES[PhaseName.EVAL],
    CHANGING: pgettext_lazy("of a machine", "changing over"),
    PhaseStep.IDLE.value: STEPS[PhaseStep.IDLE],
    PhaseStep.BLOCKED.value: STEPS[PhaseStep.BLOCKED],
}


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A node in one phase, on the way to another one, idle or blocked."""

    kind: str  # a key of _KINDS
    began: datetime
    ended: datetime
    reason: str
    lasts: bool  # until now

    @property
    def label(self) -> str:
        return str(_KINDS[self.kind])

    @property
    def seconds(self) -> float:
        return (self.ended - self.began).total_seconds()


@dataclass(frozen=True, slots=True)
class PhaseBar:
    kind: str
    label: str
    block: charts.Block


@dataclass(frozen=True, slots=True)
class PhaseTrack:
    node: str
    bars: tuple[PhaseBar, ...]
    words: str  # how much of the time each took


@dataclass(frozen=True, slots=True)
class HandOver:
    """From one phase to another, with what it cost."""

    node: str
    at: datetime
    left: str
    came: str
    took: str
    dwelt: str  # how long it then stayed
    why: str


@dataclass(frozen=True, slots=True)
class PhaseHistory:
    tracks: tuple[PhaseTrack, ...]
    hand_overs: tuple[HandOver, ...]  # the newest first
    key: tuple[tuple[str, str], ...]  # kind and its words, of what is drawn
    since: datetime
    until: datetime


def read(since: datetime, now: datetime) -> PhaseHistory:
    spans = {row.node: of_events(_events(row.node), now) for row in Phase.objects.order_by("node")}
    tracks = tuple(_track(node, found, since, now) for node, found in spans.items())
    changes = sorted((one for node, found in spans.items() for one in _changes(node, found)), key=lambda one: one.at)
    shown = [one for one in changes if one.at >= since]
    drawn = {bar.kind for track in tracks for bar in track.bars}
    key = tuple((kind, str(words)) for kind, words in _KINDS.items() if kind in drawn)
    return PhaseHistory(tracks, tuple(reversed(shown[-SHOWN:])), key, since, now)


def of_events(events: Iterable[Event], now: datetime) -> list[PhaseSpan]:
    """The spans between a node's events, which are in order; steps of one hand-over are one span."""
    steps: list[tuple[str, datetime, str]] = []
    for event in events:
        kind, reason = _kind(event), str(event.detail.get("reason", ""))
        if steps and steps[-1][0] == kind:
            steps[-1] = (kind, steps[-1][1], steps[-1][2] or reason)
        else:
            steps.append((kind, event.at, reason))
    ends = [began for _kind_, began, _reason in steps[1:]]
    return [
        PhaseSpan(kind, began, ends[number] if number < len(ends) else max(now, began), reason, number == len(ends))
        for number, (kind, began, reason) in enumerate(steps)
    ]


def _events(node: str) -> list[Event]:
    kinds = [f"phase_{step}" for step in PhaseStep]
    newest = Event.objects.filter(task=None, node=node).order_by("-pk")[:MOST_EVENTS]
    return [event for event in reversed(newest) if event.kind in kinds]


def _kind(event: Event) -> str:
    step = event.kind.removeprefix("phase_")
    if step in (PhaseStep.IDLE, PhaseStep.BLOCKED):
        return step
    return str(event.detail.get("name", "")) if step == PhaseStep.ACTIVE else CHANGING


def _track(node: str, spans: Sequence[PhaseSpan], since: datetime, now: datetime) -> PhaseTrack:
    whole = (now - since).total_seconds()
    shares: dict[str, float] = {}
    bars = []
    for span in spans:
        began, ended = max(span.began, since), min(span.ended, now)
        if ended <= began or span.kind not in _KINDS:
            continue
        start, end = (began - since).total_seconds(), (ended - since).total_seconds()
        shares[span.kind] = shares.get(span.kind, 0.0) + end - start
        label = f"{span.label}: {spoken(span.seconds)}" + (f" ({span.reason})" if span.reason else "")
        bars.append(PhaseBar(span.kind, label, charts.block(start, end, whole)))
    words = ", ".join(f"{_KINDS[kind]} {spoken(seconds)}" for kind, seconds in shares.items())
    return PhaseTrack(node, tuple(bars), words)


def _changes(node: str, spans: Sequence[PhaseSpan]) -> Iterable[HandOver]:
    for number, span in enumerate(spans):
        if span.kind != CHANGING or span.lasts:
            continue
        after: Any = spans[number + 1]
        dwelt = spoken(after.seconds)
        yield HandOver(
            node,
            span.began,
            left=spans[number - 1].label if number else "–",
            came=after.label,
            took=spoken(span.seconds),
            dwelt=_("%(length)s so far") % {"length": dwelt} if after.lasts else dwelt,
            why=after.reason if after.kind == PhaseStep.BLOCKED else span.reason,
        )
