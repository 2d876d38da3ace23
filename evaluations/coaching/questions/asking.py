"""Asking, and stopping what was asked."""

from __future__ import annotations

import uuid
from math import ceil

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _

from evaluations.coaching.questions import line
from evaluations.errors.refusals import RefusedError
from evaluations.models import COACH, MAX_QUESTION, Classroom, CoachQuestion, Submission, Transcript
from queueing.exceptions import LineFullError, OwnerLimitError
from queueing.models import Overflow, Task
from queueing.report import estimates


def ask(*, submission: Submission, student: User, text: str, language: str) -> CoachQuestion:
    """A new question at the end of the line. `language`: of the answer, as a code.

    Raises:
        RefusedError: 422: it is empty or too long; 409: there is nothing to ask about, the class has no coach, or the
            student has as many waiting as may; 503: the line is full, with how long to wait.
    """
    text = text.replace("\0", "").strip()
    if not 0 < len(text) <= MAX_QUESTION:
        raise RefusedError(422, "no_question")
    if not is_offered(submission.classroom):
        raise RefusedError(409, "coach_off")
    if not Transcript.objects.filter(submission=submission).exists():
        raise RefusedError(409, "nothing_to_ask_about")
    key = uuid.uuid4()
    try:
        with transaction.atomic():
            task = Task.objects.enqueue(
                submission_id=submission.pk,
                pipeline=COACH,
                owner_key=str(student.pk),
                subject=str(key),
                rank=submission.classroom.coach_priority,
            )
            return CoachQuestion.objects.create(
                pk=key, submission=submission, student=student, task=task, text=text, language=language
            )
    except OwnerLimitError:
        raise RefusedError(409, "questions_waiting") from None
    except LineFullError:
        Overflow.objects.count_one(COACH)
        raise _full() from None


def is_offered(classroom: Classroom) -> bool:
    """Whether the class has a coach: its teacher wants one, and the model is one whose words mean something."""
    return classroom.has_coach and settings.LLM_CAN_JUDGE


def _full() -> RefusedError:
    wait = line.read().wait_of_next()
    words = _("Estimated wait: %(wait)s.") % {"wait": estimates.spoken(wait)}
    return RefusedError(
        503,
        "coach_full",
        {"Retry-After": str(ceil(wait.high_seconds))},
        detail=words,
        facts={"estimate": {"low_seconds": wait.low_seconds, "high_seconds": wait.high_seconds}},
    )


def stop(question: CoachQuestion, *, by: User, reason: str = "") -> bool:
    """Cancel it, waiting or being answered; what was written stays. False when it has ended."""
    return Task.objects.get(pk=question.task_id).cancel(by=str(by.pk), reason=reason)


def abandon(question_id: uuid.UUID) -> None:
    """Nobody waits for its answer any more."""
    if question := CoachQuestion.objects.filter(pk=question_id).first():
        Task.objects.get(pk=question.task_id).cancel(by=str(question.student_id), reason="nobody waits for it any more")
