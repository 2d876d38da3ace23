"""Filters that format figures and codes for pages."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Final

from django import template
from django.conf import settings
from django.template.defaultfilters import floatformat
from django.utils.formats import date_format
from django.utils.timezone import localdate
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from evaluations.models import Classroom, Form
from evaluations.pages import charts
from evaluations.pages.speaking import Fact
from evaluations.uploads.privacy import retention

register = template.Library()
ALMOST_CERTAIN: Final = 0.9

_LABELS: Final = {
    "name": gettext_lazy("Name"),
    "age": gettext_lazy("Age"),
    "hobbies": gettext_lazy("Hobbies"),
    "career_goals": gettext_lazy("What you would like to become"),
    "strengths": gettext_lazy("What you are good at"),
    "experience": gettext_lazy("Experience"),
}
_FLAGS: Final = {
    "off_topic": gettext_lazy("It may be no introduction of the speaker."),
    "spoken_instructions": gettext_lazy("Something is said to the rater; it was masked, and counts for nothing."),
    "uncertain": gettext_lazy("The model is uncertain of some items; they count half."),
    "doubtful": gettext_lazy("Many words were hard to recognise."),
    "damaged": gettext_lazy("The file is damaged or ends early: some of it could not be heard."),
}


@register.filter
def kept_until(classroom: Classroom) -> date | None:
    """The last day on which what is handed in now is kept."""
    return retention.next_end(classroom, localdate())


@register.filter
def clock(seconds: float) -> str:
    """75.3 → 1:15."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


@register.simple_tag
def several_time_zones() -> bool:
    return bool(settings.SEVERAL_TIME_ZONES)


@register.filter(expects_localtime=True)
def moment(at: datetime) -> str:
    """Day and time: 27 Nov, 15:04."""
    return date_format(at, _("j M, H:i"))


@register.filter(expects_localtime=True)
def exact_moment(at: datetime) -> str:
    """… with seconds."""
    return date_format(at, _("j M, H:i:s"))


@register.filter
def bar(score: dict[str, Any]) -> charts.Block:
    """A score on a strip from 0 to 10."""
    return charts.block(0, score["score"], charts.HIGHEST)


@register.filter
def item_lines(score: dict[str, Any]) -> list[dict[str, Any]]:
    """A criterion's items with a sign and words for how they came out, and their points in words."""
    return [
        {**item, **_outcome(item["credit"]), "points": _points(item), "by_program": _program(item)}
        for item in score["items"]
    ]


def _outcome(credit: float | None) -> dict[str, str]:
    if credit is None:
        return {"mark": "none", "sign": "–", "label": _("doesn’t apply")}
    if credit == 1:
        return {"mark": "yes", "sign": "✓", "label": _("yes")}
    if credit == 0:
        return {"mark": "no", "sign": "✗", "label": _("no")}
    return {"mark": "half", "sign": "?", "label": _("uncertain")}


def _program(item: dict[str, Any]) -> str:
    """What the program answered, and how sure it was, in words."""
    if item["computed"]:
        words = {True: _("yes, computed"), False: _("no, computed"), None: _("doesn’t apply")}
        return words[item["program"]]
    if item["program"] is None or item["probability"] is None:
        return {True: _("yes"), False: _("no"), None: _("uncertain")}[item["program"]]
    sure = item["probability"] if item["program"] else 1 - item["probability"]
    if item["program"]:
        return _("yes, almost certainly") if sure >= ALMOST_CERTAIN else _("yes, probably")
    return _("no, almost certainly") if sure >= ALMOST_CERTAIN else _("no, probably")


def _points(item: dict[str, Any]) -> str:
    if item["credit"] is None:
        return ""
    earned = floatformat(item["points"] * item["credit"], -1)
    return ngettext("%(earned)s of %(points)s point", "%(earned)s of %(points)s points", item["points"]) % {
        "earned": earned,
        "points": item["points"],
    }


@register.filter
def flag_in_words(flag: str) -> str:
    return str(_FLAGS[flag])


@register.filter
def form_answers(form: Form) -> list[Fact]:
    """The form's fields with their answers; the value is empty where there is none."""
    return [Fact(str(_LABELS[field]), _text(value)) for field, value in form.answers().items()]


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(each) for each in value)
    return "" if value is None else str(value)
