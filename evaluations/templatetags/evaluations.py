"""Filters that format figures and codes for pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from django import template
from django.template.defaultfilters import capfirst, floatformat
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from evaluations.models import Criterion, Form
from evaluations.pages import charts
from evaluations.pages.speaking import Fact

register = template.Library()

_LABELS: Final = {
    "name": gettext_lazy("Name"),
    "age": gettext_lazy("Age"),
    "hobbies": gettext_lazy("Hobbies"),
    "career_goals": gettext_lazy("What you would like to become"),
    "strengths": gettext_lazy("What you are good at"),
    "experience": gettext_lazy("Experience"),
}
_LEVELS: Final = {
    "missing": pgettext_lazy("level", "missing"),
    "weak": pgettext_lazy("level", "weak"),
    "fair": pgettext_lazy("level", "fair"),
    "good": pgettext_lazy("level", "good"),
    "excellent": pgettext_lazy("level", "excellent"),
}


@register.filter
def clock(seconds: float) -> str:
    """75.3 → 1:15."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


@register.filter(expects_localtime=True)
def moment(at: datetime) -> str:
    """Day and time: 27 Nov, 15:04."""
    return date_format(at, _("j M, H:i"))


@register.filter(expects_localtime=True)
def exact_moment(at: datetime) -> str:
    """… with seconds."""
    return date_format(at, _("j M, H:i:s"))


@register.filter
def basis_in_words(score: dict[str, Any]) -> str:
    """The parts of a score in words, or its basis where it has none."""
    parts = []
    if score.get("judged") is not None:
        level = _LEVELS.get(score["judged"], score["judged"])
        parts.append(_("Judged by the model: %(level)s.") % {"level": level})
    if score.get("measured") is not None:
        parts.append(_("Measured: %(points)s.") % {"points": floatformat(score["measured"], 1)})
    return " ".join(parts) or f"{capfirst(str(Criterion.Basis(score['basis']).label))}."


@register.filter
def bar(score: dict[str, Any]) -> charts.Block:
    """A score on a strip from 0 to 10."""
    return charts.block(0, score["score"], charts.HIGHEST)


@register.filter
def form_answers(form: Form) -> list[Fact]:
    """The form's fields with their answers; the value is empty where there is none."""
    return [Fact(str(_LABELS[field]), _text(value)) for field, value in form.answers().items()]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return "" if value is None else str(value)
