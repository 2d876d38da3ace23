"""What a media file holds. Imports nothing heavy: the decoding child loads it before it is confined."""

from __future__ import annotations

from dataclasses import dataclass

SAMPLE_RATE = 16_000  # Hz, of everything that leaves the decoder; equals queueing.engines.base.SAMPLE_RATE
SAMPLE_BYTES = 2  # of a sample on its way from the child: signed 16 bit, as Whisper's own loader takes them


@dataclass(frozen=True, slots=True)
class MediaFacts:
    container: str  # one of kinds.CONTAINERS, or mp4: by content, never by name
    duration: float  # seconds, counted from decoded samples and the gaps between them; the header is not trusted
    audio_codec: str
    video_codec: str | None  # None for an audio file; a cover picture is not a video
    width: int | None  # pixels
    height: int | None
    damaged: bool = False  # parts could not be decoded; `duration` is what could
    ends_early: bool = False  # it is damaged, and bytes are missing at its end
    damaged_at: float | None = None  # seconds of the player's clock: the first place, or the end of what there is


@dataclass(frozen=True, slots=True)
class Remuxed:
    written: bool  # False: the file seeks as it is, or is of a kind that is never made by a browser
