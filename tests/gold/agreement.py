"""How far two markings agree. `python -m tests.gold.agreement` prints it for each item of the gold set."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

from tests.gold.material import load


def accuracy(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """The share of equal labels of two markings of the same things, from 0 to 1."""
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """Cohen's kappa: the agreement beyond what chance would give (Cohen 1960, doi:10.1177/001316446002000104).

    1 is full agreement, 0 that of chance; NaN where both give everything the same label, which proves nothing.
    """
    observed, total = accuracy(first, second), len(first)
    counts, others = Counter(first), Counter(second)
    expected = sum(counts[label] * others[label] for label in counts) / total**2
    return math.nan if expected == 1 else (observed - expected) / (1 - expected)


def quadratic_weighted_kappa(first: Sequence[float], second: Sequence[float]) -> float:
    """Cohen's kappa for ordered labels, by the squared distance (Cohen 1968, doi:10.1037/h0026256).

    1 - (mean squared distance of the pairs) / (mean squared distance of all combinations); NaN as for `kappa`.
    """
    observed = sum((a - b) ** 2 for a, b in zip(first, second, strict=True)) / len(first)
    expected = sum((a - b) ** 2 for a in first for b in second) / (len(first) * len(second))
    return math.nan if expected == 0 else 1 - observed / expected


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
