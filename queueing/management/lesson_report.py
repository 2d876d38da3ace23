"""A lesson's figures as they are printed: as text, JSON, CSV, and a page."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import StringIO
from typing import Final

from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime

from queueing.management.base import table
from queueing.report import durations
from queueing.report.lesson import LabTarget, Lesson, TimeSpread

Row = tuple[str, str, object]
"""Section, name, value."""

WORDS: Final = {True: "reached", False: "MISSED", None: "-"}


def as_json(found: Lesson) -> str:
    return json.dumps(found.as_dict(), indent=2)


def as_csv(found: Lesson) -> str:
    out = StringIO()
    writer = csv.writer(out)
    writer.writerow(("section", "name", "value"))
    writer.writerows(rows(found))
    return out.getvalue()


def as_html(found: Lesson) -> str:
    """A page that needs nothing else."""
    table_rows = format_html_join("\n", "<tr><td>{}</td><th scope=row>{}</th><td>{}</td></tr>", rows(found))
    head = "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>{0}</title><h1>{0}</h1>"
    return format_html(head + "\n<table>\n{1}\n</table></html>", "Report of a lesson", table_rows)


def as_text(found: Lesson) -> str:
    return "\n".join(_lines(found))


def rows(found: Lesson) -> Iterator[Row]:
    """Every figure, the same for all shapes."""
    yield "lesson", "from", f"{localtime(found.since):%Y-%m-%d %H:%M:%S}"
    yield "lesson", "to", f"{localtime(found.until):%Y-%m-%d %H:%M:%S}"
    yield "lesson", "handed in", found.handed_in
    yield "lesson", "students", found.students
    yield from (("lesson", state, number) for state, number in found.states.items())
    yield "lesson", "makespan, seconds", _or_dash(found.makespan_seconds)
    yield "lesson", "results per hour", _or_dash(found.per_hour)
    yield "lesson", "hand-overs of the GPU", found.hand_overs
    for name, spread in (("result", found.waits), *found.stages.items()):
        section = "waits" if name == "result" else "stages"
        yield from _spread(section, name, spread)
    yield from (("failures", code, number) for code, number in found.errors.items())
    for target in found.targets:
        yield "targets", f"{target.name} ({target.wanted})", f"{target.was} {WORDS[target.reached]}"


def _spread(section: str, name: str, spread: TimeSpread | None) -> Iterable[Row]:
    if spread:
        for figure in ("mean", "p50", "p90", "longest"):
            yield section, f"{name}, {figure}, seconds", getattr(spread, figure)


def _lines(found: Lesson) -> Iterator[str]:
    yield f"{localtime(found.since):%d %b %Y, %H:%M} to {localtime(found.until):%H:%M}"
    states = ", ".join(f"{number} {state}" for state, number in found.states.items())
    yield f"{found.handed_in} videos of {found.students} students: {states or 'none'}"
    if found.makespan_seconds is not None:
        yield f"{durations.spoken(found.makespan_seconds)} in all, {found.per_hour} results per hour"
    spreads = [("handing in to result", found.waits), *found.stages.items()]
    yield ""
    yield from table(
        "<>>>>>",
        ["seconds", "count", "mean", "p50", "p90", "longest"],
        [
            [name, str(one.count), *(f"{value:.1f}" for value in (one.mean, one.p50, one.p90, one.longest))]
            for name, one in spreads
            if one
        ],
    )
    if found.errors:
        yield ""
        yield "failed: " + ", ".join(f"{code} {number}" for code, number in found.errors.items())
    yield ""
    yield from table("<>>>", ["target", "wanted", "was", ""], [_target(one) for one in found.targets])


def _target(one: LabTarget) -> list[str]:
    return [one.name, one.wanted, one.was, WORDS[one.reached]]


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


SHAPES: Final[Mapping[str, Callable[[Lesson], str]]] = {
    "text": as_text,
    "json": as_json,
    "csv": as_csv,
    "html": as_html,
}
