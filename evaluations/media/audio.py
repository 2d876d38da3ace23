"""Audio decoding of a hostile file, in the child: decode, count, resample, never trusting a header."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.stream import Discard

from evaluations.media.container import facts_of, open_media
from evaluations.media.facts import SAMPLE_BYTES, SAMPLE_RATE, MediaFacts
from queueing.exceptions import Permanent

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Sink = Callable[[bytes], None]
"""Takes mono samples at SAMPLE_RATE, signed 16 bit."""

SLACK_SECONDS = 0.5  # codecs pad their last frame
MIN_SECONDS = 1.0  # of a damaged file, to be worth anything
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz, of any recording
MAX_ERRORS = 2000  # packets in one file; fewer are tolerated as damage


def read_audio(path: Path, *, max_seconds: float, sink: Sink) -> MediaFacts:
    """Decode all of a file's audio into `sink`.

    Raises:
        Permanent: see `evaluations.media`.
    """
    with open_media(path) as container:
        stream = _audio_stream(container)
        reading = Reading(stream, max_seconds)
        for frame in reading.frames(container):
            reading.resample(frame, sink)
        reading.finish(sink)
        reading.judge(declared=_declared_seconds(container, stream))
        codec = stream.codec_context.name
        return facts_of(path, container, audio_codec=codec, duration=round(reading.seconds, 6), damaged=reading.damaged)


def _audio_stream(container: InputContainer) -> AudioStream:
    streams = container.streams.audio
    if not streams:
        raise Permanent("it has no audio track", code="no_audio")
    stream = next((each for each in streams if each.codec_context is not None), None)
    if stream is None:
        raise Permanent("its audio is in a codec that is not known", code="unreadable")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all  # not even read where the container can skip it
    return stream


def _declared_seconds(container: InputContainer, stream: AudioStream) -> float:
    # MP3 declares nothing: FFmpeg guesses from the first frames' bit rate.
    if container.format.name == "mp3" or stream.duration is None or stream.time_base is None:
        return 0.0
    return float(stream.duration * stream.time_base)


@dataclass
class Reading:
    """One pass over an audio stream."""

    stream: AudioStream
    max_seconds: float
    seconds: float = 0.0
    damaged: bool = False
    errors: int = 0
    _resampler: AudioResampler | None = None
    _format: tuple[str, str, int] | None = field(default=None)

    def frames(self, container: InputContainer) -> Iterator[AudioFrame]:
        """Decoded frames, until the end or until there are too many seconds of them."""
        for packet in self._packets(container):
            for frame in self._decoded(packet):
                if not LOWEST_RATE <= frame.sample_rate <= HIGHEST_RATE:
                    raise Permanent(f"{frame.sample_rate} samples a second", code="unreadable")
                self.seconds += frame.samples / frame.sample_rate
                self.damaged |= frame.is_corrupt
                if self.seconds > self.max_seconds + SLACK_SECONDS:
                    raise Permanent(f"more than {self.max_seconds:.0f} s of audio", code="too_long")
                yield frame

    def resample(self, frame: AudioFrame, sink: Sink) -> None:
        """Pass a frame on at SAMPLE_RATE. A stream may change its rate or layout half-way."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or shape != self._format:
            self.finish(sink)
            # Mixed down to integers the channels' weights add up to one; to floats they would overshoot full scale.
            self._resampler = AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            self._format = shape
        frame.pts = None  # gaps and jumps in the clock are no samples
        try:
            resampled = self._resampler.resample(frame)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            # Damage turned it into channels that can't be mixed. What is not passed on is not counted either.
            self._note(error)
            self.seconds -= frame.samples / frame.sample_rate
            self._resampler = None
            return
        for out in resampled:
            sink(_bytes_of(out))

    def finish(self, sink: Sink) -> None:
        """Pass on what the resampler still holds."""
        if self._resampler is not None:
            for out in self._resampler.resample(None):
                sink(_bytes_of(out))
            self._resampler = None

    def judge(self, *, declared: float) -> None:
        """Decide after the pass whether enough could be decoded. `declared`: seconds by the header.

        Raises:
            Permanent: `no_audio` when a sound file had no samples, `unreadable` when damage left too little.
        """
        self.damaged |= declared > self.seconds * 1.05 + 1
        if self.damaged and self.seconds < MIN_SECONDS:
            raise Permanent(f"only {self.seconds:.2f} s of it can be decoded", code="unreadable")
        if not self.seconds:
            raise Permanent("its audio track holds no samples", code="no_audio")

    def _packets(self, container: InputContainer) -> Iterator[av.Packet[AudioStream] | None]:
        try:
            yield from container.demux(self.stream)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            self._note(error)
            yield None  # makes the codec give up its last frames

    def _decoded(self, packet: av.Packet[AudioStream] | None) -> list[AudioFrame]:
        try:
            return [frame for frame in self.stream.decode(packet) if isinstance(frame, AudioFrame)]
        except MemoryError:
            raise
        except av.FFmpegError as error:
            self._note(error)
            return []

    def _note(self, error: av.FFmpegError) -> None:
        self.damaged = True
        self.errors += 1
        if self.errors > MAX_ERRORS:
            raise Permanent(f"too much of it is damaged: {error}", code="unreadable") from error


def _bytes_of(frame: AudioFrame) -> bytes:
    # The plane is padded beyond the samples.
    return bytes(memoryview(frame.planes[0])[: frame.samples * SAMPLE_BYTES])
