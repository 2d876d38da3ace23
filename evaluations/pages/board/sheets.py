"""A sheet of paper per student: the rating as it counts, and what a person wrote to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evaluations.models import Classroom
from evaluations.pages import board, result, rows, rubric
from evaluations.pages.board import StudentRow
from evaluations.rating import default_rubric


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is on one student's sheet; `scores` are rows as `Evaluation.scores` has them."""

    row: StudentRow
    scores: list[dict[str, Any]]
    feedback: str
    suggestions: list[str]


def of(classroom: Classroom, *, student: str = "", unreleased: bool = False) -> list[Sheet]:
    """The sheets of a class by name; only released ratings unless `unreleased`, and of `student`, a key, if given."""
    found = board.students(classroom, rows.read_queue(), whole=True)
    return list(_sheets([row for row in found if student in ("", str(row.student.pk))], unreleased=unreleased))


def _sheets(students: list[StudentRow], *, unreleased: bool) -> Iterator[Sheet]:
    for row in students:
        if row.shown is None or row.evaluation is None or row.reviewed is None:
            continue
        if not (row.is_released or unreleased):
            continue
        submission = row.shown.submission
        scores = default_rubric.localized(row.reviewed.rows, rubric.language())
        transcript, form = getattr(submission, "transcript", None), getattr(submission, "form", None)
        yield Sheet(row, scores, *result.advice(row.evaluation, transcript, form, scores))
