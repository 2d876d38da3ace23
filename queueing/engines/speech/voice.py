"""Where in the audio somebody speaks, by the Silero model that faster-whisper carries.

Whisper invents fluent sentences over silence, so it is only given the stretches with a voice, joined; the times of what
it hears are moved back to where they were said.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from math import inf, log10

import numpy as np

from queueing.engines.base import SAMPLE_RATE, Samples

# Fine enough to count the seconds of speech: a cough is none, a breath between two words is some.
FINE = {"min_speech_duration_ms": 250, "min_silence_duration_ms": 300, "speech_pad_ms": 0}
BETWEEN_WORDS = {"min_silence_duration_ms": 100, "speech_pad_ms": 0}
WINDOW = 30 * SAMPLE_RATE  # samples that Whisper decodes at once
PAD_SECONDS = 0.4  # kept on both sides, or Whisper misses a soft first sound
LOUDNESS_WINDOW = SAMPLE_RATE // 20  # samples over which loudness is averaged
LOUD_SHARE = 0.9  # of the windows are quieter than what counts as loud
USUAL_DB, QUIET_DB, MOST_GAIN_DB = -23.0, -38.0, 50.0  # full scale is 0
GAP_SECONDS = 2.0  # a shorter pause stays in: Whisper ends its sentences by them


@dataclass(frozen=True)
class Voice:
    stretches: tuple[tuple[int, int], ...]  # samples (from, to) to keep, in order, not overlapping
    speech_seconds: float

    def cut(self, samples: Samples) -> Samples:
        """Only the stretches, joined."""
        return np.concatenate([samples[begin:end] for begin, end in self.stretches])

    def original(self, seconds: float, *, within: float) -> float:
        """Where a time in the joined audio lies in the whole; `within` separates a stretch's end from the next one."""
        number = min(bisect_right(self._ends, within), len(self.stretches) - 1)
        begin, end = self.stretches[number]
        return min(
            begin / SAMPLE_RATE + seconds - (self._ends[number] - (end - begin) / SAMPLE_RATE), end / SAMPLE_RATE
        )

    @cached_property
    def _ends(self) -> list[float]:
        return list(accumulate((end - begin) / SAMPLE_RATE for begin, end in self.stretches))


def listen(samples: Samples) -> Voice:
    """Find the speech in the audio; silence has no stretches."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps  # 150 MB that only a model's process should hold

    if not len(samples):
        return Voice((), 0.0)
    speech = [(chunk["start"], chunk["end"]) for chunk in get_speech_timestamps(samples, VadOptions(**FINE))]
    return Voice(tuple(stretches(speech, len(samples))), sum(end - begin for begin, end in speech) / SAMPLE_RATE)


def windows(samples: Samples) -> list[tuple[int, int]]:
    """All of the audio in pieces of at most 30 s, cut in the middle of pauses where there are any."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    speech = get_speech_timestamps(samples, VadOptions(**BETWEEN_WORDS))
    pauses = [(one["end"] + other["start"]) // 2 for one, other in pairwise(speech)]
    return list(cut(pauses, len(samples)))


def cut(pauses: Sequence[int], length: int) -> Iterator[tuple[int, int]]:
    """From 0 to `length`, each piece as long as it can be."""
    begin = 0
    while begin < length:
        most = begin + WINDOW
        end = length if length <= most else max((at for at in pauses if begin < at <= most), default=most)
        yield begin, end
        begin = end


def stretches(speech: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The pieces of speech, padded, with those that lie close together made one."""
    pad, gap = round(PAD_SECONDS * SAMPLE_RATE), round(GAP_SECONDS * SAMPLE_RATE)
    joined: list[tuple[int, int]] = []
    for begin, end in speech:
        if joined and begin - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return [(max(0, begin - pad), min(length, end + pad)) for begin, end in joined]


def loudness(samples: Samples) -> float:
    """Of the loud parts, where somebody speaks if anybody does, in dB below full scale; at most 0, -inf of nothing."""
    length = len(samples) // LOUDNESS_WINDOW * LOUDNESS_WINDOW
    windows = samples[:length].reshape(-1, LOUDNESS_WINDOW) if length else samples[None, :]
    energy = np.einsum("ij,ij->i", windows, windows) / max(windows.shape[1], 1)
    loud = float(np.quantile(energy, LOUD_SHARE)) if energy.size else 0.0
    return 10 * log10(loud) if loud > 0 else -inf


def raised(samples: Samples) -> Samples:
    """The same, as loud as usual speech where it is far quieter: a voice below -40 dB is not found by the detector."""
    found = loudness(samples)
    if found >= QUIET_DB or found == -inf:
        return samples
    gain = 10 ** (min(USUAL_DB - found, MOST_GAIN_DB) / 20)
    louder: Samples = np.clip(samples * np.float32(gain), -1.0, 1.0)
    return louder
