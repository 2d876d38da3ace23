"""Figures, as tables for people or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Cell = str | float | Sequence[float]
Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the same columns; a column's name tells its unit."""

    key: str
    title: str
    rows: Sequence[Row]


def as_text(table: Table) -> str:
    """First column to the left, the others to the right; figures with three digits that count."""
    columns = list(table.rows[0]) if table.rows else []
    lines = [columns, *([_text(row[column]) for column in columns] for row in table.rows)]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return "\n".join([table.title, *(_line(line, widths) for line in lines)])


def as_json(tables: Iterable[Table]) -> str:
    return json.dumps({table.key: {"title": table.title, "rows": list(table.rows)} for table in tables}, indent=2)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        cell.rjust(width) if number else cell.ljust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  " + "  ".join([first, *others]).rstrip()


def _text(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Sequence):
        return " ".join(map(_text, cell))
    return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
