"""A rating with a person's decisions on top: arithmetic only. The program's answers stay beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evaluations.rating import scoring


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What counts of a rating.

    `rows` are `Evaluation.scores`; each item has in addition `program` (the program's answer: true, false, None) and
    `by_person` (whether a person decided it).
    """

    overall: float | None
    rows: list[dict[str, Any]]
    by_person: bool  # whether the overall score is a person's, not computed


def reviewed(
    scores: Sequence[Mapping[str, Any]], overall: float | None, items: Mapping[str, bool], total: float | None
) -> Reviewed:
    """
    Args:
        scores: `Evaluation.scores`.
        overall: the program's; None where nothing was rated.
        items: by key, what a person decided.
        total: the overall score that a person gave, 1–10; None: it is computed.
    """
    rows = [_row(row, items) for row in scores]
    computed = overall
    # Untouched, a rating keeps its score whatever made it: levels had no items to compute one from.
    if any(item["by_person"] for row in rows for item in row["items"]):
        computed = scoring.overall([(row["score"], row["weight"]) for row in rows])
    return Reviewed(computed if total is None else total, rows, total is not None)


def _row(row: Mapping[str, Any], decided: Mapping[str, bool]) -> dict[str, Any]:
    items = [_item(item, decided.get(item["key"])) for item in row["items"]]
    score = row["score"]
    if any(item["by_person"] for item in items):
        score = scoring.score((item["points"], item["credit"]) for item in items)
    return {**row, "items": items, "score": score}


def _item(item: Mapping[str, Any], decided: bool | None) -> dict[str, Any]:
    program = item.get("answer")
    if decided is None:
        return {**item, "program": program, "by_person": False}
    return {**item, "program": program, "by_person": True, "answer": decided, "credit": float(decided)}
