"""Some of many: those that a person looks at in place of all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def evenly(ordered: Sequence[T], count: int) -> list[T]:
    """`count` of them at even distances, the first and the last among them; all, where there are no more."""
    if count >= len(ordered):
        return list(ordered)
    if count < 2:
        return [ordered[len(ordered) // 2]] if count else []
    step = (len(ordered) - 1) / (count - 1)
    return [ordered[round(place * step)] for place in range(count)]
