"""Facts of speech, measured from the words of a transcript and their times. No judgements."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

FILLERS = frozenset({"um", "umm", "uhm", "uh", "uhh", "er", "erm", "hmm", "mm", "eh", "ah"})
PAUSE_SECONDS = 1.0  # a silence between two words that a listener notices
LONG_PAUSE_SECONDS = 2.0
DOUBTFUL = 0.5  # a word below this probability was hard to hear


@dataclass(frozen=True, slots=True)
class Spoken:
    """One word as the transcript keeps it."""

    text: str
    start: float  # seconds
    end: float  # seconds
    probability: float  # 0..1, how sure the recogniser was


class StretchKind(StrEnum):
    """The kinds of stretches of a recording."""

    SPEECH = "speech"
    PAUSE = "pause"
    FILLER = "filler"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the recording, as a timeline shows it."""

    kind: StretchKind
    start: float  # seconds
    end: float  # seconds
    text: str = ""  # of a filler


@dataclass(frozen=True, slots=True)
class SpeechFacts:
    words: int
    words_per_minute: float  # over the time from the first word to the last
    pauses: int  # of at least PAUSE_SECONDS
    long_pauses_per_minute: float  # of at least LONG_PAUSE_SECONDS
    longest_pause: float  # seconds
    filler_count: int
    fillers: dict[str, int]  # counted as whole words
    fillers_per_100_words: float
    articulation: float  # mean word probability, 0..1
    doubtful_share: float  # of the words, those that were hard to hear, 0..1
    speech_share: float  # of the recording, 0..1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def words_of(segments: Sequence[dict[str, Any]]) -> list[Spoken]:
    """The words of a transcript's segments, in order."""
    words = (word for segment in segments for word in segment["words"])
    return [Spoken(word["text"], word["start"], word["end"], word["probability"]) for word in words]


def measure(words: Sequence[Spoken], *, speech_seconds: float, duration: float) -> SpeechFacts:
    """Measure how the words were spoken. `speech_seconds` and `duration` are the transcript's.

    Raises:
        ValueError: there is no word to measure.
    """
    if not words:
        raise ValueError("no words to measure")
    minutes = max(words[-1].end - words[0].start, 1.0) / 60
    gaps = [_gap(earlier, later) for earlier, later in pairwise(words)]
    fillers = Counter(bare(word.text) for word in words if is_filler(word))
    return SpeechFacts(
        words=len(words),
        words_per_minute=round(len(words) / minutes, 1),
        pauses=sum(gap >= PAUSE_SECONDS for gap in gaps),
        long_pauses_per_minute=round(sum(gap >= LONG_PAUSE_SECONDS for gap in gaps) / minutes, 2),
        longest_pause=max(gaps, default=0.0),
        filler_count=fillers.total(),
        fillers=dict(fillers),
        fillers_per_100_words=round(100 * fillers.total() / len(words), 2),
        articulation=round(sum(word.probability for word in words) / len(words), 3),
        doubtful_share=round(sum(word.probability < DOUBTFUL for word in words) / len(words), 3),
        speech_share=round(min(speech_seconds / duration, 1.0), 3) if duration else 0.0,
    )


def stretches(words: Sequence[Spoken]) -> list[Stretch]:
    """The stretches of a recording, by their start: speech, pauses between, and fillers, which overlap the speech."""
    found: list[Stretch] = []
    begun = 0
    for number, (earlier, later) in enumerate(pairwise(words), start=1):
        if _gap(earlier, later) >= PAUSE_SECONDS:
            found += [
                Stretch(StretchKind.SPEECH, words[begun].start, earlier.end),
                Stretch(StretchKind.PAUSE, earlier.end, later.start),
            ]
            begun = number
    if words:
        found.append(Stretch(StretchKind.SPEECH, words[begun].start, words[-1].end))
    found += [Stretch(StretchKind.FILLER, word.start, word.end, bare(word.text)) for word in words if is_filler(word)]
    return sorted(found, key=lambda one: one.start)


def is_filler(word: Spoken) -> bool:
    """Whether the whole word is a filler: `Umbria` is none."""
    return bare(word.text) in FILLERS


def _gap(earlier: Spoken, later: Spoken) -> float:
    return round(later.start - earlier.end, 2)


def bare(word: str) -> str:
    """A word without its punctuation and case."""
    return re.sub(r"[^\w']", "", word).lower()
