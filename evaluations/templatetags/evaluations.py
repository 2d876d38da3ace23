"""Figures and codes as people read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django import template

from evaluations import errors
from evaluations.models import Criterion, Form
from queueing.models import Attempt
from queueing.states import Stage

register = template.Library()

_ENDINGS: Final = {
    "": "running",
    "succeeded": "done",
    "cancelled": "cancelled",
    "interrupted": "interrupted; it went on later",
    "infrastructure": "put back",
}
_LABELS: Final = {"career_goals": "What you would like to become", "strengths": "What you are good at"}


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str


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
def form_answers(form: Form) -> list[Fact]:
    """The form's fields with what was said; the value is empty where nothing was."""
    return [
        Fact(_LABELS.get(field, field.replace("_", " ").capitalize()), _text(value))
        for field, value in form.answers().items()
    ]


@register.filter
def speaking_facts(speech: dict[str, Any]) -> list[Fact]:
    """The measured facts that are there, in words."""
    known = [(label, speech.get(key), shown) for key, label, shown in _FACTS]
    return [Fact(label, shown(value)) for label, value, shown in known if value is not None]


@register.filter
def stage_label(stage: str) -> str:
    return Stage(stage).label.capitalize()


@register.filter
def outcome_in_words(attempt: Attempt) -> str:
    """How an attempt ended; for a failure the title that its error has everywhere."""
    if attempt.outcome in _ENDINGS and not attempt.error_code:
        return _ENDINGS[attempt.outcome]
    return errors.explain(attempt.error_code).title


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return "" if value is None else str(value)


def _fillers(counts: dict[str, int]) -> str:
    return (
        ", ".join(f"“{word}” {count}×" for word, count in sorted(counts.items(), key=lambda item: -item[1]))
        or "none heard"
    )


_FACTS: Final = (
    ("words", "Words", str),
    ("words_per_minute", "Pace", lambda value: f"{value:.0f} words a minute"),
    ("pauses", "Pauses of a second or more", str),
    ("longest_pause", "Longest pause", lambda value: f"{value:.1f} s"),
    ("fillers", "Filler words", _fillers),
    ("articulation", "Words heard clearly", lambda value: f"{value:.0%}"),
    ("speech_share", "Share of the time you spoke", lambda value: f"{value:.0%}"),
)
