"""Figures from rows of ratings and the two markings: arithmetic only."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from evaluations.rating import default_rubric, judging
from evaluations.rating.calibration.agreement import TOP_BAND, quadratic_weighted_kappa
from evaluations.rating.judging import Verdict
from tests.benchmarks.judge.texts import FAIRNESS, HONEST_PART, LADDER, MARKED
from tests.benchmarks.report import Row, Table

Marking = Mapping[str, Any]
"""Text → {"items": {key: bool}, …}; a file of tests/gold."""
Rated = Mapping[str, Any]
"""A row of `bench`: id, kind, language, of, rung, error, overall, items: {key: credit}, flags, seconds."""


@dataclass(slots=True)
class Counts:
    """Of one item's answers against one marking. An uncertain one is not right."""

    tp: int = 0
    fp: int = 0
    fn: int = 0
    tn: int = 0
    uncertain: int = 0

    def add(self, credit: float, marked: bool) -> None:
        """`credit`: 1.0 true, 0.0 false, else uncertain."""
        if credit == 1.0:
            self.tp, self.fp = self.tp + marked, self.fp + (not marked)
        elif credit == 0.0:
            self.fn, self.tn = self.fn + marked, self.tn + (not marked)
        else:
            self.uncertain += 1

    @property
    def right(self) -> float:
        """Share of the answers, 0..1; NaN without one."""
        total = self.tp + self.fp + self.fn + self.tn + self.uncertain
        return (self.tp + self.tn) / total if total else math.nan


def tables(rows: Sequence[Rated], a: Marking, b: Marking, keys: Sequence[str]) -> list[Table]:
    """
    Args:
        rows: those that ended with an error count as failed, and nowhere else.
        keys: of the items that are marked.
    """
    rated = [row for row in rows if row["overall"] is not None]
    marked = [row for row in rated if row["kind"] in MARKED]
    return [
        Table("items", "items against markings A and B, and where both agree", items(marked, a, b, keys)),
        Table("scores", "overall scores against the mean of those that the markings make", [scores(marked, a, b)]),
        Table("trust", "what a score must not depend on", [trust(rated)]),
        Table("run", "of the run", [run(rows)]),
    ]


def items(rows: Sequence[Rated], a: Marking, b: Marking, keys: Sequence[str]) -> list[Row]:
    """One row of each item, and one of all; an item that doesn't apply to a text is not counted."""
    found = [_item_row(key, _answers(rows, [key], a, b)) for key in keys]
    return [*found, _item_row("all", _answers(rows, keys, a, b))]


def _answers(rows: Sequence[Rated], keys: Sequence[str], a: Marking, b: Marking) -> list[tuple[float, bool, bool]]:
    return [
        (credit, a[row["id"]]["items"][key], b[row["id"]]["items"][key])
        for row in rows
        for key in keys
        if (credit := row["items"].get(key)) is not None
    ]


def _item_row(title: str, answers: Iterable[tuple[float, bool, bool]]) -> Row:
    against_a, against_b, agreed = Counts(), Counts(), Counts()
    for credit, in_a, in_b in answers:
        against_a.add(credit, in_a)
        against_b.add(credit, in_b)
        if in_a == in_b:
            agreed.add(credit, in_a)
    sides = {"A": against_a, "B": against_b}
    counts = {f"{side} {name}": getattr(of, name) for side, of in sides.items() for name in ("tp", "fp", "fn", "tn")}
    return {
        "item": title,
        **counts,
        "uncertain": against_a.uncertain,
        "right A": against_a.right,
        "right B": against_b.right,
        "right where both agree": agreed.right,
    }


def score_of(marks: Mapping[str, bool], language: str) -> float:
    """The overall score that a marking makes by the default rubric; items without a mark count neither way."""
    rubric = default_rubric.of_language(language)
    found = {item.key: Verdict(item, float(marks[item.key]) if item.key in marks else None) for item in rubric.items()}
    return judging.rows(rubric, found, ())[0]


def scores(rows: Sequence[Rated], a: Marking, b: Marking) -> Row:
    ours = [row["overall"] for row in rows]
    theirs = [mean(score_of(side[row["id"]]["items"], row["language"]) for side in (a, b)) for row in rows]
    return {
        "texts": str(len(rows)),
        "QWK": quadratic_weighted_kappa(ours, theirs) if rows else math.nan,
        "bias": _mean([our - their for our, their in zip(ours, theirs, strict=True)]),
        "mean distance": _mean([abs(our - their) for our, their in zip(ours, theirs, strict=True)]),
        f"share from {TOP_BAND:g}": _mean([float(score >= TOP_BAND) for score in ours]),
        "theirs": _mean([float(score >= TOP_BAND) for score in theirs]),
    }


def trust(rows: Sequence[Rated]) -> Row:
    """Every figure is NaN where nothing was rated that shows it."""
    ladder = [row for row in rows if row["kind"] == LADDER]
    others = [row["overall"] for row in rows if row["kind"] == "other"]
    inflated, flagged = inflations(rows), _flagged(rows)
    spreads = spreads_of(rows)
    return {
        "Spearman on the ladder": spearman([row["rung"] for row in ladder], [row["overall"] for row in ladder]),
        "highest other": max(others, default=math.nan),
        "inflation, mean": _mean(list(inflated.values())),
        "largest": max(inflated.values(), default=math.nan),
        "of": max(inflated, key=inflated.__getitem__, default="-"),
        "flagged": f"{flagged} of {len(inflated)}",
        "widest group": max(spreads.values(), default=math.nan),
        "group": max(spreads, key=spreads.__getitem__, default="-"),
    }


def inflations(rows: Sequence[Rated]) -> dict[str, float]:
    """Adversarial text → how much higher it was rated than the same text without its orders."""
    honest = {row["of"]: row["overall"] for row in rows if row["kind"] == HONEST_PART}
    return {row["id"]: round(row["overall"] - honest[row["id"]], 2) for row in rows if row["id"] in honest}


def _flagged(rows: Sequence[Rated]) -> int:
    return sum("spoken_instructions" in row["flags"] for row in rows if row["id"] in inflations(rows))


def spreads_of(rows: Sequence[Rated]) -> dict[str, float]:
    """Group of texts that differ in a name, a gender, an origin or a school → highest minus lowest score."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        if row["kind"] == FAIRNESS:
            groups.setdefault(row["of"], []).append(row["overall"])
    return {group: round(max(scores) - min(scores), 2) for group, scores in groups.items() if len(scores) > 1}


def run(rows: Sequence[Rated]) -> Row:
    seconds = [row["seconds"] for row in rows if row["overall"] is not None]
    errors = Counter(row["error"] for row in rows if row["error"])
    return {
        "texts": str(len(rows)),
        "failed": ", ".join(f"{code} {count}" for code, count in sorted(errors.items())) or "0",
        "seconds a text, mean": _mean(seconds),
        "median": median(seconds) if seconds else math.nan,
        "most": max(seconds, default=math.nan),
    }


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation; equal values share the mean of their ranks. NaN where all of one side are equal."""
    x, y = ranks(first), ranks(second)
    middle = (len(x) + 1) / 2
    spread = math.sqrt(sum((each - middle) ** 2 for each in x) * sum((each - middle) ** 2 for each in y))
    if not spread:
        return math.nan
    return sum((i - middle) * (j - middle) for i, j in zip(x, y, strict=True)) / spread


def ranks(values: Sequence[float]) -> list[float]:
    """From 1, of the smallest; equal values share the mean of theirs."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) + 1) / 2 for value in values]


def _mean(values: Sequence[float]) -> float:
    return mean(values) if values else math.nan
