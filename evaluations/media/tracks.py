"""Which sound of a file is listened to, in the child: the track and the channels in which somebody speaks.

A camera may write a silent track beside the one that speaks, or two channels that cancel each other in an average. So
all channels are averaged only where nothing is lost by it, and who speaks where is heard by the same model
that finds the voice for Whisper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from av.stream import Disposition

from evaluations.media.audio import Chosen, Reading, only, origin, sounds
from evaluations.media.container import open_media
from evaluations.media.facts import SAMPLE_RATE
from queueing.exceptions import Permanent

Block = npt.NDArray[np.int16]
"""Of one track, shape (channels, n), at SAMPLE_RATE."""

WINDOW: Final = SAMPLE_RATE // 2  # samples over which channels are compared
BLOCK: Final = 10 * SAMPLE_RATE  # samples that are listened to at once
LISTENED_SECONDS: Final = 1200.0  # in all, spread over file and candidates: about four seconds of work
AUDIBLE: Final = 4.0  # root mean square of a window, of 32 768: 78 dB below full scale; dither has less
KEPT: Final = 0.6  # of the loudest channel's energy, that an average must keep
NEARLY_ALL: Final = 0.95  # of the windows
ENOUGH: Final = 0.5  # of the most speech in any track: a track that is to be preferred is taken with that much
MORE: Final = 1.1  # times the speech of the best channel, which a mix of several must have


@dataclass(frozen=True, slots=True)
class Mix:
    """A candidate: a track's channels, weighted."""

    stream: int
    weights: tuple[float, ...]


@dataclass
class Track:
    """What a pass over the file measured of one track."""

    stream: int
    preferred: bool  # the file says that players take it
    windows: int = 0  # in which there is any sound
    lossless: int = 0  # of them, in which the average of the audible channels keeps the loudest one's energy
    seconds: float = 0.0
    with_loudest: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # by channel, their product
    peak: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))  # by channel, of the windows' roots

    def measure(self, block: Block) -> None:
        """Add what is heard in a block; of one with another number of channels than the first had, nothing."""
        if not len(self.peak):
            self.with_loudest, self.peak = (np.zeros(len(block)) for _ in range(2))
        if len(self.peak) != len(block):
            return
        self.seconds += block.shape[1] / SAMPLE_RATE
        for start in range(0, block.shape[1], WINDOW):
            self._compare(block[:, start : start + WINDOW].astype(np.float64))

    def _compare(self, window: npt.NDArray[np.float64]) -> None:
        energy = (window**2).mean(axis=1)
        self.peak = np.maximum(self.peak, np.sqrt(energy))
        audible = energy > AUDIBLE**2
        if not audible.any():
            return
        self.windows += 1
        loudest = int(energy.argmax())
        self.with_loudest += (window * window[loudest]).mean(axis=1)
        self.lossless += bool((window[audible].mean(axis=0) ** 2).mean() >= KEPT * energy[loudest])

    @property
    def audible(self) -> list[int]:
        return [number for number, peak in enumerate(self.peak) if peak > AUDIBLE]

    def candidates(self) -> list[Mix]:
        """What could be listened to in it, one where there is nothing to choose; none of a silent track."""
        if not self.audible:
            return []
        together = self._mix(dict.fromkeys(self.audible, 1.0))
        if len(self.audible) == 1 or self.lossless >= NEARLY_ALL * self.windows:
            return [together]
        # Turned round where it is the loudest channel's opposite, a channel adds to it instead of cancelling it.
        signs = {number: -1.0 if self.with_loudest[number] < 0 else 1.0 for number in self.audible}
        return [*(self._mix({number: 1.0}) for number in self.audible), self._mix(signs)]

    def _mix(self, parts: Mapping[int, float]) -> Mix:
        return Mix(self.stream, tuple(parts.get(number, 0.0) / len(parts) for number in range(len(self.peak))))


def choose(path: Path, max_seconds: float) -> Chosen:
    """See `audio.choose`."""
    tracks = _measured(path, max_seconds)
    offered = {track.stream: track.candidates() for track in tracks}
    candidates = [mix for each in offered.values() for mix in each]
    if not candidates:
        return Chosen(tracks[0].stream)
    if len(candidates) == 1:
        return Chosen(candidates[0].stream, candidates[0].weights)
    speech = _listen(path, candidates, max_seconds, longest=max(track.seconds for track in tracks))
    best = [_best(mixes, speech) for mixes in offered.values() if mixes]
    most = max(speech[mix] for mix in best)
    taken = next(mix for mix in best if speech[mix] >= ENOUGH * most)
    return Chosen(taken.stream, taken.weights)


def _best(mixes: Sequence[Mix], speech: Mapping[Mix, float]) -> Mix:
    """Of a track: the channel with the most speech, unless several together have more, as where two people speak."""
    *single, together = mixes
    best = max(single, key=speech.__getitem__, default=together)
    return together if speech[together] > MORE * speech[best] or not speech[best] else best


def _measured(path: Path, max_seconds: float) -> list[Track]:
    """All tracks, the preferred ones first."""
    with open_media(path) as container:
        found = [Track(one.index, bool(one.disposition & Disposition.default)) for one in sounds(container)]
    for track in found:
        for block in _blocks(path, track.stream, max_seconds):
            track.measure(block)
    return sorted(found, key=lambda track: not track.preferred)


def _listen(path: Path, candidates: Sequence[Mix], max_seconds: float, *, longest: float) -> dict[Mix, float]:
    """Seconds of speech in each of them, in blocks that lie evenly over the file."""
    from queueing.engines.speech.voice import listen, raised  # half a second, which most files don't need

    step = ceil(max(longest, 1.0) * len(candidates) / LISTENED_SECONDS)
    speech = dict.fromkeys(candidates, 0.0)
    for stream in dict.fromkeys(mix.stream for mix in candidates):
        for block in islice(_blocks(path, stream, max_seconds), 0, None, step):
            for mix in candidates:
                if mix.stream == stream and len(mix.weights) == len(block):
                    samples = np.asarray(mix.weights, np.float32) @ block / np.float32(32_768)
                    speech[mix] += listen(raised(samples)).speech_seconds
    return speech


def _blocks(path: Path, index: int, max_seconds: float) -> Iterator[Block]:
    """A track in blocks of BLOCK samples, as far as it can be read."""
    with open_media(path) as container, suppress(Permanent):
        stream = only(container, index)
        held: list[Block] = []
        for block in Reading(stream, max_seconds, origin=origin(container)).channels(container):
            if held and len(held[0]) != len(block):  # it changes its layout half-way
                yield np.concatenate(held, axis=1)
                held = []
            held.append(block)
            if sum(one.shape[1] for one in held) >= BLOCK:
                yield np.concatenate(held, axis=1)
                held = []
        if held:
            yield np.concatenate(held, axis=1)
