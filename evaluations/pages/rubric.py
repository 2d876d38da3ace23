"""By what a class is rated, as students read it before they record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.conf import settings
from django.forms import model_to_dict
from django.utils.translation import get_language

from evaluations.errors import catalogue
from evaluations.models import Classroom, Criterion, Item
from evaluations.rating import default_rubric, gates
from queueing.engines.speech import models


@dataclass(frozen=True, slots=True)
class Rules:
    """What `_rubric.html` shows of a class."""

    classroom: Classroom
    criteria: list[dict[str, Any]]  # with the title, the weight and the items of each
    min_words: int = gates.MIN_WORDS
    min_seconds: float = gates.MIN_SECONDS
    only: str = ""  # the one language that is understood here, if the class speaks another


def rules(classrooms: Sequence[Classroom]) -> list[Rules]:
    """Those of each class, by one query for all of them."""
    items = Item.objects.filter(criterion__rubric__in={one.rubric_id for one in classrooms})
    in_order = items.select_related("criterion__rubric").order_by("criterion__position", "criterion", "position", "pk")
    criteria = [(criterion, list(rows)) for criterion, rows in groupby(in_order, key=lambda item: item.criterion)]
    by_rubric = {one.rubric_id: [each for each in criteria if each[0].rubric_id == one.rubric_id] for one in classrooms}
    return [_rules(one, by_rubric[one.rubric_id]) for one in classrooms]


def _rules(classroom: Classroom, criteria: list[tuple[Criterion, list[Item]]]) -> Rules:
    spoken = criteria[0][0].rubric.language if criteria else ""
    return Rules(classroom, _in_words(criteria), only=only_understood(spoken))


def only_understood(spoken: str) -> str:
    """The name of the only language that is understood here, if another one is `spoken` (ISO 639-1)."""
    only = models.only_language(settings.STT_MODEL) if settings.STT_ENGINE != "simulated" else None
    return catalogue.language_name(only) if only and spoken and spoken != only else ""


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
