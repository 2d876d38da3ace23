"""A class as a table for spreadsheets: one row per student, those who are missing too."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import tablib
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from evaluations.models import Classroom, Evaluation, ReviewDecision, shown_name
from evaluations.pages import board, rows, rubric
from evaluations.pages.board import StudentRow
from evaluations.rating import default_rubric

MIME_TYPES: Final = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
BOM: Final = "\ufeff"  # without it spreadsheets don't take a CSV for UTF-8
FORMULA: Final = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""What a spreadsheet may take for a formula, after blanks that it skips; full-width signs, too."""
UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # no workbook may hold them
DEFUSED: Final = "'"  # how spreadsheets themselves mark text that is none of their formulas

_HEAD: Final = (
    gettext_lazy("Name"),
    gettext_lazy("User name"),
    gettext_lazy("Handed in"),
    gettext_lazy("Status"),
    gettext_lazy("Error"),
    gettext_lazy("Overall"),
    gettext_lazy("Overall, by the program"),
)
_TAIL: Final = (
    gettext_lazy("Flags"),
    gettext_lazy("Comment"),
    gettext_lazy("Reviewed"),
    gettext_lazy("Released"),
    gettext_lazy("Rubric"),
    gettext_lazy("Model"),
)

Cell = str | float | datetime | None
ItemKey = tuple[str, str]
"""The keys of a criterion and of an item of it."""


@dataclass(frozen=True, slots=True)
class ExportTable:
    """Cells by row; each row is as long as `headers`. Text is as people wrote it: the formats defuse it."""

    title: str
    headers: list[str]
    rows: list[list[Cell]]

    def as_format(self, name: str) -> bytes:
        """The file in one of MIME_TYPES."""
        cells = [[_safe(cell) for cell in row] for row in self.rows]
        dataset = tablib.Dataset(*cells, headers=[_safe(header) for header in self.headers], title=self.title)
        if name == "csv":
            return (BOM + str(dataset.export("csv"))).encode()
        made: bytes = dataset.export("xlsx", freeze_panes=True)
        return made


def table(classroom: Classroom) -> ExportTable:
    """In the language of the request, by a constant number of queries."""
    found = board.students(classroom, rows.read_queue())
    rated = {row.student.pk: _Rated.of(row) for row in found if row.reviewed}
    titles: dict[str, str] = {}
    items: dict[ItemKey, str] = {}
    for each in rated.values():
        titles |= {key: title for key, title in each.titles.items() if key not in titles}
        items |= {key: words for key, words in each.statements.items() if key not in items}
    # A criterion's items follow it, those of versions that others were rated by included.
    columns = [(key, [item for item in items if item[0] == key]) for key in titles]
    people = _deciders([row.evaluation.pk for row in found if row.evaluation])
    return ExportTable(
        classroom.name,
        [*map(str, _HEAD), *_item_headers(columns, titles, items), *map(str, _TAIL)],
        [[*_head(row), *_scores(row, rated.get(row.student.pk), columns, people), *_tail(row)] for row in found],
    )


@dataclass(frozen=True, slots=True)
class _Rated:
    """A rating as it counts, by keys."""

    titles: dict[str, str]
    statements: dict[ItemKey, str]
    scores: dict[str, float]
    items: dict[ItemKey, Mapping[str, Any]]

    @classmethod
    def of(cls, row: StudentRow) -> _Rated:
        assert row.reviewed
        assert row.evaluation
        criteria = default_rubric.localized(row.reviewed.rows, rubric.language())
        # What levels called items are no yes/no statements.
        has_items = row.evaluation.method == Evaluation.Method.ITEMS
        items = {(each["key"], item["key"]): item for each in criteria for item in each["items"] if has_items}
        return cls(
            {each["key"]: each["title"] for each in criteria},
            {key: item["statement"] for key, item in items.items()},
            {each["key"]: each["score"] for each in criteria},
            items,
        )


Columns = Sequence[tuple[str, Sequence[ItemKey]]]


def _item_headers(columns: Columns, titles: Mapping[str, str], items: Mapping[ItemKey, str]) -> Iterator[str]:
    for key, its in columns:
        yield titles[key]
        for item in its:
            yield f"{titles[key]}: {items[item]}"
            yield _("%(item)s: decided by") % {"item": items[item]}


def _head(row: StudentRow) -> Iterator[Cell]:
    yield row.name
    yield row.student.username
    if row.shown is None:
        yield from ("", str(pgettext("a student’s video", "missing")), "", None, None)
        return
    yield localtime(row.shown.submission.created_at).replace(tzinfo=None, microsecond=0)  # no cell has a time zone
    yield str(row.shown.task.status.label)
    error = row.shown.error
    yield f"{error.title}. {row.shown.detail}".strip() if error else ""
    yield row.score
    yield row.evaluation.overall if row.evaluation else None


def _scores(
    row: StudentRow, rated: _Rated | None, columns: Columns, people: Mapping[tuple[int, str], str]
) -> Iterator[Cell]:
    for key, its in columns:
        yield rated.scores.get(key) if rated else None
        for item in its:
            found = rated.items.get(item) if rated else None
            yield _answer(found) if found else ""
            yield _decider(row, found, people) if found else ""


def _answer(item: Mapping[str, Any]) -> str:
    if item["credit"] is None:
        return _("doesn’t apply")
    return {1.0: _("yes"), 0.0: _("no")}.get(item["credit"], pgettext("an answer", "unsure"))


def _decider(row: StudentRow, item: Mapping[str, Any], people: Mapping[tuple[int, str], str]) -> str:
    if item["by_person"] and row.evaluation:
        return people.get((row.evaluation.pk, item["key"]), _("a teacher"))
    return _("the program")


def _deciders(evaluations: Sequence[int]) -> dict[tuple[int, str], str]:
    """Who decided an item last, by rating and item; who is gone by now has no name."""
    kind = ReviewDecision.Kind.ITEM
    found = ReviewDecision.objects.filter(evaluation__in=evaluations, kind=kind, by__isnull=False).select_related("by")
    return {(each.evaluation_id, each.key): shown_name(each.by) for each in found.order_by("pk") if each.by}


def _tail(row: StudentRow) -> Iterator[Cell]:
    rated = row.evaluation
    yield ", ".join(row.flags)
    yield row.standing.comment
    for holds in (row.standing.is_reviewed, row.is_released):
        yield (_("yes") if holds else _("no")) if rated else ""
    yield str(rated.rubric) if rated and rated.rubric else ""
    yield rated.model if rated else ""


def _safe(cell: Cell) -> Cell:
    """A text that no spreadsheet runs and every one can hold; numbers and times stay what they are."""
    if not isinstance(cell, str):
        return cell
    text = UNPRINTABLE.sub("", cell)
    return DEFUSED + text if FORMULA.match(text) else text
