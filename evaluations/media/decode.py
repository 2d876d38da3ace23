"""Decoding as the rest of the project sees it: a path in, samples and facts out, whatever the file does in between."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event

import numpy as np
import numpy.typing as npt

from evaluations.media import wire
from evaluations.media.asking import ask
from evaluations.media.facts import SAMPLE_BYTES, SAMPLE_RATE, MediaFacts

__all__ = ["Decoded", "MediaFacts", "decode", "probe"]

PROBE_MAX_SECONDS = 4 * 3600.0
WALL_SECONDS = 120.0  # ten minutes of AAC decode in about one
_SLACK_SAMPLES = SAMPLE_RATE  # what the child may send beyond the limit before it is not believed any more


@dataclass(frozen=True, slots=True)
class Decoded:
    samples: npt.NDArray[np.float32]  # mono, 16 kHz, shape (n,), full scale ±1.0
    facts: MediaFacts


def probe(path: Path, *, max_seconds: float = PROBE_MAX_SECONDS, wall_seconds: float = WALL_SECONDS) -> MediaFacts:
    """What the file holds; its audio is decoded to the end to know how long it is.

    Raises:
        Permanent, Transient: as `decode`; `too_long` only beyond `max_seconds`.
    """
    return ask(
        "probe",
        path,
        answer=MediaFacts,
        collect=_refuse_samples,
        max_seconds=max_seconds,
        wall_seconds=wall_seconds,
    )


def decode(path: Path, *, max_seconds: float, wall_seconds: float = WALL_SECONDS, stop: Event | None = None) -> Decoded:
    """All of the file's audio, mixed to mono at 16 kHz.

    `max_seconds` is of decoded audio, `wall_seconds` of waiting.

    Raises:
        Permanent: `empty_file`, `unreadable`, `not_media`, `no_audio`, `too_long` or `too_many_pixels`.
        Transient: `decoder_crashed` when the decoder died, `decoder_timeout` when it ran out of time.
        Interrupted: `stop` was set; the decoder is gone.
    """
    received = bytearray()
    limit = (int(max_seconds * SAMPLE_RATE) + _SLACK_SAMPLES) * SAMPLE_BYTES

    def collect(payload: bytes) -> None:
        received.extend(payload)
        if len(received) > limit:
            raise wire.TornError("more samples than were asked for")

    facts = ask(
        "decode",
        path,
        answer=MediaFacts,
        collect=collect,
        max_seconds=max_seconds,
        wall_seconds=wall_seconds,
        stop=stop,
    )
    samples = np.frombuffer(received, dtype=np.int16).astype(np.float32)
    samples /= 32_768
    return Decoded(samples, facts)


def _refuse_samples(payload: bytes) -> None:
    raise wire.TornError("samples in answer to a probe")
