"""Audio decoding of a hostile file, in the child: decode, count, resample, never trusting a header.

Second t of what leaves here is what a player plays at t: silence stands for a sound that begins late and for holes, and
a clock that begins at 100 s begins at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.stream import Discard

from evaluations.media import kinds
from evaluations.media.container import facts_of, open_media
from evaluations.media.facts import SAMPLE_BYTES, SAMPLE_RATE, MediaFacts
from queueing.exceptions import Permanent

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from av.audio.stream import AudioStream
    from av.container import InputContainer

Sink = Callable[[bytes], None]
"""Takes mono samples at SAMPLE_RATE, signed 16 bit."""

SLACK_SECONDS: Final = 0.5  # codecs pad their last frame
MIN_SECONDS: Final = 1.0  # of a damaged file, to be worth anything
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz, of any recording
MAX_CHANNELS: Final = 16
MAX_ERRORS: Final = 2000  # packets in one file; fewer are tolerated as damage
JITTER_SECONDS: Final = 0.08  # of a container's clock; a codec's own delay is less, too
TAGS: Final = (b"ID3", b"TAG", b"APETAGEX")  # what MP3 holds beside sound
HOLE_SECONDS: Final = 10.0  # a longer gap, or a step back, is no silence: another recording follows in the same file


def read_audio(path: Path, *, max_seconds: float, sink: Sink) -> MediaFacts:
    """Decode the track and the channels in which somebody speaks into `sink`.

    Raises:
        Permanent: see `evaluations.media`.
    """
    choice = choose(path, max_seconds)
    with open_media(path) as container:
        stream = only(container, choice.stream)
        reading = Reading(stream, max_seconds, origin=origin(container), weights=choice.weights)
        for samples in reading.samples(container):
            sink(samples)
        declared = _declared_seconds(container, stream, gaps=reading.seconds - reading.sounding)
        reading.judge(declared=declared, cut=kinds.is_cut(path))
        codec = stream.codec_context.name
        return facts_of(
            path,
            container,
            audio_codec=codec,
            duration=round(reading.seconds, 6),
            ends_early=reading.ends_early,
            damaged_at=reading.damaged_at,
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """The sound that is listened to."""

    stream: int  # its index in the container
    weights: tuple[float, ...] = ()  # of its channels in the mix; of another number of channels, all alike


def choose(path: Path, max_seconds: float) -> Chosen:
    """The track and channels to listen to; more than one channel in all takes a pass over the file.

    Raises:
        Permanent: as `open_media` and `sounds`.
    """
    with open_media(path) as container:
        streams = sounds(container)
        if len(streams) == 1 and streams[0].codec_context.channels == 1:
            return Chosen(streams[0].index)
    from evaluations.media import tracks  # loads NumPy, which one channel doesn't need

    return tracks.choose(path, max_seconds)


def sounds(container: InputContainer) -> list[AudioStream]:
    """The audio streams that can be decoded, at least one.

    Raises:
        Permanent: `no_audio`, or `unsupported` where FFmpeg knows none of the codecs.
    """
    streams = container.streams.audio
    if not streams:
        raise Permanent("it has no audio track", code="no_audio")
    known = [each for each in streams if each.codec_context is not None]
    if not known:
        raise Permanent("its audio is in a codec that is not known", code="unsupported")
    return known


def only(container: InputContainer, index: int) -> AudioStream:
    """The stream of that index; no other one is even read where the container can skip it."""
    stream = next(each for each in sounds(container) if each.index == index)
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream


def origin(container: InputContainer) -> float:
    """What a container's clock shows when its first picture or sound is played, in seconds."""
    return (container.start_time or 0) / av.time_base


def _declared_seconds(container: InputContainer, stream: AudioStream, *, gaps: float) -> float:
    """How much sound there is by the header; 0 where it doesn't say. `gaps`: seconds without any in between."""
    # MP3 and streams of bare frames declare nothing: FFmpeg guesses from the first frames' bit rate.
    if container.format.name in ("mp3", "aac", "amr") or stream.duration is None or stream.time_base is None:
        return 0.0
    # Matroska declares the last sound's end, by its own clock; others how much there is.
    before = origin(container) + gaps if container.format.name.startswith("matroska") else 0.0
    return float(stream.duration * stream.time_base) - before


@dataclass
class Reading:
    """One pass over an audio stream."""

    stream: AudioStream
    max_seconds: float
    origin: float = 0.0
    weights: tuple[float, ...] = ()
    seconds: float = 0.0  # of the player's clock, up to where the sound was decoded
    sounding: float = 0.0  # seconds of them that were decoded
    jumps: int = 0  # how often the container's clock jumped
    damaged_at: float | None = None  # seconds, the first place
    ends_early: bool = False
    errors: int = 0
    _shift: float = 0.0  # seconds that jumps took off the container's clock
    _resampler: AudioResampler | None = None
    _format: tuple[str, str, int] | None = field(default=None)

    def frames(self, container: InputContainer) -> Iterator[tuple[float, AudioFrame]]:
        """Decoded frames, each after its gap in seconds, until the end or until there are too many seconds of them."""
        for packet in self._packets(container):
            for frame in self._decoded(packet):
                if not LOWEST_RATE <= frame.sample_rate <= HIGHEST_RATE:
                    raise Permanent(f"{frame.sample_rate} samples a second", code="unreadable")
                if frame.layout.nb_channels > MAX_CHANNELS:
                    raise Permanent(f"{frame.layout.nb_channels} channels", code="unreadable")
                gap = self._gap_before(frame)
                length = frame.samples / frame.sample_rate
                self.seconds += gap + length
                self.sounding += length
                if frame.is_corrupt:
                    self._damaged()
                if self.seconds > self.max_seconds + SLACK_SECONDS:
                    raise Permanent(f"more than {self.max_seconds:.0f} s of audio", code="too_long")
                yield gap, frame

    def _gap_before(self, frame: AudioFrame) -> float:
        if frame.time is None:
            return 0.0
        gap = frame.time - self.origin - self._shift - self.seconds
        if abs(gap) <= JITTER_SECONDS:
            return 0.0
        late = self.max_seconds if not self.sounding else HOLE_SECONDS
        if 0 < gap <= late:
            if self.sounding and self.stream.container.format.name in ("ogg", "flac"):
                self._damaged()  # what follows each other there has no holes: something is lost
            return gap
        self.jumps += 1
        self._shift += gap
        return 0.0

    def samples(self, container: InputContainer) -> Iterator[bytes]:
        """All of it in place, mixed by `weights`: mono at SAMPLE_RATE, signed 16 bit."""
        for gap, frame in self._in_place(container):
            yield bytes(round(gap * SAMPLE_RATE) * SAMPLE_BYTES) if frame is None else self._mixed(frame)

    def channels(self, container: InputContainer) -> Iterator[npt.NDArray[np.int16]]:
        """What was decoded of it, in blocks of the shape (channels, n) at SAMPLE_RATE; the gaps are left out."""
        yield from (_samples_of(frame) for _, frame in self._in_place(container) if frame is not None)

    def _in_place(self, container: InputContainer) -> Iterator[tuple[float, AudioFrame | None]]:
        """Planar frames at SAMPLE_RATE, and gaps (in seconds) without a frame."""
        for gap, frame in self.frames(container):
            # A stream may change its rate or layout half-way.
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            if gap or shape != self._format:
                yield from self._rest()
            if gap:
                yield gap, None
            yield from ((0.0, out) for out in self._resampled(frame, shape))
        yield from self._rest()

    def _resampled(self, frame: AudioFrame, shape: tuple[str, str, int]) -> list[AudioFrame]:
        if self._resampler is None:
            self._resampler = AudioResampler(format="s16p", layout=frame.layout.name, rate=SAMPLE_RATE)
            self._format = shape
        frame.pts = None  # its place is known
        try:
            return self._resampler.resample(frame)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            # Damage turned it into something else. What is not passed on is not counted either.
            self._note(error)
            self.seconds -= frame.samples / frame.sample_rate
            self._resampler = None
            return []

    def _rest(self) -> list[tuple[float, AudioFrame]]:
        """What the resampler still holds."""
        held = self._resampler.resample(None) if self._resampler is not None else []
        self._resampler = None
        return [(0.0, out) for out in held]

    def judge(self, *, declared: float, cut: bool) -> None:
        """Decide after the pass whether enough could be decoded.

        Args:
            declared: seconds by the header.
            cut: the file's structure says that bytes are missing at its end.

        Raises:
            Permanent: `empty_sound` when a track had no samples, `unreadable` when damage left too little, `too_short`
                when a whole file has too little.
        """
        self.ends_early = cut or declared > self.sounding * 1.05 + 1
        if self.ends_early:
            self._damaged()
        if self.damaged_at is not None and self.sounding < MIN_SECONDS:
            raise Permanent(f"only {self.sounding:.2f} s of it can be decoded", code="unreadable")
        if not self.sounding:
            raise Permanent("its audio track holds no samples", code="empty_sound")

    def _packets(self, container: InputContainer) -> Iterator[av.Packet[AudioStream] | None]:
        try:
            yield from container.demux(self.stream)
        except MemoryError:
            raise
        except av.FFmpegError as error:
            if _is_unknown_chain(error, container):
                raise Permanent(f"it goes on in a way that is not known: {error}", code="unsupported") from error
            self._note(error)
            yield None  # makes the codec give up its last frames

    def _decoded(self, packet: av.Packet[AudioStream] | None) -> list[AudioFrame]:
        if packet is not None and (_is_pause(packet) or _is_tag(packet)):
            return []
        try:
            return [frame for frame in self.stream.decode(packet) if isinstance(frame, AudioFrame)]
        except MemoryError:
            raise
        except av.FFmpegError as error:
            self._note(error)
            return []

    def _note(self, error: av.FFmpegError) -> None:
        self._damaged()
        self.errors += 1
        if self.errors > MAX_ERRORS:
            raise Permanent(f"too much of it is damaged: {error}", code="unreadable") from error

    def _damaged(self) -> None:
        if self.damaged_at is None:
            self.damaged_at = round(self.seconds, 3)

    def _mixed(self, frame: AudioFrame) -> bytes:
        channels = frame.layout.nb_channels
        if channels == 1:
            return _plane(frame, 0)
        import numpy as np

        weights = self.weights if len(self.weights) == channels else (1 / channels,) * channels
        mix = np.asarray(weights, np.float32) @ _samples_of(frame)
        return mix.round().clip(-32_768, 32_767).astype(np.int16).tobytes()


def _is_unknown_chain(error: av.FFmpegError, container: InputContainer) -> bool:
    """Whether an Ogg, which may be whole, goes on with another codec, or another rate or number of channels of Vorbis.

    FFmpeg reads no further there. Damage does not lead there: pages with wrong checksums are passed over.
    """
    return container.format.name == "ogg" and isinstance(error, (av.PatchWelcomeError, av.ArgumentError))


def _is_pause(packet: av.Packet[AudioStream]) -> bool:
    """Whether it is one of the frames without sound that a phone writes while nobody speaks (3GPP TS 26.101 table 1a,
    26.201 table 1a). FFmpeg refuses them as damage; their time is left silent."""
    lowest = {"amrnb": 8, "amrwb": 9}.get(packet.stream.codec_context.name)
    return lowest is not None and packet.size > 0 and bytes(packet)[0] >> 3 & 0xF >= lowest


def _is_tag(packet: av.Packet[AudioStream]) -> bool:
    """Whether it is a title and the like: each part of an MP3 that was joined of several has its own. No damage."""
    return packet.stream.codec_context.name.startswith("mp3") and bytes(packet)[:8].startswith(TAGS)


def _samples_of(frame: AudioFrame) -> npt.NDArray[np.int16]:
    """Of a planar frame, shape (channels, n)."""
    import numpy as np

    return np.stack([np.frombuffer(_plane(frame, number), np.int16) for number in range(frame.layout.nb_channels)])


def _plane(frame: AudioFrame, number: int) -> bytes:
    # It is padded beyond the samples.
    return bytes(memoryview(frame.planes[number])[: frame.samples * SAMPLE_BYTES])
