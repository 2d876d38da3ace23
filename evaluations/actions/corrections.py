"""Words of a transcript that a teacher corrected. What the engine heard stays stored; this is laid over it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Final

from django.contrib.auth.models import User

from evaluations.actions import decisions
from evaluations.actions.decisions import InvalidDecisionError, Kind
from evaluations.models import ReviewDecision, Transcript

MAX_CHARACTERS: Final = 60


def of(submission_id: uuid.UUID) -> dict[int, str]:
    """Number of a word, counted from 0 through the transcript → what was said there, where a teacher corrected it."""
    return after(ReviewDecision.objects.filter(submission=submission_id, kind=Kind.WORD))


def after(made: Iterable[ReviewDecision]) -> dict[int, str]:
    """The same, after the decisions of one submission in the order they were made."""
    newest = {int(one.key): one.value for one in made if one.kind == Kind.WORD}
    return {number: str(text) for number, text in newest.items() if text is not None}


def applied(transcript: Transcript, corrected: Mapping[int, str] | None = None) -> Transcript:
    """A copy for reading only: `segments` and `text` with the corrections; they are read if they aren't given.

    Each word has in addition `number`, and a corrected one `heard`, what the engine understood.
    """
    found, corrected = copy(transcript), of(transcript.submission_id) if corrected is None else corrected
    found.segments = _segments(transcript, corrected)
    if corrected:
        found.text = " ".join(segment["text"] for segment in found.segments)
    return found


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
        before = of(submission_id).get(number)
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


def _segments(transcript: Transcript, corrected: Mapping[int, str]) -> list[dict[str, Any]]:
    segments, number = [], 0
    for segment in transcript.segments:
        words = [_word(word, at, corrected.get(at)) for at, word in enumerate(segment["words"], number)]
        number += len(words)
        changed = any("heard" in word for word in words)
        segments.append({**segment, "words": words, **({"text": _joined(words)} if changed else {})})
    return segments


def _word(word: Mapping[str, Any], number: int, text: str | None) -> dict[str, Any]:
    if text is None:
        return {**word, "number": number}
    return {**word, "number": number, "text": text, "heard": word["text"]}


def _joined(words: list[dict[str, Any]]) -> str:
    return " ".join(word["text"].strip() for word in words)
