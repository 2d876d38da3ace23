"""Another look: a student asks for it once, with a sentence, and a teacher answers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from django.contrib.auth.models import User
from django.db import transaction

from evaluations.actions import decisions
from evaluations.actions.decisions import InvalidDecisionError, Kind
from evaluations.models import Evaluation, ReviewDecision, Submission

MIN_CHARACTERS: Final = 5
MAX_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Appeal:
    """What a student asked, and what was answered; empty: nothing yet."""

    sentence: str
    answer: str = ""

    @classmethod
    def after(cls, made: Iterable[ReviewDecision]) -> Self | None:
        """After the decisions of one submission in the order they were made; None without an appeal."""
        made = list(made)
        asked = next((one for one in made if one.kind == Kind.APPEAL), None)
        if asked is None:
            return None
        answers = [one.value for one in made if one.kind == Kind.ANSWER]
        return cls(str(asked.value), str(answers[-1]) if answers else "")

    @property
    def is_open(self) -> bool:
        return not self.answer


def of(submission_id: uuid.UUID) -> Appeal | None:
    made = ReviewDecision.objects.filter(submission=submission_id, kind__in=(Kind.APPEAL, Kind.ANSWER))
    return Appeal.after(made)


def ask(*, submission: Submission, by: User, sentence: str) -> bool:
    """Ask for another look at a released rating. False when that was done before: it can be asked for once.

    Raises:
        InvalidDecisionError: it is not the student's own, nothing is released, or the sentence has another length.
    """
    sentence = sentence.strip()
    with transaction.atomic():
        found = Submission.objects.select_for_update(no_key=True).get(pk=submission.pk)
        rating = Evaluation.objects.filter(current_of=found, released_at__isnull=False).first()
        if found.student_id != by.pk or rating is None:
            raise InvalidDecisionError("only of one's own released result another look can be asked for")
        if not MIN_CHARACTERS <= len(sentence) <= MAX_CHARACTERS:
            raise InvalidDecisionError(f"not a sentence of {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
        if found.decisions.filter(kind=Kind.APPEAL).exists():
            return False
        ReviewDecision.objects.create(submission=found, evaluation=rating, kind=Kind.APPEAL, value=sentence, by=by)
    return True


def answer(*, submission_id: uuid.UUID, evaluation_id: int, by: User, seen: int, text: str) -> None:
    """Answer the student; a later answer counts instead of an earlier one.

    Raises:
        decisions.ConflictError: as for `decisions.decide`.
        InvalidDecisionError: nobody asked, or there is no text.
    """
    with decisions.locked(submission_id, evaluation_id, by=by, seen=seen) as rating:
        asked = of(submission_id)
        if asked is None or not text.strip():
            raise InvalidDecisionError("an answer needs somebody who asked, and a text")
        ReviewDecision.objects.create(
            submission_id=submission_id,
            evaluation=rating,
            kind=Kind.ANSWER,
            value=text.strip(),
            before=asked.answer or None,
            by=by,
        )
