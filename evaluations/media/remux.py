"""Copies of a file for players, in the child: what a browser can't play or seek in as it is.

A browser writes its recordings as a stream: WebM without a duration and without cues, MP4 in fragments. Cameras and
phones make containers that no browser opens, clocks that don't begin at 0, tracks of which a browser plays the silent
one, MP3 in which it guesses where a second is. Where the browser knows the codecs, packets are copied into another
container. Else the sound is encoded anew from the very samples that were listened to, so its seconds are the
transcript's; a picture that no browser shows is left out.
"""

from __future__ import annotations

import heapq
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import av
from av.audio.stream import AudioStream

from evaluations.media import kinds
from evaluations.media.audio import HOLE_SECONDS, JITTER_SECONDS, Chosen, Reading, choose, only, origin, sounds
from evaluations.media.container import container_name, moving_pictures, open_media
from evaluations.media.facts import SAMPLE_BYTES, SAMPLE_RATE, Remuxed
from queueing.exceptions import Permanent

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

Place = Callable[[int, bytes], None]
"""Puts bytes at an offset of the file that is written."""

_PIECE_BYTES: Final = 256 * 1024
_BROWSERS: Final = ("wav", "mp3", "flac", "ogg", "mp4", "mov", "webm", "matroska")
_SOUNDS: Final = ("aac", "mp3", "opus", "vorbis", "flac")  # codecs that browsers play in any of their containers
_PCM: Final = tuple(f"pcm_{each}" for each in ("u8", "s16le", "s24le", "s32le", "f32le", "alaw", "mulaw"))  # in WAV
_PICTURES: Final = ("h264", "hevc", "vp8", "vp9", "av1")
_STREAMED: Final = ("mpegts", "flv")  # containers whose packets have times that an MP4 can take over
_BIT_RATE: Final = 64_000  # of encoded sound: transparent for speech at SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Plan:
    """How a copy is made."""

    muxer: str  # FFmpeg's name of its container
    sound: int  # the index of the stream
    codec: str = ""  # FFmpeg's name of the encoder for the sound; "": its packets are copied
    picture: int | None = None  # the index of the stream whose packets are copied


def remux(path: Path, max_seconds: float, place: Place) -> Remuxed:
    """Write a copy of `path` that plays and seeks through `place`, if it needs one.

    Raises:
        Permanent: it can't be read, or not be written as what it is (code `unreadable`).
    """
    plan = _plan(path, max_seconds)
    if plan is None:
        return Remuxed(written=False)
    _write(path, plan, max_seconds, place)
    return Remuxed(written=True)


def sound(path: Path, max_seconds: float, place: Place) -> Remuxed:
    """Write the sound that is listened to through `place`, in a format that every browser plays and seeks in.

    Raises:
        Permanent: as `remux`.
    """
    _write(path, _sound_alone(choose(path, max_seconds).stream), max_seconds, place)
    return Remuxed(written=True)


def _sound_alone(stream: int) -> Plan:
    return Plan("mp3", stream, "libmp3lame")  # of a constant bit rate: a second is where a player reckons it


def _plan(path: Path, max_seconds: float) -> Plan | None:
    """None: it plays and seeks as it is."""
    with open_media(path) as source:
        name, tracks, picture = container_name(path, source), sounds(source), next(iter(moving_pictures(source)), None)
        taken = tracks[0].index if len(tracks) == 1 else choose(path, max_seconds).stream
        track = next(each for each in tracks if each.index == taken)
        codec, is_first = _codec(track), track is tracks[0]
        shown = _codec(picture) if picture and _codec(picture) in _PICTURES else ""
        native = name in _BROWSERS and (codec in _SOUNDS or (name == "wav" and codec in _PCM))
        starts, has_length = abs(origin(source)) <= JITTER_SECONDS, bool(source.duration)
        index = picture.index if picture else None
    regular, jumps = _look(path, taken, name)
    if jumps:
        return _sound_alone(taken)
    if native:
        if name in ("webm", "matroska"):
            # FFmpeg guesses a duration where it knows the bit rate, which it does for none of the browsers' codecs.
            return None if has_length and is_first and starts else Plan(name, taken, picture=index)
        if name in ("mp4", "mov"):
            whole = is_first and starts and not kinds.is_fragmented(path)
            return None if whole else Plan(name, taken, picture=index)
        return None if regular and is_first and starts else _sound_packets(codec, taken)
    if shown and (name in ("mp4", "mov", *_STREAMED)):
        return Plan("mp4", taken, "" if codec in _SOUNDS else "aac", index)
    if shown and name in ("webm", "matroska"):
        return Plan("webm", taken, "libopus", index) if shown != "h264" else Plan("mp4", taken, "aac", index)
    return _sound_packets(codec, taken) if name == "aac" else _sound_alone(taken)


def _sound_packets(codec: str, taken: int) -> Plan:
    if codec in ("aac", "mp3", "flac"):
        return Plan("mp4", taken)
    return Plan("webm", taken) if codec in ("opus", "vorbis") else _sound_alone(taken)


def _codec(stream: AudioStream | VideoStream) -> str:
    """FFmpeg's name of its codec; "" where the file's beginning doesn't say enough of it to copy its packets."""
    if stream.type == "audio" and not stream.codec_context.sample_rate:
        return ""
    return stream.codec_context.codec.canonical_name


def _look(path: Path, index: int, name: str) -> tuple[bool, bool]:
    """Of a track's packets: whether a second is where their mean bit rate puts it, and whether their clock jumps."""
    sizes: set[int] = set()
    jumps, expected = False, None
    with open_media(path) as source:
        stream = only(source, index)
        for packet in _packets(source, stream):
            sizes.add(packet.size)
            if packet.pts is None:
                continue
            at = float(packet.pts * packet.time_base)
            if expected is not None and not -1 < at - expected <= HOLE_SECONDS:
                jumps = True
            expected = at + float((packet.duration or 0) * packet.time_base)
    # A frame of a constant bit rate is padded by one byte now and then; a first one may hold the encoder's notes.
    return name != "mp3" or max(sizes, default=0) - min(sizes, default=0) <= 1, jumps


def _packets(source: InputContainer, stream: Stream) -> Iterator[av.Packet[Stream]]:
    """As far as the file can be read; the last of each stream is empty, and left out."""
    try:
        yield from (packet for packet in source.demux(stream) if packet.size)
    except MemoryError:
        raise
    except av.FFmpegError:
        return


def _write(path: Path, plan: Plan, max_seconds: float, place: Place) -> None:
    with open_media(path) as source, open_media(path) as second:
        try:
            with av.open(Pieces(place), "w", format=plan.muxer, buffer_size=_PIECE_BYTES) as copy:
                parts = []
                if plan.picture is not None:
                    parts.append(_copied(source, plan.picture, copy))
                if plan.codec:
                    parts.append(_encoded(path, second, plan, max_seconds, copy))
                else:
                    parts.append(_copied(second, plan.sound, copy))
                for _, packet in heapq.merge(*parts, key=lambda part: part[0]):
                    copy.mux(packet)
        except MemoryError:
            raise
        except (av.FFmpegError, ValueError) as error:
            raise Permanent(f"it can't be rewritten: {error}", code="unreadable") from error


Timed: TypeAlias = "tuple[float, av.Packet[Stream]]"
"""A packet, and its time in seconds."""


def _copied(source: InputContainer, index: int, copy: OutputContainer) -> Iterator[Timed]:
    """A stream's packets on a clock that begins at 0. The stream is added at once."""
    stream = source.streams[index]
    # Of a stream whose headers are in its packets the parameters are copied as they are, without an encoder.
    track = copy.add_stream_from_template(stream, opaque=True)
    begin = origin(source)

    def packets() -> Iterator[Timed]:
        for packet in _with_decoding_times(_packets(source, stream)):
            base, dts, pts = packet.time_base, packet.dts or 0, packet.pts
            offset = round(begin / base)
            packet.dts, packet.pts = dts - offset, (dts if pts is None else pts) - offset
            packet.stream = track
            yield float(packet.dts * base), packet

    return packets()


def _with_decoding_times(packets: Iterator[av.Packet[Stream]]) -> Iterator[av.Packet[Stream]]:
    """Matroska has no decoding times. FFmpeg works them out, but for the first few pictures, which are kept by this."""
    held: list[av.Packet[Stream]] = []
    for packet in packets:
        if packet.dts is None:
            held.append(packet)
            continue
        for before, early in enumerate(reversed(held), 1):
            early.dts = packet.dts - before * max(packet.duration or 1, 1)
        yield from (*held, packet)
        held = []


def _encoded(
    path: Path, source: InputContainer, plan: Plan, max_seconds: float, copy: OutputContainer
) -> Iterator[Timed]:
    """The sound that is listened to, encoded."""
    choice = choose(path, max_seconds)
    weights = choice.weights if choice.stream == plan.sound else Chosen(plan.sound).weights
    rate = 48_000 if plan.codec == "libopus" else SAMPLE_RATE
    track = copy.add_stream(plan.codec, rate=rate)
    assert isinstance(track, AudioStream)
    track.layout, track.bit_rate = "mono", _BIT_RATE
    reading = Reading(only(source, plan.sound), max_seconds, origin=origin(source), weights=weights)

    def packets() -> Iterator[Timed]:
        at = 0
        for samples in reading.samples(source):
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples) // SAMPLE_BYTES)
            frame.planes[0].update(samples + bytes(frame.planes[0].buffer_size - len(samples)))
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, at, Fraction(1, SAMPLE_RATE)
            at += frame.samples
            yield from ((at / SAMPLE_RATE, packet) for packet in track.encode(frame))
        yield from ((at / SAMPLE_RATE, packet) for packet in track.encode(None))

    return packets()


class Pieces(io.RawIOBase):
    """A writable, seekable file whose bytes go to `place`, since the child may write no file. Muxers do seek back."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._at = 0
        self._size = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        self._place(self._at, bytes(content))
        self._at += len(content)
        self._size = max(self._size, self._at)
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at
