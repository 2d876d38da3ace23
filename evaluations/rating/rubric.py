"""A rubric as data: criteria made of yes/no items with points, independent of the database.

An item is one statement about an introduction that its words show or don't show. A criterion's score is the share of
its points that were earned, on the scale from 1 to 10. At least one of its items is hard, and heavy enough that a score
above 8 needs it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from evaluations.rating.checks import CHECKS
from evaluations.rating.signs import SIGNS

LOWEST, HIGHEST = 1.0, 10.0
NEEDS_A_HARD_ITEM = 8.0  # a score above it
MAX_ITEMS = 6  # of a criterion


class BadRubricError(ValueError):
    """Nothing can be rated by it; the message says why."""


@dataclass(frozen=True, slots=True)
class ItemSpec:
    """One yes/no statement with points.

    `computed` names a function of `evaluations.rating.checks` where words alone decide; "" is asked of the model.
    `sign` names one of `evaluations.rating.signs`, by which the sentences that can show it are known; "": any can.
    """

    key: str
    statement: str  # as the model reads it and students do: "names a concrete job or field for the future"
    points: int
    title: str = ""  # as feedback names it: "a concrete plan"
    about: str = ""  # a field of the form that belongs to it: its answers are material for advice
    hard: bool = False
    whole: bool = False  # of the talk as a whole: no single sentence shows it
    computed: str = ""
    sign: str = ""
    yes: str = ""  # an example sentence that shows it
    no: str = ""  # one that does not, though it looks like it
    advice: str = ""  # what to do when it is missing, for the student

    @property
    def asked(self) -> bool:
        return not self.computed


@dataclass(frozen=True, slots=True)
class CriterionSpec:
    key: str
    title: str
    items: tuple[ItemSpec, ...]
    weight: float = 1.0

    @property
    def points(self) -> int:
        return sum(item.points for item in self.items)


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """A speech and the right answers to it, for the model: item → the numbers of the sentences that show it, none of
    them where it is false."""

    sentences: tuple[str, ...]
    answers: Mapping[str, tuple[int, ...]]

    def as_dict(self) -> dict[str, Any]:
        return {"sentences": list(self.sentences), "answers": {key: list(shown) for key, shown in self.answers.items()}}


@dataclass(frozen=True)
class RubricSpec:
    """A version of a rubric: what one rating is made by."""

    name: str
    version: int
    language: str  # of its words, "en" or "de"
    criteria: tuple[CriterionSpec, ...]
    examples: tuple[WorkedExample, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that can change a score, in hexadecimal."""
        content = {
            "criteria": [_content(criterion) for criterion in self.criteria],
            "examples": [example.as_dict() for example in self.examples],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()

    def items(self) -> Iterator[ItemSpec]:
        for criterion in self.criteria:
            yield from criterion.items

    def asked(self) -> list[ItemSpec]:
        """The items that the model is asked for, in the rubric's order."""
        return [item for item in self.items() if item.asked]

    def worked_examples(self) -> list[WorkedExample]:
        """Those that have an answer to each item that is asked: a rubric may have been changed since."""
        keys = {item.key for item in self.asked()}
        return [example for example in self.examples if keys <= example.answers.keys()]

    def validate(self) -> None:
        """
        Raises:
            BadRubricError: there is nothing to score by, a key occurs twice, a check or a sign is unknown, or a
                criterion can be passed above NEEDS_A_HARD_ITEM without a hard item.
        """
        keys = [item.key for item in self.items()]
        if not self.criteria or not keys:
            raise BadRubricError("The rubric has no items.")
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise BadRubricError(f"These keys occur twice: {', '.join(twice)}.")
        if sum(criterion.weight for criterion in self.criteria) <= 0:
            raise BadRubricError("No criterion has a weight.")
        for criterion in self.criteria:
            _validate(criterion)


def _content(criterion: CriterionSpec) -> dict[str, Any]:
    """Without an empty sign: a version keeps the digest that it had before there were any."""
    content = asdict(criterion)
    content["items"] = [
        {name: value for name, value in item.items() if name != "sign" or value} for item in content["items"]
    ]
    return content


def _validate(criterion: CriterionSpec) -> None:
    if not 1 <= len(criterion.items) <= MAX_ITEMS:
        raise BadRubricError(f"{criterion.title} has {len(criterion.items)} items; it needs 1 to {MAX_ITEMS}.")
    for item in criterion.items:
        if item.points < 1:
            raise BadRubricError(f"{item.key} has no points.")
        if item.computed and item.computed not in CHECKS:
            raise BadRubricError(f"{item.key} is computed by {item.computed!r}, which there is not.")
        if item.sign and item.sign not in SIGNS:
            raise BadRubricError(f"{item.key} has the sign {item.sign!r}, which there is not.")
    easy = sum(item.points for item in criterion.items if not item.hard)
    if LOWEST + (HIGHEST - LOWEST) * easy / criterion.points > NEEDS_A_HARD_ITEM:
        raise BadRubricError(f"{criterion.title} can be passed above {NEEDS_A_HARD_ITEM:g} without a hard item.")
