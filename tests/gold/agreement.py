"""How far two markings agree. `python -m tests.gold.agreement` prints it for each item of the gold set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from evaluations.rating.calibration.agreement import accuracy, kappa
from tests.gold.material import load


def table(first: dict[str, Any], second: dict[str, Any], keys: Sequence[str]) -> str:
    """A Markdown table: per item the trues of both markings, how many texts they mark apart, accuracy and kappa."""
    rows = ["| item | A true | B true | apart | accuracy | kappa |", "|---|---|---|---|---|---|"]
    everything: tuple[list[bool], list[bool]] = ([], [])
    for key in keys:
        a, b = ([marking[text]["items"][key] for text in first] for marking in (first, second))
        rows.append(_row(key, a, b))
        everything[0].extend(a)
        everything[1].extend(b)
    return "\n".join([*rows, _row("all", *everything)])


def _row(title: str, a: Sequence[bool], b: Sequence[bool]) -> str:
    apart = sum(x != y for x, y in zip(a, b, strict=True))
    return f"| {title} | {sum(a)} | {sum(b)} | {apart} | {accuracy(a, b):.3f} | {kappa(a, b):.2f} |"


if __name__ == "__main__":
    keys = [item["key"] for item in load("items")]
    sys.stdout.write(table(load("markings-a"), load("markings-b"), keys) + "\n")
