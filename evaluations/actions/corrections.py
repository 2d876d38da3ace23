"""To correct a word of a transcript."""

from __future__ import annotations

import uuid
from typing import Any, Final

from django.contrib.auth.models import User

from evaluations.actions import decisions
from evaluations.actions.decisions import InvalidDecisionError, Kind
from evaluations.models import ReviewDecision, Transcript, corrected_words

MAX_CHARACTERS: Final = 60


def correct(*, submission_id: uuid.UUID, evaluation_id: int, by: User, seen: int, number: int, text: str) -> bool:
    """Say what was really said at a word; what the engine heard takes a correction back. False: it says so already.

    Raises:
        decisions.ConflictError: as for `decisions.decide`.
        InvalidDecisionError: there is no such word, or the text is empty or too long.
    """
    text = " ".join(text.split())
    with decisions.locked(submission_id, evaluation_id, by=by, seen=seen) as rating:
        heard = [word["text"] for segment in _heard(submission_id) for word in segment["words"]]
        if not 0 <= number < len(heard) or not 1 <= len(text) <= MAX_CHARACTERS:
            raise InvalidDecisionError(f"not a word of the transcript: {number}={text!r}")
        before = corrected_words(ReviewDecision.objects.filter(submission=submission_id)).get(number)
        if text == (before or heard[number]):
            return False
        ReviewDecision.objects.create(
            submission_id=submission_id,
            evaluation=rating,
            kind=Kind.WORD,
            key=str(number),
            value=None if text == heard[number] else text,
            before=before or heard[number],
            by=by,
        )
    return True


def _heard(submission_id: uuid.UUID) -> list[dict[str, Any]]:
    found = Transcript.objects.filter(submission=submission_id).first()
    return found.segments if found else []
