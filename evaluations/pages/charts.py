"""Charts as plain geometry, from numbers alone. Templates draw them as SVG, beside a table of the same numbers.

Coordinates are text with a decimal point, whatever the language of the page: a localised comma would break the SVG.
Scores in labels are localised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import cos, pi, sin
from textwrap import wrap

from django.template.defaultfilters import floatformat

HIGHEST = 10.0  # of a score
RINGS = (2.5, 5.0, 7.5, 10.0)
MIN_AXES, MAX_AXES = 3, 8  # fewer make no area, more can't be distinguished

# Of a radar chart, in units of its own.
WIDTH, HEIGHT = 430, 320
_CENTRE_X, _CENTRE_Y, _RADIUS = 215, 165, 95
_LABEL_GAP, _LABEL_LINE, _LABEL_CHARACTERS, _LABEL_LINES = 12, 17, 13, 2

STRIP_WIDTH = 1000  # of a strip, which is stretched to the page
_MIN_BLOCK = 5.0  # of it, so that it can be seen and hit

LINE_WIDTH, LINE_HEIGHT = 220, 64
_LINE_MARGIN = 6


@dataclass(frozen=True, slots=True)
class ChartText:
    x: str
    y: str
    text: str


@dataclass(frozen=True, slots=True)
class Axis:
    """One criterion of a radar chart: its line ends at (x, y), its score is at (score_x, score_y)."""

    x: str
    y: str
    score_x: str
    score_y: str
    anchor: str  # which end of the label is at the axis: start, middle or end
    label: tuple[ChartText, ...]


@dataclass(frozen=True, slots=True)
class Radar:
    rings: tuple[str, ...]  # points of polygons, the innermost first
    area: str  # points of the polygon of the scores
    axes: tuple[Axis, ...]
    centre_x: int = _CENTRE_X
    centre_y: int = _CENTRE_Y
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a strip, from left to right."""

    x: str
    width: str


@dataclass(frozen=True, slots=True)
class Dot:
    x: str
    y: str


@dataclass(frozen=True, slots=True)
class LineChart:
    pieces: tuple[str, ...]  # points of polylines; a value that is missing makes a gap
    dots: tuple[Dot | None, ...]  # one per value
    width: int = LINE_WIDTH
    height: int = LINE_HEIGHT


def radar(scores: Sequence[tuple[str, float]]) -> Radar | None:
    """A chart of (title, score of 0–10) per criterion, clockwise from the top; None if too few or too many axes."""
    if not MIN_AXES <= len(scores) <= MAX_AXES:
        return None
    angles = [2 * pi * number / len(scores) - pi / 2 for number in range(len(scores))]
    return Radar(
        rings=tuple(_points(_at(angle, ring) for angle in angles) for ring in RINGS),
        area=_points(_at(angle, score) for angle, (_, score) in zip(angles, scores, strict=True)),
        axes=tuple(_axis(angle, title, score) for angle, (title, score) in zip(angles, scores, strict=True)),
    )


def block(start: float, end: float, whole: float) -> Block:
    """The part of a strip for `start` to `end` of `whole`, in the same unit; wide enough to be seen, never outside."""
    width = min(max(STRIP_WIDTH * (end - start) / whole, _MIN_BLOCK), STRIP_WIDTH)
    return Block(_number(min(STRIP_WIDTH * start / whole, STRIP_WIDTH - width)), _number(width))


def line(values: Sequence[float | None]) -> LineChart:
    """A line of scores of 0–10, at equal distances in the order given; None makes a gap."""
    step = (LINE_WIDTH - 2 * _LINE_MARGIN) / max(len(values) - 1, 1)
    places = [
        None if value is None else (_LINE_MARGIN + step * number, _height(value)) for number, value in enumerate(values)
    ]
    return LineChart(
        pieces=tuple(_points(piece) for piece in _unbroken(places)),
        dots=tuple(place and Dot(_number(place[0]), _number(place[1])) for place in places),
    )


_Point = tuple[float, float]


def _unbroken(places: Sequence[_Point | None]) -> list[list[_Point]]:
    pieces: list[list[_Point]] = [[]]
    for place in places:
        if place is None:
            pieces.append([])
        else:
            pieces[-1].append(place)
    return [piece for piece in pieces if len(piece) > 1]


def _height(score: float) -> float:
    return LINE_HEIGHT - _LINE_MARGIN - (LINE_HEIGHT - 2 * _LINE_MARGIN) * score / HIGHEST


def _at(angle: float, score: float) -> _Point:
    return _away(angle, _RADIUS * score / HIGHEST)


def _away(angle: float, distance: float) -> _Point:
    return _CENTRE_X + distance * cos(angle), _CENTRE_Y + distance * sin(angle)


def _axis(angle: float, title: str, score: float) -> Axis:
    (x, y), (score_x, score_y) = _at(angle, HIGHEST), _at(angle, score)
    anchor = "middle" if abs(cos(angle)) < 0.2 else "start" if cos(angle) > 0 else "end"
    lines = [*wrap(title, _LABEL_CHARACTERS, max_lines=_LABEL_LINES, placeholder="…"), floatformat(score, 1)]
    return Axis(_number(x), _number(y), _number(score_x), _number(score_y), anchor, _label(angle, lines))


def _label(angle: float, lines: Sequence[str]) -> tuple[ChartText, ...]:
    """Lines outside the outermost ring: above it at the top, below it at the bottom."""
    x, y = _away(angle, _RADIUS + _LABEL_GAP)
    height = _LABEL_LINE * len(lines)
    first = y + height * (sin(angle) - 1) / 2 + 0.75 * _LABEL_LINE  # a baseline
    return tuple(
        ChartText(_number(x), _number(first + _LABEL_LINE * number), text) for number, text in enumerate(lines)
    )


def _points(places: Iterable[_Point]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in places)


def _number(value: float) -> str:
    return f"{value:.1f}"
