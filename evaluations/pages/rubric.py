"""By what a class is rated, as students read it before they record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.forms import model_to_dict
from django.utils.translation import get_language

from evaluations.models import Classroom, Criterion, Item
from evaluations.rating import default_rubric, gates


@dataclass(frozen=True, slots=True)
class Rules:
    """What `_rubric.html` shows of a class."""

    classroom: Classroom
    criteria: list[dict[str, Any]]  # with the title, the weight and the items of each
    min_words: int = gates.MIN_WORDS
    min_seconds: float = gates.MIN_SECONDS


def rules(classrooms: Sequence[Classroom]) -> list[Rules]:
    """Those of each class, by one query for all of them."""
    items = Item.objects.filter(criterion__rubric__in={one.rubric_id for one in classrooms})
    in_order = items.select_related("criterion").order_by("criterion__position", "criterion", "position", "pk")
    criteria = [(criterion, list(rows)) for criterion, rows in groupby(in_order, key=lambda item: item.criterion)]
    return [
        Rules(one, _in_words([each for each in criteria if each[0].rubric_id == one.rubric_id])) for one in classrooms
    ]


def _in_words(criteria: Sequence[tuple[Criterion, list[Item]]]) -> list[dict[str, Any]]:
    """In the language of the request where they are IntroEval's own."""
    rows = [
        {"title": criterion.title, "weight": criterion.weight, "items": [model_to_dict(item) for item in items]}
        for criterion, items in criteria
    ]
    return default_rubric.localized(rows, language())


def language() -> str:
    """Of the request, ISO 639-1."""
    return (get_language() or "en").partition("-")[0]
