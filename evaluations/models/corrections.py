"""A transcript with the words that teachers corrected. What the engine heard stays stored; this is laid over it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from evaluations.models.results import Transcript
from evaluations.models.review import ReviewDecision


def corrected_words(made: Iterable[ReviewDecision]) -> dict[int, str]:
    """Number of a word, counted from 0 through the transcript → what was said there, where a teacher corrected it.

    `made`: decisions on one submission in the order they were made.
    """
    newest = {int(one.key): one.value for one in made if one.kind == ReviewDecision.Kind.WORD}
    return {number: str(text) for number, text in newest.items() if text is not None}


def corrected(transcript: Transcript, made: Iterable[ReviewDecision] | None = None) -> Transcript:
    """A copy for reading only: `segments` and `text` with the corrections, by `made`, else by those that are stored.

    Each word has in addition `number`. A corrected one has `heard`, what the engine understood, and is certain:
    somebody listened.
    """
    if made is None:
        made = ReviewDecision.objects.filter(submission=transcript.submission_id, kind=ReviewDecision.Kind.WORD)
    found, words = copy(transcript), corrected_words(made)
    found.segments = _segments(transcript, words)
    if words:
        found.text = " ".join(segment["text"] for segment in found.segments)
    return found


def _segments(transcript: Transcript, corrections: Mapping[int, str]) -> list[dict[str, Any]]:
    segments, number = [], 0
    for segment in transcript.segments:
        words = [_word(word, at, corrections.get(at)) for at, word in enumerate(segment["words"], number)]
        number += len(words)
        changed = any("heard" in word for word in words)
        segments.append({**segment, "words": words, **({"text": _joined(words)} if changed else {})})
    return segments


def _word(word: Mapping[str, Any], number: int, text: str | None) -> dict[str, Any]:
    if text is None:
        return {**word, "number": number}
    return {**word, "number": number, "text": text, "heard": word["text"], "probability": 1.0}


def _joined(words: list[dict[str, Any]]) -> str:
    return " ".join(word["text"].strip() for word in words)
