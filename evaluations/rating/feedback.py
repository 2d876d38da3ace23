"""Feedback that cites what was said, and suggestions from what was not, composed from a rating's items.

No model writes a word of it, so it can neither invent, nor obey what was spoken, nor ask for what was said. It is
composed in the language of the reader, as far as the items are: a teacher's own are in that of their rubric.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from evaluations.rating import instructions
from evaluations.rating.evidence import Sentence

MAX_SENTENCES = 3  # of feedback, and suggestions
MAX_QUOTE = 90  # characters
# These are shown by the form, too: where it holds an answer, the model's "false" was a miss, and no advice.
SHOWN_BY_FORM: Final = frozenset({"name", "interest", "future", "strength"})


@dataclass(frozen=True, slots=True)
class Material:
    """A student's own words, as far as they are needed to be specific."""

    answers: Mapping[str, object]  # the form's
    first: str  # sentence
    last: str


def material(sentences: Sequence[Sentence], answers: Mapping[str, object]) -> Material:
    """Of what was said, without what addresses the rater: it is never cited."""
    addressed = instructions.addressed(sentences)
    honest = [one.text for one in sentences if one.number not in addressed] or [""]
    return Material(answers, honest[0], honest[-1])


def remarks(rows: Sequence[Mapping[str, Any]], material: Material) -> list[str]:
    """Two or three sentences on what the talk has, the items with the most points first, each with another quote.

    `rows` are `Evaluation.scores`.
    """
    said = list(_given(rows))
    if not said:
        return [_("You said: “%(quote)s” Your listeners want to hear more.") % {"quote": shortened(material.first)}]
    return said[:MAX_SENTENCES]


def _given(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    quoted: set[int] = set()
    for item in _by_points(rows):
        fresh = [quote for quote in item["sentences"] if quote["sentence"] not in quoted]
        if item["credit"] == 1.0 and item.get("title") and fresh:
            quoted.add(fresh[0]["sentence"])
            yield _("You give your listeners %(thing)s: “%(quote)s”") % {
                "thing": item["title"],
                "quote": shortened(fresh[0]["quote"]),
            }


def advice(rows: Sequence[Mapping[str, Any]], material: Material) -> list[str]:
    """Suggestions from the items that were not shown, most points first, each with something of the student's own."""
    missed = [item for item in _by_points(rows) if item["credit"] == 0.0 and item.get("advice")]
    wanted = [item for item in missed if not (item["key"] in SHOWN_BY_FORM and material.answers.get(item["about"]))]
    own = _own(material)
    return [_advice(item, material, own) for item in wanted[:MAX_SENTENCES]]


def _advice(item: Mapping[str, Any], material: Material, own: list[str]) -> str:
    tip = item["advice"]
    if item["sentences"]:  # those that show what is wrong
        quote = shortened(item["sentences"][0]["quote"])
        return _("%(advice)s You said: “%(quote)s”") % {"advice": tip, "quote": quote}
    if start := _text(material.answers.get(item["about"])) or (own.pop(0) if own else ""):
        own_words = shortened(start).rstrip(".!, ")  # the sentence that they stand in has an end of its own
        return _("%(advice)s You could start from “%(own)s”.") % {"advice": tip, "own": own_words}
    return _("%(advice)s Your last words were: “%(quote)s”") % {"advice": tip, "quote": shortened(material.last)}


def shortened(text: str) -> str:
    """A quote of at most MAX_QUOTE characters, cut between words."""
    if len(text) <= MAX_QUOTE:
        return text
    return f"{text[:MAX_QUOTE].rsplit(' ', 1)[0].rstrip(',;: ')} …"


def _by_points(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    items = [item for row in rows for item in row["items"]]
    return sorted(items, key=lambda item: -item["points"])


def _own(material: Material) -> list[str]:
    """The form's answers, one of each field, the most telling first."""
    fields = ("experience", "hobbies", "strengths", "career_goals")
    return [text for field in fields if (text := _text(material.answers.get(field)))]


def _text(answer: object) -> str:
    """One answer of a field: the first of several."""
    if isinstance(answer, list):
        return str(answer[0]) if answer else ""
    return "" if answer is None else str(answer)
