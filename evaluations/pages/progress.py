"""A student's recordings in one class, and how the score of each criterion changed between them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.models import User
from django.template.defaultfilters import floatformat
from django.utils.translation import gettext as _

from evaluations.access import permissions
from evaluations.actions import decisions
from evaluations.models import Evaluation, Submission
from evaluations.pages import charts


@dataclass(frozen=True, slots=True)
class RatedRecording:
    """A recording whose rating the viewer may see."""

    submission: Submission
    scores: tuple[float | None, ...]  # in the order of the lines
    is_this: bool  # the one that the page is about


@dataclass(frozen=True, slots=True)
class CriterionTrend:
    """One criterion over all recordings, the oldest first."""

    title: str
    chart: charts.LineChart
    change: str  # since the recording before this one, in words; empty if there is nothing to compare


@dataclass(frozen=True, slots=True)
class AttemptProgress:
    recordings: tuple[RatedRecording, ...]
    lines: tuple[CriterionTrend, ...]
    alike: bool  # all rated by the same model, so that their scores can be compared
    left_out: tuple[Submission, ...] = ()  # rated by another rubric, or version of it, or another method

    @property
    def is_comparison(self) -> bool:
        return len(self.recordings) > 1


def of(found: Submission, viewer: User) -> AttemptProgress | None:
    """Over the ratings, visible to `viewer`, of the student of `found` in its class; None below two.

    Only ratings by one version of a rubric and one method are compared: those of the recording that the page is about,
    or of the newest one.
    """
    rated = permissions.visible_evaluations(viewer, found.classroom).filter(submission__student=found.student_id)
    in_order = rated.select_related("submission").order_by("submission__created_at", "submission")
    rows = [row for row in decisions.counting(in_order) if row.scores]
    if len(rows) < 2:
        return None
    basis = next((row for row in rows if row.submission_id == found.pk), rows[-1])
    compared = [row for row in rows if is_comparable(row, basis)]
    left_out = tuple(row.submission for row in rows if row not in compared)
    return replace(between(compared, found), left_out=left_out)


def scores_of(submissions: Sequence[Submission]) -> dict[uuid.UUID, str]:
    """By submission its released score, and the change since the student's last one that is comparable.

    As in "9.2 of 10 · +0.3". Those without such a score are left out.
    """
    wanted = {one.pk for one in submissions}
    released = Evaluation.objects.filter(
        current_of__student__in={one.student_id for one in submissions},
        current_of__classroom__in={one.classroom_id for one in submissions},
        released_at__isnull=False,
        overall__isnull=False,
    )
    in_order = released.select_related("submission").order_by("submission__created_at", "submission")
    before: dict[tuple[object, ...], float] = {}
    words = {}
    for row in decisions.counting(in_order):
        assert row.overall is not None
        kind = (row.submission.student_id, row.submission.classroom_id, row.rubric_id, row.method)
        if row.submission_id in wanted:
            words[row.submission_id] = _score_words(row.overall, before.get(kind))
        before[kind] = row.overall
    return words


def _score_words(score: float, before: float | None) -> str:
    words = _("%(points)s of 10") % {"points": floatformat(score, 1)}
    change = 0.0 if before is None else round(score - before, 1)
    sign = "+" if change > 0 else "−"
    return f"{words} · {sign}{floatformat(abs(change), 1)}" if change else words


def is_comparable(one: Evaluation, other: Evaluation) -> bool:
    """Whether a difference between their scores says anything of the speeches: a rubric's row is one version of it."""
    return (one.rubric_id, one.method) == (other.rubric_id, other.method)


def between(rows: Sequence[Evaluation], this: Submission) -> AttemptProgress:
    """Progress over `rows`, the oldest first. Criteria are matched by their keys, since a rubric may change."""
    titles = {score["key"]: score["title"] for row in rows for score in row.scores}
    places = [number for number, row in enumerate(rows) if row.submission_id == this.pk]
    lines = [_line(title, [_score(row, key) for row in rows], places) for key, title in titles.items()]
    recordings = [
        RatedRecording(row.submission, tuple(_score(row, key) for key in titles), row.submission_id == this.pk)
        for row in rows
    ]
    return AttemptProgress(tuple(recordings), tuple(lines), len({(row.engine, row.model) for row in rows}) == 1)


def in_words(before: float | None, now: float | None) -> str:
    """A change of score as a sentence; empty without two scores."""
    if before is None or now is None:
        return ""
    change = round(now - before, 1)
    if change == 0:
        return _("The same as last time.")
    points = {"points": floatformat(abs(change), 1)}
    if change > 0:
        return _("+%(points)s since last time, a step forward.") % points
    return _("%(points)s below last time.") % points


def _score(row: Evaluation, key: str) -> float | None:
    found: list[dict[str, Any]] = [score for score in row.scores if score["key"] == key]
    return float(found[0]["score"]) if found else None


def _line(title: str, scores: Sequence[float | None], places: Sequence[int]) -> CriterionTrend:
    change = in_words(scores[places[0] - 1], scores[places[0]]) if places and places[0] else ""
    return CriterionTrend(title, charts.line(scores), change)
