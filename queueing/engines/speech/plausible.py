"""What of a model's text to believe. Whisper's two ways of lying are sentences over silence and endless repetition."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from queueing.engines.base import Segment

# The thresholds with which Whisper itself rejects a decoding (Radford et al. 2022, section 4.5).
LOOP_RATIO = 2.4
SILENCE_PROBABILITY = 0.6
UNSURE_LOG_PROBABILITY = -1.0


def compression_ratio(text: str) -> float:
    """Bytes of the text by bytes of its zlib compression: plain speech stays near 1.5, a loop runs off."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw)) if raw else 0.0


def believable(segments: Iterable[tuple[Segment, float]]) -> Iterator[Segment]:
    """The segments to keep, of pairs of a segment and the compression ratio of the window it was decoded in.

    Dropped are: a loop inside one segment, a segment that says again what the one before it said while its window
    loops, and words that the model itself takes for silence.
    """
    before = ""
    for segment, window_ratio in segments:
        said = segment.text.casefold().strip()
        silence = (
            segment.no_speech_probability > SILENCE_PROBABILITY
            and segment.average_log_probability < UNSURE_LOG_PROBABILITY
        )
        repeated = window_ratio > LOOP_RATIO and said == before
        before = said
        if said and not silence and not repeated and segment.compression_ratio <= LOOP_RATIO:
            yield segment
