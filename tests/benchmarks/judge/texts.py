"""What is rated: the texts of tests/gold, the adversarial ones a second time without their orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tests.gold.material import load, sentences

LADDER, FAIRNESS, HONEST_PART, FURTHER = "ladder", "fairness", "honest part", "further"
MARKED: Final = ("introduction", "adversarial", "other", LADDER, FURTHER)  # the kinds that have markings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GoldText:
    id: str
    kind: str  # one of MARKED, HONEST_PART or FAIRNESS
    language: str  # ISO 639-1
    text: str
    of: str = ""  # the adversarial text whose part it is, or the group in which it is compared
    rung: int = 0  # on the ladder, from 1


def gold_texts(only: int | None = None) -> list[GoldText]:
    """All of them, or of each kind at most so many, spread evenly over it; of FAIRNESS so many groups."""
    found = load("introductions")
    kinds = [[each for each in found if each["kind"] == kind] for kind in MARKED[:3]]
    ladder, groups = spread(load("ladder"), only), spread(load("fairness"), only)
    return [
        *(text for kind in kinds for each in spread(kind, only) for text in _with_honest_part(each)),
        *(GoldText(each["id"], LADDER, each["language"], each["text"], rung=each["rung"]) for each in ladder),
        *(text for group in groups for text in _group(group)),
    ]


def further_texts() -> list[GoldText]:
    """Those that one person alone marked: figures of their own, never mixed with the others'."""
    return [GoldText(each["id"], FURTHER, each["language"], each["text"]) for each in load("further")]


def spread(things: Sequence[T], count: int | None) -> Sequence[T]:
    """So many of them in their order, from the first to the last; all where there are no more."""
    if count is None or count >= len(things):
        return things
    if count == 1:
        return things[:1]
    return [things[round(at * (len(things) - 1) / (count - 1))] for at in range(count)]


def _with_honest_part(each: dict[str, Any]) -> list[GoldText]:
    whole = GoldText(each["id"], each["kind"], each["language"], each["text"])
    orders = set(each.get("orders", ()))
    if not orders:
        return [whole]
    kept = [said for number, said in enumerate(sentences(each["text"]), start=1) if number not in orders]
    return [whole, GoldText(f"{each['id']}/honest", HONEST_PART, each["language"], " ".join(kept), of=each["id"])]


def _group(group: dict[str, Any]) -> list[GoldText]:
    return [
        GoldText(f"{group['id']}/{number}", FAIRNESS, group["language"], text, of=group["id"])
        for number, text in enumerate(group["texts"], start=1)
    ]
