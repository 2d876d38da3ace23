"""Decoding, the parent's side: from a path to samples and facts, in a confined child."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from evaluations.media import wire
from evaluations.media.confined import run_child
from evaluations.media.facts import SAMPLE_BYTES, SAMPLE_RATE, MediaFacts

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Decoded", "MediaFacts", "decode"]

WALL_SECONDS = 120.0  # ten minutes of AAC decode in about one
# Full scale is 0; a voice close to a microphone has -25, a muted one's noise -62, dither -96. A voice above
# TOO_QUIET_DB is raised and heard; below it too few of the 16 bits are left of it.
SILENCE_DB, TOO_QUIET_DB = -85.0, -63.0
_SLACK_SAMPLES = SAMPLE_RATE  # what the child may send beyond the limit


@dataclass(frozen=True, slots=True)
class Decoded:
    samples: npt.NDArray[np.float32]  # mono, 16 kHz, shape (n,), full scale ±1.0
    facts: MediaFacts
    loudness: float = 0.0  # dB, full scale is 0: of the loud parts, before `samples` were raised to what is usual

    @property
    def is_quiet(self) -> bool:
        """Whether there is sound in it, but so little that a voice may be lost in it."""
        return SILENCE_DB < self.loudness < TOO_QUIET_DB


def decode(path: Path, *, max_seconds: float, wall_seconds: float = WALL_SECONDS, stop: Event | None = None) -> Decoded:
    """The file's audio in which somebody speaks, mono at 16 kHz; raised to usual loudness if it is very quiet.

    Args:
        max_seconds: of decoded audio.
        wall_seconds: for the child's whole work.

    Raises:
        Permanent: `empty_file`, `unreadable`, `not_media`, `unsupported`, `copy_protected`, `no_audio`, `empty_sound`,
            `too_long` or `too_many_pixels`.
        Transient: `decoder_crashed` when the decoder died, `decoder_timeout` when it ran out of time.
        Interrupted: `stop` was set; the decoder is gone.
    """
    received = bytearray()
    limit = (int(max_seconds * SAMPLE_RATE) + _SLACK_SAMPLES) * SAMPLE_BYTES

    def collect(payload: bytes) -> None:
        received.extend(payload)
        if len(received) > limit:
            raise wire.TornError("more samples than were asked for")

    facts = run_child(
        "decode",
        path,
        answer=MediaFacts,
        collect=collect,
        max_seconds=max_seconds,
        wall_seconds=wall_seconds,
        stop=stop,
    )
    import numpy as np  # by those who decode: pages and commands don't wait for it

    from queueing.engines.speech.voice import loudness, raised

    samples = np.frombuffer(received, dtype=np.int16).astype(np.float32)
    samples /= 32_768
    return Decoded(raised(samples), facts, loudness(samples))
