"""Which of a model's text to keep. Whisper hallucinates in two ways: sentences over silence, and endless repetition."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator

from queueing.engines.base import Segment

# The thresholds with which Whisper itself rejects a decoding (Radford et al. 2022, section 4.5).
LOOP_RATIO = 2.4
SILENCE_PROBABILITY = 0.6
UNSURE_LOG_PROBABILITY = -1.0

# Of the demo clips in ever louder noise no segment was below -1.2, none was spoken faster than 5.1 words a second, and
# none said more than a tenth of its triples of words twice. Invented over noise, with names to listen for, were "Mary
# Jackson," at -1.7, and over a hummed tune "G." at a word's probability of 0.01.
GUESS_LOG_PROBABILITY = -1.5
GUESS_WORD_PROBABILITY = 0.1
MAX_WORDS_PER_SECOND = 10.0
LOOP_SHARE = 0.4
LOOP_WORDS = 8  # fewer say nothing about a loop: who thanks three times means it
# Whisper learned from subtitles, and over noise it writes their last line. People thank for watching, too; but nobody
# reads out the credits.
CREDITS = re.compile(
    r"^\W*(?:(?:sub-?titles?|captions?|transcri(?:bed|ption)|translat(?:ed|ion)) by\b|amara\.org"
    r"|(?:untertitel|untertitelung|untertitelt)\b.*\b(?:amara|zdf|ard|funk|wdr|swr|ndr|orf|srf|von|im auftrag)\b"
    r"|copyright (?:wdr|zdf|ard|swr|ndr|orf|srf)\b)",
    re.IGNORECASE,
)


def compression_ratio(text: str) -> float:
    """Bytes of the text by bytes of its zlib compression: plain speech stays near 1.5, a loop runs off."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def repeated_share(text: str) -> float:
    """How much of the text's runs of three words occurs earlier in it; 0 for a text too short to judge."""
    words = re.findall(r"\w+", text.casefold())
    triples = list(zip(words, words[1:], words[2:], strict=False))
    return 1 - len(set(triples)) / len(triples) if len(words) >= LOOP_WORDS else 0.0


def believable(segments: Iterable[tuple[Segment, float]]) -> Iterator[Segment]:
    """The segments to keep, of pairs of a segment and the compression ratio of the window it was decoded in.

    Dropped are: a loop inside one segment, a sentence that was said before in a window that loops, words over silence,
    mere guesses, more words than a mouth can say in that time, and a film's credits.
    """
    window, said_before = 0.0, set[str]()
    for segment, window_ratio in segments:
        if window_ratio != window:
            window, said_before = window_ratio, set()
        said = segment.text.casefold().strip()
        again = window_ratio > LOOP_RATIO and said in said_before
        said_before.add(said)
        if not said or again or loops(segment.text) or CREDITS.match(said):
            continue
        if not is_invented(segment, window_ratio) and not is_too_fast(segment):
            yield segment


def loops(text: str) -> bool:
    return compression_ratio(text) > LOOP_RATIO or repeated_share(text) > LOOP_SHARE


def is_invented(segment: Segment, window_ratio: float) -> bool:
    """Whether the model takes the window for silence and its own words for doubtful, or has no idea at all."""
    doubtful = segment.average_log_probability < UNSURE_LOG_PROBABILITY or window_ratio > LOOP_RATIO
    silent = segment.no_speech_probability > SILENCE_PROBABILITY
    surest = max((word.probability for word in segment.words), default=1.0)
    guessed = segment.average_log_probability < GUESS_LOG_PROBABILITY or surest < GUESS_WORD_PROBABILITY
    return guessed or (silent and doubtful)


def is_too_fast(segment: Segment) -> bool:
    return len(segment.words) > MAX_WORDS_PER_SECOND * max(segment.end - segment.start, 0.5)
