"""Lines over time as plain geometry: what waits, what ended, waits, GPU and disk, from the samples of the lab.

Coordinates are text with a decimal point, as in `pages.charts`. A graph's words have its newest, lowest and highest
figures, for whoever does not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from queueing import pipelines
from queueing.models import LabSample
from queueing.report import samples
from queueing.report.durations import spoken

# In units of its own; as wide as a phone, so that its words stay readable there.
WIDTH, HEIGHT = 320, 132
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 8, 20
_ROWS: Final = 3  # lines across, beside the one at 0; four where the top is given
_COLOURS: Final = 6
_GAP_STEPS: Final = 2.5  # between two samples, from where on nothing is drawn


class LookBack(StrEnum):
    """How far back a graph goes."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def length(self) -> timedelta:
        return {self.HOUR: timedelta(hours=1), self.DAY: timedelta(days=1), self.MONTH: timedelta(days=30)}[self]

    @property
    def step(self) -> timedelta:
        """Between two points."""
        return timedelta(hours=1) if self is LookBack.MONTH else timedelta(minutes=1)

    @property
    def label(self) -> str:
        return {
            self.HOUR: pgettext("how far back", "1 hour"),
            self.DAY: pgettext("how far back", "1 day"),
            self.MONTH: pgettext("how far back", "30 days"),
        }[self]


Points = Sequence[tuple[datetime, float | None]]
Words = Callable[[float], str]
"""A figure as people read it."""


@dataclass(frozen=True, slots=True)
class GraphText:
    x: str
    y: str
    text: str


@dataclass(frozen=True, slots=True)
class GraphLine:
    label: str
    colour: int
    pieces: tuple[str, ...]  # points of polylines; what is missing makes a gap
    newest: str


@dataclass(frozen=True, slots=True)
class LabGraph:
    key: str
    title: str
    lines: tuple[GraphLine, ...]
    heights: tuple[GraphText, ...]  # on the left, from the bottom
    times: tuple[GraphText, ...]  # below
    words: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT


def of(span: LookBack, now: datetime) -> list[LabGraph]:
    """Every graph of which there is anything to draw."""
    since = now - span.length
    rows = _read(span, since, now)
    graphs = [
        _graph("waiting", _("Waiting"), _by_stage(rows, "waiting"), span, since, _plain),
        _graph("running", _("In work"), _by_stage(rows, "running"), span, since, _plain),
        _graph("ended", _("Ended in a minute"), _ended(rows), span, since, _plain),
        _graph("waits", _("Wait for a result"), _waits(rows), span, since, spoken),
        _graph("gpu", _("GPU memory in use"), _of_nodes(rows, "gpu_used"), span, since, _percent, top=1.0),
        _graph("heat", _("GPU temperature"), _of_nodes(rows, "gpu_celsius"), span, since, _celsius, top=100.0),
        _graph("disk", _("Disk free"), _of_nodes(rows, "disk_free"), span, since, _percent, top=1.0),
    ]
    return [graph for graph in graphs if graph]


def _read(span: LookBack, since: datetime, now: datetime) -> Sequence[LabSample]:
    if span is not LookBack.MONTH:
        return samples.since(since)
    hour = now.replace(minute=0, second=0, microsecond=0)
    return samples.at_moments([hour - number * span.step for number in range(int(span.length / span.step))])


def _by_stage(rows: Iterable[LabSample], name: str) -> dict[str, Points]:
    rows = list(rows)
    stages = [spec.name for spec in pipelines.specs() if any(getattr(row, name).get(spec.name) for row in rows)]
    shown = stages or [spec.name for spec in pipelines.specs()][: 1 if rows else 0]
    return {
        str(pipelines.spec_of(stage).verbose_name): [(row.at, getattr(row, name).get(stage, 0)) for row in rows]
        for stage in shown
    }


def _ended(rows: Iterable[LabSample]) -> dict[str, Points]:
    """Per minute, also where a row stands for more."""
    rows = list(rows)
    return {
        label: [(row.at, round(sum(getattr(row, name).values()) / row.minutes, 2)) for row in rows]
        for label, name in ((_("done"), "done"), (_("failed"), "failed"))
        if rows
    }


def _waits(rows: Iterable[LabSample]) -> dict[str, Points]:
    """Of the pipeline that most of the samples tell of."""
    rows = list(rows)
    counts = {name: sum(name in row.waits for row in rows) for name in pipelines.names()}
    name = max(counts, key=lambda name: counts[name], default="")
    if not counts.get(name):
        return {}
    return {
        label: [(row.at, row.waits[name][place] if name in row.waits else None) for row in rows]
        for place, label in ((0, _("half of them at most")), (1, _("nine of ten at most")))
    }


def _of_nodes(rows: Iterable[LabSample], name: str) -> dict[str, Points]:
    rows = list(rows)
    nodes = sorted({node for row in rows for node, seen in row.nodes.items() if seen.get(name) is not None})
    return {node: [(row.at, row.nodes.get(node, {}).get(name)) for row in rows] for node in nodes}


def _graph(
    key: str,
    title: str,
    series: Mapping[str, Points],
    span: LookBack,
    since: datetime,
    words: Words,
    *,
    top: float | None = None,
) -> LabGraph | None:
    known = [value for points in series.values() for _at, value in points if value is not None]
    if not known:
        return None
    highest = top or _round_top(max(known), by_time=words is spoken)
    rows = 4 if top else _ROWS
    lines = tuple(
        GraphLine(
            label,
            number % _COLOURS,
            tuple(_pieces(points, span, since, highest)),
            next((words(value) for _at, value in reversed(points) if value is not None), "–"),
        )
        for number, (label, points) in enumerate(series.items())
    )
    facts = {"low": words(min(known)), "high": words(max(known))}
    newest = ", ".join(f"{line.label}: {line.newest}" for line in lines)
    return LabGraph(
        key,
        title,
        lines,
        heights=tuple(
            GraphText(_number(_LEFT - 4), _number(_y(share, 1)), words(highest * share))
            for share in (number / rows for number in range(rows + 1))
        ),
        times=tuple(_times(span, since)),
        words=_("Between %(low)s and %(high)s.") % facts + f" {newest}",
    )


def _pieces(points: Points, span: LookBack, since: datetime, highest: float) -> Iterable[str]:
    """Polylines of two points at least; a lone one is drawn as a dash."""
    runs: list[list[tuple[datetime, float]]] = []
    for at, value in points:
        if value is None or at < since:
            continue
        if runs and at - runs[-1][-1][0] <= _GAP_STEPS * span.step:
            runs[-1].append((at, value))
        else:
            runs.append([(at, value)])
    for run in runs:
        places = [(_x(at, span, since), _y(value, highest)) for at, value in _thin(run)]
        if len(places) == 1:
            places = [(places[0][0] - 1, places[0][1]), (places[0][0] + 1, places[0][1])]
        yield " ".join(f"{_number(x)},{_number(y)}" for x, y in places)


def _thin(run: Sequence[tuple[datetime, float]]) -> list[tuple[datetime, float]]:
    """Without the points between two that have the same height: they draw nothing."""
    inner = [here for (before, here), (_same, after) in pairwise(pairwise(run)) if not before[1] == here[1] == after[1]]
    return [run[0], *inner, run[-1]] if len(run) > 1 else list(run)


def _times(span: LookBack, since: datetime) -> Iterable[GraphText]:
    for quarter in (0, 1, 2, 3):
        at = since + span.length * quarter / 4
        shown = date_format(localtime(at), _("j M")) if span is LookBack.MONTH else f"{localtime(at):%H:%M}"
        yield GraphText(_number(_x(at, span, since)), _number(HEIGHT - 5), shown)


def _x(at: datetime, span: LookBack, since: datetime) -> float:
    return _LEFT + (WIDTH - _LEFT - _RIGHT) * ((at - since) / span.length)


def _y(value: float, highest: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * min(value / highest, 1.0)


def _round_top(highest: float, *, by_time: bool) -> float:
    """The next figure that can be parted by _ROWS into round ones."""
    if by_time:
        return next((top for top in (60, 180, 540, 900, 1800, 3600, 5400, 10800) if top >= highest), highest)
    if highest <= _ROWS:
        return float(_ROWS)
    power = 10.0 ** math.floor(math.log10(highest / _ROWS))
    return _ROWS * next(step * power for step in (1, 2, 5, 10) if step * power * _ROWS >= highest)


def _plain(value: float) -> str:
    return f"{value:g}"


def _percent(value: float) -> str:
    return f"{value:.0%}"


def _celsius(value: float) -> str:
    return f"{value:.0f} °C"


def _number(value: float) -> str:
    return f"{value:.1f}"
