"""A task's history: when it waited, when it was worked on, and how each try ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby, zip_longest
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from evaluations.errors import catalogue
from evaluations.pages import charts
from evaluations.stages.names import Stage
from queueing.models import Event
from queueing.report.durations import spoken
from queueing.states import ENDED, State

_STEPS: Final = {
    Stage.TRANSCRIBE: gettext_lazy("Transcription"),
    Stage.EXTRACT: pgettext_lazy("filled in by the model", "Form"),
    Stage.RATE: gettext_lazy("Rating"),
}
_WAITED: Final = {
    Stage.TRANSCRIBE: gettext_lazy("Waited for the transcription"),
    Stage.EXTRACT: gettext_lazy("Waited for the form"),
    Stage.RATE: gettext_lazy("Waited for the rating"),
}


class SpanKind(StrEnum):
    WAITED = "waited"
    WORKED = "worked"
    RESTED = "rested"
    """It had ended, until somebody retried it."""


@dataclass(frozen=True, slots=True)
class Span:
    """From one change of the task to the next."""

    stage: Stage
    kind: SpanKind
    began: datetime
    ended: datetime
    closing: Event | None  # what ended it; None while it lasts

    @property
    def seconds(self) -> float:
        return (self.ended - self.began).total_seconds()

    @property
    def took(self) -> str:
        length = spoken(self.seconds)
        return _("%(length)s so far") % {"length": length} if self.closing is None else length

    @property
    def failed(self) -> bool:
        return (
            self.kind == SpanKind.WORKED and self.closing is not None and self.closing.kind in ("fail", "retry_later")
        )

    @property
    def what(self) -> str:
        if self.kind == SpanKind.RESTED:
            return _("Stood still, until somebody asked for it again")
        return str((_WAITED if self.kind == SpanKind.WAITED else _STEPS)[self.stage])

    @property
    def ending(self) -> str:
        """How work ended, in words; empty for everything else."""
        if self.kind != SpanKind.WORKED:
            return _("stopped by somebody") if self.closing and self.closing.kind == "cancel" else ""
        return _("goes on right now") if self.closing is None else _ending(self.closing)


@dataclass(frozen=True, slots=True)
class TimelineBar:
    kind: SpanKind
    failed: bool
    label: str
    block: charts.Block


@dataclass(frozen=True, slots=True)
class StageTrack:
    """One stage on the timeline."""

    title: str
    words: str
    bars: tuple[TimelineBar, ...]


def spans(events: Sequence[Event], now: datetime) -> list[Span]:
    """The spans between one task's `events`, which are in order; the last span lasts until `now`."""
    changes = [next(same) for _, same in groupby(events, key=lambda event: (event.stage, event.state))]
    return [
        Span(Stage(event.stage), _kind(event), event.at, after.at if after else max(now, event.at), after)
        for event, after in zip_longest(changes, changes[1:])
        if after or event.state not in ENDED
    ]


def lanes(spans: Sequence[Span]) -> list[StageTrack]:
    """The spans as bars on one time axis, a lane per stage. Time during which a task had ended is left out."""
    going = [span for span in spans if span.kind != SpanKind.RESTED]
    whole = sum(span.seconds for span in going)
    placed: list[tuple[Span, TimelineBar]] = []
    clock = 0.0
    for span in going:
        if whole > 0:
            label = _("%(what)s: %(length)s") % {"what": span.what, "length": span.took}
            placed.append(
                (span, TimelineBar(span.kind, span.failed, label, charts.block(clock, clock + span.seconds, whole)))
            )
        clock += span.seconds
    stages = dict.fromkeys(span.stage for span in going)
    return [_lane(stage, [(span, bar) for span, bar in placed if span.stage == stage]) for stage in stages]


def summary(spans: Sequence[Span]) -> str:
    """The times waited and worked, in one sentence."""
    waited, worked = (
        sum(span.seconds for span in spans if span.kind == kind) for kind in (SpanKind.WAITED, SpanKind.WORKED)
    )
    lengths = {"waited": spoken(waited), "worked": spoken(worked)}
    return _("It waited for %(waited)s and was worked on for %(worked)s.") % lengths


def _lane(stage: Stage, placed: Sequence[tuple[Span, TimelineBar]]) -> StageTrack:
    tries = [span for span, _bar in placed if span.kind == SpanKind.WORKED]
    waited = sum(span.seconds for span, _bar in placed if span.kind == SpanKind.WAITED)
    worked = sum(span.seconds for span in tries)
    parts = [_("waited %(length)s") % {"length": spoken(waited)}] if waited >= 1 else []
    parts += [_("worked %(length)s") % {"length": spoken(worked)}] if tries else []
    parts += [_tries(len(tries))] if len(tries) > 1 else []
    return StageTrack(str(_STEPS[stage]), ", ".join(parts), tuple(bar for _span, bar in placed))


def _tries(count: int) -> str:
    return ngettext("%(count)s try", "%(count)s tries", count) % {"count": count}


def _kind(event: Event) -> SpanKind:
    if event.state == State.RUNNING:
        return SpanKind.WORKED
    return SpanKind.WAITED if event.state == State.QUEUED else SpanKind.RESTED


def _ending(closing: Event) -> str:
    if closing.kind in ("advance", "finish"):
        return _("done")
    if closing.kind == "cancel":
        return _("stopped by somebody")
    if closing.kind == "requeue":
        return _("put back into the line by somebody")
    title = catalogue.explain(str(closing.detail.get("error_code", ""))).title
    return title if closing.kind == "fail" else _("%(title)s; it was tried again") % {"title": title}
