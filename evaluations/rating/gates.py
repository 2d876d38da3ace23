"""Whether a recording can be rated at all, from what was heard of it. Decided before any score, and never part of one.

How sure a recogniser is says nothing about a student, and it is less sure of accents that it knows less. So its
certainty closes a gate only far below all speech that was understood, and what passes is rated as if it had not been
looked at. With which recordings the limits were chosen, and with which others they were checked, is in
tests/evaluations/rating/clips/README.md.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from evaluations.rating.speech import DOUBTFUL, Spoken

# What an item of a rubric can be found in: the shortest introduction of the demo class has 30 words, said in 9 s.
MIN_WORDS: Final = 25
MIN_SECONDS: Final = 8.0  # from the first word to the last, so that who speaks quickly but pauses isn't cut off
# Introductions had 2.0 words a second of voice and more, also at four fifths of their pace; speech backwards and a
# babble of six 1.1 at most, mostly none.
MIN_WORDS_PER_VOICED_SECOND: Final = 0.8
# Of the time with a voice, words lay over at least 0.75 in introductions; 0.30 at most in speech backwards.
MAX_UNTRANSCRIBED_SHARE: Final = 0.5
# The mean over the words: in introductions 0.79 at least, 0.70 in white noise 10 dB below the voice; at most 0.56 in
# babble and of a TV across the room, 0.62 in foreign speech on an English model.
MIN_WORD_PROBABILITY: Final = 0.65
SURE_OF_LANGUAGE: Final = 0.5  # below, the recogniser's guess at the language is no reason
DOUBTFUL_SHARE: Final = 0.2  # of the words


@dataclass(frozen=True, slots=True)
class Hearing:
    """What of a transcript decides whether it can be rated."""

    words: Sequence[Spoken]
    speech_seconds: float  # in which voice activity detection heard a voice
    language: str  # ISO 639-1
    language_probability: float  # 0..1; 1.0 of a model of one language


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no score: a code of the catalogue of errors, and the figures for staff."""

    code: str
    reason: str


def check(heard: Hearing, offered: Collection[str]) -> Refusal | None:
    """Why it can't be rated; None if it can. `offered` are the languages in which there are ratings, ISO 639-1."""
    if not heard.words:
        return unheard(heard.speech_seconds)
    if reason := _misheard(heard, offered):
        return Refusal(code="not_understood", reason=reason)
    if len(heard.words) < MIN_WORDS or _seconds(heard.words) < MIN_SECONDS:
        return Refusal(code="too_short_to_rate", reason=f"{len(heard.words)} words in {_seconds(heard.words):.1f} s")
    return None


def check_text(words: int) -> Refusal | None:
    """Why a written text of so many words can't be rated; None if it can. It has no times, and nobody misheard it."""
    return Refusal("too_short_to_rate", f"{words} words") if words < MIN_WORDS else None


def unheard(speech_seconds: float) -> Refusal:
    """Why there is not a single word: nobody spoke, or somebody did, at length, and nothing of it made sense."""
    code = "not_understood" if speech_seconds >= MIN_SECONDS else "no_speech"
    return Refusal(code, f"no words in {speech_seconds:.1f} s of voice")


def _misheard(heard: Hearing, offered: Collection[str]) -> str:
    if heard.language not in offered and heard.language_probability >= SURE_OF_LANGUAGE:
        return f"language {heard.language!r} ({heard.language_probability:.2f})"
    lasted = heard.speech_seconds >= MIN_SECONDS
    if not lasted and len(heard.words) < MIN_WORDS:
        return ""  # too short, whatever it was; a mean over a few words says nothing
    certainty = sum(word.probability for word in heard.words) / len(heard.words)
    if certainty < MIN_WORD_PROBABILITY:
        return f"mean probability of a word {certainty:.2f}"
    pace = len(heard.words) / heard.speech_seconds if heard.speech_seconds else 0.0
    untranscribed = 1 - sum(word.end - word.start for word in heard.words) / heard.speech_seconds if lasted else 0.0
    if lasted and (pace < MIN_WORDS_PER_VOICED_SECOND or untranscribed > MAX_UNTRANSCRIBED_SHARE):
        return f"{pace:.1f} words a second of voice, {max(untranscribed, 0):.0%} of the voice without words"
    return ""


def _seconds(words: Sequence[Spoken]) -> float:
    return words[-1].end - words[0].start


def is_doubtful(words: Sequence[Spoken]) -> bool:
    """Whether a teacher should listen in: many words were hard to hear. No gate, and nothing in a score."""
    return sum(word.probability < DOUBTFUL for word in words) > DOUBTFUL_SHARE * len(words)
