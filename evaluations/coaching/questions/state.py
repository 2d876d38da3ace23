"""A question to the coach as its student, and the class's teacher, see it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from django.utils.safestring import SafeString

from evaluations.coaching.questions import line
from evaluations.coaching.questions.line import CoachLine
from evaluations.coaching.questions.markdown import rendered
from evaluations.errors import catalogue
from evaluations.models import CoachQuestion
from queueing.forecast.published import Estimate
from queueing.states import LIVE, State


@dataclass(frozen=True, slots=True)
class AnswerState:
    """Where a question is, and its answer so far."""

    question_id: uuid.UUID
    submission_id: uuid.UUID
    text: str  # of the question
    asked_at: datetime
    status: str  # for programs
    status_words: str
    position: int  # see `line.position`
    estimate: Estimate | None  # until the answer is there; None: it is being answered or has ended
    why: str  # it waits, in a sentence; empty: it doesn't
    answer: str  # so far
    restarts: int
    end: str  # `CoachQuestion.End`; empty: it has not ended well
    error_code: str
    model: str
    simulated: bool

    @property
    def html(self) -> SafeString:
        """The answer so far, for a page."""
        return rendered(self.answer)

    @property
    def has_ended(self) -> bool:
        return self.position == line.ENDED


def is_waiting(question: CoachQuestion) -> bool:
    return question.task.state == State.QUEUED


def of(question: CoachQuestion, read: CoachLine | None = None, why: str = "") -> AnswerState:
    """`read`, and `why` it waits, are needed of one that waits; its own row says whether it does."""
    task = question.task
    position = 0 if task.state == State.RUNNING else line.ENDED
    estimate = None
    if is_waiting(question) and read is not None:
        position, estimate = read.place(task.pk), read.wait(task.pk)
    return AnswerState(
        question_id=question.pk,
        submission_id=question.submission_id,
        text=question.text,
        asked_at=question.asked_at,
        status=task.status.value,
        status_words=str(task.status.label),
        position=position,
        estimate=estimate,
        why=why if estimate else "",
        answer=question.answer,
        restarts=question.restarts,
        end=question.end,
        error_code="" if task.state in LIVE else task.error_code,
        model=question.model,
        simulated=question.simulated,
    )


def problem(found: AnswerState) -> dict[str, str] | None:
    """Why there is no answer, for programs; None where there is one, or none yet."""
    if not found.has_ended or found.end:
        return None
    code = found.error_code if found.error_code else "question_stopped"
    return catalogue.problem(code, id=str(found.question_id))
