"""Pure: how long something takes, learnt from how long it took lately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev, stdev
from typing import Final

MIN_SAMPLES: Final = 3  # fewer recent samples than this say nothing
MIN_SAMPLES_FOR_SLOPE: Final = 8  # … and nothing about how it grows with the recording
OUTLIER_FACTOR: Final = (
    3.0  # what took so many times the median counts as that much: one that hung says little about the others
)


@dataclass(frozen=True, slots=True)
class Sample:
    seconds: float
    audio: float | None = None  # seconds of the recording; None: unknown


@dataclass(frozen=True, slots=True)
class Duration:
    """A length of time that is not known exactly, in seconds."""

    mean: float
    spread: float = 0.0  # standard deviation of one
    doubt: float = 0.0  # standard error of `mean`: the same for all that are computed from it, so it adds up


@dataclass(frozen=True, slots=True)
class Pace:
    """base + slope × seconds of audio, or the mean where the recording's length is not known."""

    plain: Duration
    base: float = 0.0
    slope: float = 0.0
    spread: float = 0.0  # around the line

    def of(self, audio: float | None) -> Duration:
        if audio is None or not self.slope:
            return self.plain
        return Duration(self.base + self.slope * audio, self.spread, self.plain.doubt)


def learn(samples: Sequence[Sample]) -> Pace | None:
    """None: too few samples."""
    if len(samples) < MIN_SAMPLES:
        return None
    middle = sorted(sample.seconds for sample in samples)[len(samples) // 2]
    samples = [Sample(min(sample.seconds, OUTLIER_FACTOR * middle), sample.audio) for sample in samples]
    seconds = [sample.seconds for sample in samples]
    spread = stdev(seconds)
    # A spread that was itself learnt from three says little about how wrong their mean is: as Student's t, roughly.
    doubt = spread / len(seconds) ** 0.5 * (1 + 2 / len(seconds))
    plain = Duration(fmean(seconds), spread, doubt)
    return _with_slope(plain, [(one.audio, one.seconds) for one in samples if one.audio is not None])


def _with_slope(plain: Duration, known: Sequence[tuple[float, float]]) -> Pace:
    """Least squares. A longer recording is not done sooner, and none takes less than nothing."""
    if len(known) < MIN_SAMPLES_FOR_SLOPE:
        return Pace(plain)
    audio, seconds = fmean(x for x, _ in known), fmean(y for _, y in known)
    variance = sum((x - audio) ** 2 for x, _ in known)
    slope = sum((x - audio) * (y - seconds) for x, y in known) / variance if variance else 0.0
    if slope <= 0:
        return Pace(plain)
    slope = min(slope, seconds / audio)
    base = max(seconds - slope * audio, 0.0)
    return Pace(plain, base, slope, pstdev([y - base - slope * x for x, y in known]))
