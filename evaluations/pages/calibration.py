"""How far the program's ratings of a class are from those that its teachers marked blind, and what is left to mark."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from django.contrib.auth.models import User

from evaluations.actions import marking
from evaluations.models import Classroom, Evaluation
from evaluations.pages import rubric
from evaluations.rating import default_rubric
from evaluations.rating.calibration.agreement import CEILING, CROWD, ENOUGH, TOP_BAND

COUNT: Final = ENOUGH


@dataclass(frozen=True, slots=True)
class ToMark:
    """One of the ratings that a person is to mark. Whose it is would sway the marks, so it has a number."""

    number: int
    evaluation: Evaluation
    is_marked: bool


def of(classroom: Classroom, viewer: User) -> dict[str, Any]:
    """The context of `calibration.html`."""
    found = to_mark(classroom, viewer)
    agreed, spread = marking.agreement_of(classroom), marking.spread_of(classroom)
    titles = item_titles(classroom)
    return {
        "classroom": classroom,
        "to_mark": found,
        "next": next((each for each in found if not each.is_marked), None),
        "done": sum(each.is_marked for each in found),
        "agreement": agreed,
        "items": [
            (titles.get(item.key, item.key), item, None if math.isnan(item.kappa) else item.kappa)
            for item in agreed.items
        ],
        "weighted_kappa": _known(agreed.weighted_kappa),
        "bias": _known(agreed.bias),
        "right_percent": _percent(agreed.right),
        "enough": ENOUGH,
        "everybody": [titles.get(key, key) for key in spread.ceiling],
        "nobody": [titles.get(key, key) for key in spread.floor],
        "spread": spread,
        "top_percent": _percent(spread.top_share),
        "top_from": TOP_BAND,
        "crowd_percent": _percent(CROWD),
        "ceiling_percent": _percent(CEILING),
    }


def to_mark(classroom: Classroom, viewer: User) -> list[ToMark]:
    found = marking.to_mark(classroom, viewer, COUNT)
    return [ToMark(number, each, is_marked) for number, (each, is_marked) in enumerate(found, start=1)]


def questions(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The items to be marked, without the program's answers; IntroEval's own are in the language of the request."""
    asked = set(marking.asked_items(evaluation))
    rows = default_rubric.localized(evaluation.scores, rubric.language())
    return [
        {"key": item["key"], "statement": item["statement"]}
        for row in rows
        for item in row["items"]
        if item["key"] in asked
    ]


def item_titles(classroom: Classroom) -> dict[str, str]:
    """By key, of the items of the class's counting ratings."""
    return {
        item["key"]: item.get("title") or item["key"]
        for evaluation in marking.counting_ratings(classroom)
        for row in default_rubric.localized(evaluation.scores, rubric.language())
        for item in row["items"]
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else round(100 * share)
