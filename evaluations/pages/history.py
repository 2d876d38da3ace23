"""What became of a rating, in words: its versions, and what people decided on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.contrib.auth.models import User
from django.template.defaultfilters import floatformat
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from evaluations.access import permissions
from evaluations.actions.decisions import Kind
from evaluations.models import Evaluation, ReviewDecision, Submission, shown_name
from evaluations.pages import rubric
from evaluations.rating import default_rubric


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One event."""

    at: datetime
    who: str
    words: str
    reason: str = ""


def lines(found: Submission, viewer: User, decided: Sequence[ReviewDecision]) -> list[HistoryLine]:
    """The oldest first; `decided` are all decisions on it.

    Students see the ratings that count or counted, and no teacher's name.
    """
    staff = permissions.may_review(viewer, found.classroom)
    counted = {found.evaluation_id, *(one.value for one in decided if one.kind == Kind.ADOPTED)}
    ratings = [one for one in found.ratings.select_related("rubric") if staff or one.pk in counted]
    statements = _statements(ratings)
    events = [_rated(one) for one in ratings]
    events += [_decided(one, found, viewer, statements, names=staff) for one in decided if one.kind != Kind.MARK]
    return sorted(events, key=lambda event: event.at)


def in_words(made: list[ReviewDecision], found: Submission, viewer: User) -> list[HistoryLine]:
    """The same of some decisions, for a teacher of the class."""
    statements = _statements(list(found.ratings.all()))
    return [_decided(one, found, viewer, statements, names=True) for one in made]


def _statements(ratings: list[Evaluation]) -> dict[str, str]:
    rows = [row for one in ratings for row in default_rubric.localized(one.scores, rubric.language())]
    return {item["key"]: item["statement"] for row in rows for item in row["items"]}


def _rated(rating: Evaluation) -> HistoryLine:
    facts = {"points": floatformat(rating.overall, 1), "model": rating.model}
    words = _("Rated: no scores.") if rating.overall is None else _("Rated %(points)s of 10 (%(model)s).") % facts
    return HistoryLine(rating.created_at, _("The program"), words)


def _decided(
    made: ReviewDecision, found: Submission, viewer: User, statements: Mapping[str, str], *, names: bool
) -> HistoryLine:
    words = _WORDS[Kind(made.kind)](made, statements)
    if made.undoes_id is not None:
        words = _("Taken back: %(words)s") % {"words": words}
    return HistoryLine(made.at, _who(made.by, found, viewer, names=names), words, made.reason)


def _who(user: User | None, found: Submission, viewer: User, *, names: bool) -> str:
    if user is None:
        return _("Somebody who has no account any more")
    if user.pk == viewer.pk:
        return _("You")
    if names:
        return shown_name(user)
    return _("The student") if user.pk == found.student_id else _("Your teacher")


def _item(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    statement = capfirst(statements.get(made.key, made.key))
    said = {True: _("yes"), False: _("no"), None: _("as the program answered")}[made.value]
    return _("“%(statement)s”: %(answer)s.") % {"statement": statement, "answer": said}


def _overall(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    if made.value is None:
        return _("The overall score is computed from the items.")
    return _("The overall score is %(points)s.") % {"points": floatformat(made.value, 1)}


def _comment(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    return _("Comment: “%(text)s”") % {"text": made.value} if made.value else _("No comment any more.")


def _reviewed(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    return _("Reviewed.") if made.value else _("Not reviewed any more.")


def _released(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    return _("Shown to the student.") if made.value else _("Hidden from the student again.")


def _adopted(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    return _("Another rating counts from here on.")


def _word(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    if made.value is None:
        return _("Transcript: “%(before)s” is as it was heard again.") % {"before": made.before}
    return _("Transcript: “%(before)s” was “%(text)s”.") % {"before": made.before, "text": made.value}


def _appeal(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    return _("Asked for another look: “%(text)s”") % {"text": made.value}


def _answer(made: ReviewDecision, statements: Mapping[str, str]) -> str:
    return _("Answered: “%(text)s”") % {"text": made.value}


_WORDS: Final[Mapping[Kind, Callable[[ReviewDecision, Mapping[str, str]], str]]] = {
    Kind.ITEM: _item,
    Kind.OVERALL: _overall,
    Kind.COMMENT: _comment,
    Kind.REVIEWED: _reviewed,
    Kind.RELEASED: _released,
    Kind.ADOPTED: _adopted,
    Kind.WORD: _word,
    Kind.APPEAL: _appeal,
    Kind.ANSWER: _answer,
}
