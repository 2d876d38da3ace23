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

# Of a mind map: two columns beside a trunk, as wide as a phone, so that its words stay readable there.
MAP_WIDTH = 340
_TRUNK, _COLUMN = MAP_WIDTH / 2, 150  # where the trunk is; how wide a column of leaves
_SPINE, _LEAF = 14, 22  # from the trunk to where leaves hang, and to their words
_TOPIC_HEIGHT, _MAP_LINE, _LEAF_GAP, _ROW_GAP, _EDGE = 24, 16, 6, 14, 6
_LEAF_CHARACTERS, _LEAF_LINES, _CENTRE_CHARACTERS, _CENTRE_LINES = 19, 3, 20, 2


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


@dataclass(frozen=True, slots=True)
class MapLeaf:
    """A few words at the end of a curve; the box around them can be hit."""

    lines: tuple[ChartText, ...]
    curve: str
    box_x: str
    box_y: str
    box_width: str
    box_height: str
    start: float | None  # seconds: where it is said, if it can be heard


@dataclass(frozen=True, slots=True)
class MapBranch:
    title: ChartText
    curve: str  # from the trunk
    anchor: str  # which end of its words is at the trunk: start or end
    leaves: tuple[MapLeaf, ...]


@dataclass(frozen=True, slots=True)
class MapDrawing:
    centre: tuple[ChartText, ...]
    centre_y: str  # of its box
    centre_height: str
    branches: tuple[MapBranch, ...]
    height: str
    width: int = MAP_WIDTH


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


MapLeaves = Sequence[tuple[str, float | None]]
"""Words, and the second at which they are said, if they can be heard."""

MapWords = Sequence[tuple[str, MapLeaves]]
"""Per branch its title and its leaves."""


def mind_map(centre: str, branches: MapWords) -> MapDrawing:
    """A mind map: the branches alternate between the sides of a trunk, half of them above the centre, half below."""
    above = (len(branches) + 1) // 2 if len(branches) > 2 else len(branches)
    rows = [branches[:above], branches[above:]]
    heights = [max((_branch_height(leaves) for _, leaves in row), default=0.0) for row in rows]
    lines = wrap(centre, _CENTRE_CHARACTERS, max_lines=_CENTRE_LINES, placeholder="…")
    box = _MAP_LINE * len(lines) + 2 * _LEAF_GAP
    top = _EDGE + heights[0] + _ROW_GAP
    below = top + box + _ROW_GAP
    drawn = [
        _branch(title, leaves, y, top + box / 2, side=1 if number % 2 == 0 else -1)
        for row, y in zip(rows, (_EDGE, below), strict=True)
        for number, (title, leaves) in enumerate(row)
    ]
    return MapDrawing(
        centre=_lines(lines, _TRUNK, top + _LEAF_GAP),
        centre_y=_number(top),
        centre_height=_number(box),
        branches=tuple(drawn),
        height=_number((below + heights[1] if rows[1] else top + box) + _EDGE),
    )


def _branch(title: str, leaves: MapLeaves, y: float, centre_y: float, *, side: int) -> MapBranch:
    """One that begins at the height `y`, to the right of the trunk (`side` 1) or to the left of it (-1)."""
    middle = y + _TOPIC_HEIGHT / 2
    spine, words = _TRUNK + side * _SPINE, _TRUNK + side * _LEAF
    drawn, at = [], y + _TOPIC_HEIGHT
    for text, start in leaves:
        lines = _wrapped(text)
        height = _MAP_LINE * len(lines)
        drawn.append(
            MapLeaf(
                lines=_lines(lines, words, at),
                curve=f"M{_number(spine)},{_number(middle)} V{_number(at + 4)}"
                f" q0,{_number(_MAP_LINE / 2 - 4)} {_number(side * 6)},{_number(_MAP_LINE / 2 - 4)}",
                box_x=_number(words if side > 0 else words - _COLUMN + _LEAF),
                box_y=_number(at - _LEAF_GAP / 2),
                box_width=_number(_COLUMN - _LEAF),
                box_height=_number(height + _LEAF_GAP),
                start=start,
            )
        )
        at += height + _LEAF_GAP
    curve = (
        f"M{_number(_TRUNK)},{_number(centre_y)} C{_number(_TRUNK)},{_number(middle)}"
        f" {_number(_TRUNK)},{_number(middle)} {_number(spine)},{_number(middle)}"
    )
    anchor = "start" if side > 0 else "end"
    (shown,) = _lines([title], words, y + _LEAF_GAP / 2)
    return MapBranch(shown, curve, anchor, tuple(drawn))


def _branch_height(leaves: MapLeaves) -> float:
    return _TOPIC_HEIGHT + sum(_MAP_LINE * len(_wrapped(text)) + _LEAF_GAP for text, _ in leaves)


def _wrapped(text: str) -> list[str]:
    return wrap(text, _LEAF_CHARACTERS, max_lines=_LEAF_LINES, placeholder="…")


def _lines(lines: Sequence[str], x: float, top: float) -> tuple[ChartText, ...]:
    """Lines below each other; their baselines are given, the first one's words begin at `top`."""
    return tuple(
        ChartText(_number(x), _number(top + _MAP_LINE * (number + 0.75)), text) for number, text in enumerate(lines)
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
