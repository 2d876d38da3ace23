"""Figures and codes as people read them."""

from __future__ import annotations

from typing import Any, Final

from django import template

from evaluations import charts
from evaluations.models import Criterion, Form
from evaluations.speaking import Fact

register = template.Library()

_LABELS: Final = {"career_goals": "What you would like to become", "strengths": "What you are good at"}


@register.filter
def clock(seconds: float) -> str:
    """75.3 → 1:15."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


@register.filter
def basis_in_words(score: dict[str, Any]) -> str:
    """Where a score comes from, with the parts it was made of."""
    parts = []
    if score.get("judged") is not None:
        parts.append(f"Judged by the model: {score['judged']}.")
    if score.get("measured") is not None:
        parts.append(f"Measured: {score['measured']:.1f}.")
    return " ".join(parts) or Criterion.Basis(score["basis"]).label.capitalize() + "."


@register.filter
def bar(score: dict[str, Any]) -> charts.Block:
    """A score on a strip from 0 to 10."""
    return charts.block(0, score["score"], charts.HIGHEST)


@register.filter
def form_answers(form: Form) -> list[Fact]:
    """The form's fields with what was said; the value is empty where nothing was."""
    return [
        Fact(_LABELS.get(field, field.replace("_", " ").capitalize()), _text(value))
        for field, value in form.answers().items()
    ]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return "" if value is None else str(value)
