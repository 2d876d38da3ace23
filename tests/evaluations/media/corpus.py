"""Media made while the tests run: honest clips in every container, and the hostile files of the fault catalogue.

Nothing binary is committed. This is also the one place outside `evaluations.media.container` that may open media for
reading: the negative controls need to know what an unguarded `av.open` does.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

TONE_HZ = 440

Sound = npt.NDArray[np.float32]
"""Samples of one channel, full scale ±1.0."""


@dataclass(frozen=True)
class Recipe:
    name: str
    muxer: str
    audio: str
    container: str  # as `MediaFacts` names it
    media_type: str
    rate: int = 44_100
    video: str | None = None


RECIPES = (
    Recipe("sound.wav", "wav", "pcm_s16le", "wav", "audio/wav"),
    Recipe("sound.mp3", "mp3", "libmp3lame", "mp3", "audio/mpeg"),
    Recipe("sound.m4a", "ipod", "aac", "mp4", "audio/mp4"),
    Recipe("sound.ogg", "ogg", "libopus", "ogg", "audio/ogg", rate=48_000),
    Recipe("sound.flac", "flac", "flac", "flac", "audio/flac"),
    Recipe("sound.webm", "webm", "libopus", "webm", "audio/webm", rate=48_000),
    Recipe("film.webm", "webm", "libopus", "webm", "video/webm", rate=48_000, video="libvpx"),
    Recipe("film.mp4", "mp4", "aac", "mp4", "video/mp4", video="mpeg4"),
    Recipe("film.mov", "mov", "aac", "mov", "video/quicktime", video="mpeg4"),
    Recipe("film.mkv", "matroska", "aac", "matroska", "video/x-matroska", video="mpeg4"),
)

DEVICES = (
    Recipe("phone.amr", "amr", "libopencore_amrnb", "amr", "audio/amr", rate=8_000),
    Recipe("phone.3gp", "3gp", "libopencore_amrnb", "mp4", "video/mp4", rate=8_000, video="mpeg4"),
    Recipe("recorder.aac", "adts", "aac", "aac", "audio/aac"),
    Recipe("recorder.wma", "asf", "wmav2", "asf", "audio/x-ms-wma"),
    Recipe("camera.wmv", "asf", "wmav2", "asf", "video/x-ms-wmv", video="wmv2"),
    Recipe("camera.avi", "avi", "pcm_s16le", "avi", "video/x-msvideo", video="mpeg4"),
    Recipe("camera.mts", "mpegts", "ac3", "mpegts", "video/mp2t", rate=48_000, video="libx264"),
    Recipe("camera.mpg", "mpeg", "mp2", "mpeg", "video/mpeg", video="mpeg4"),
    Recipe("mac.aiff", "aiff", "pcm_s16be", "aiff", "audio/aiff"),
    Recipe("mac.caf", "caf", "pcm_s16le", "caf", "audio/x-caf"),
    Recipe("web.flv", "flv", "libmp3lame", "flv", "video/x-flv", video="flv"),
)
"""What cameras, phones and recorders make, and no browser plays as it is."""


def tone(seconds: float, rate: int) -> npt.NDArray[np.float32]:
    return (0.3 * np.sin(np.arange(int(seconds * rate)) * 2 * np.pi * TONE_HZ / rate)).astype(np.float32)


def make(
    path: Path,
    recipe: Recipe,
    *,
    seconds: float = 2.0,
    options: dict[str, str] | None = None,
    sound: Sound | None = None,
) -> Path:
    """A clip with a tone, or with `sound` at 16 kHz, and, where the recipe has pictures, grey ones."""
    rate, samples = (recipe.rate, tone(seconds, recipe.rate)) if sound is None else (16_000, sound)
    seconds = len(samples) / rate
    with av.open(str(path), "w", format=recipe.muxer, container_options=options or {}) as container:
        track = _sound_track(container, recipe.audio, recipe.rate)
        if recipe.video:
            pictures = _picture_track(container, recipe.video)
            for index in range(int(seconds * 5)):
                container.mux(pictures.encode(picture(64, 48, shade=index * 20 % 256)))
            container.mux(pictures.encode(None))
        for frame in sound_frames(samples, rate):
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return path


def _sound_track(container: OutputContainer, codec: str, rate: int) -> AudioStream:
    track = container.add_stream(codec, rate=rate, options={"strict": "experimental"})  # of Vorbis there is no other
    assert isinstance(track, AudioStream)
    track.layout = "stereo" if codec == "vorbis" else "mono"  # it knows no other
    if codec.startswith("wma"):
        track.bit_rate = 64_000  # it has no usual one
    return track


def _picture_track(
    container: OutputContainer, codec: str, *, width: int = 64, height: int = 48, kind: str = "yuv420p"
) -> VideoStream:
    track = container.add_stream(codec, rate=5)
    assert isinstance(track, VideoStream)
    track.width, track.height, track.pix_fmt = width, height, kind
    return track


def picture(width: int, height: int, *, shade: int = 128, kind: str = "yuv420p") -> av.VideoFrame:
    grey = np.full((height, width, 3), shade, np.uint8)
    return av.VideoFrame.from_ndarray(grey, format="rgb24").reformat(format=kind)


def sound_frames(samples: npt.NDArray[np.float32], rate: int, *, block: int = 1024) -> Iterator[av.AudioFrame]:
    for start in range(0, len(samples), block):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + block], format="flt", layout="mono")
        frame.sample_rate, frame.pts = rate, start
        yield frame


def browser_recording(path: Path, *, seconds: float = 2.0) -> Path:
    """WebM as MediaRecorder writes it: live, without a duration and without an index."""
    recipe = Recipe(path.name, "webm", "libopus", "webm", "video/webm", rate=48_000, video="libvpx")
    return make(path, recipe, seconds=seconds, options={"live": "1"})


@dataclass(frozen=True)
class Ladder:
    """A tone a second, 500 + 250·n Hz in second n; beside grey pictures where there is a codec for them."""

    muxer: str
    audio: str
    video: str | None = None
    seconds: int = 6
    late: float = 0.0  # seconds by which the sound begins after the picture
    begin: float = 0.0  # what the clock shows at the beginning, in seconds
    first: int = 0  # the step of its first second
    rest: int | None = None  # the step in which nothing is heard, for which a variable bit rate takes few bytes
    hole: tuple[int, int] | None = None  # after so many seconds of sound, so many seconds without
    quality: int | None = None  # of a variable bit rate
    options: dict[str, str] | None = None


FIRST_HZ, STEP_HZ = 500, 250


def ladder(path: Path, made: Ladder) -> Path:
    rate = 48_000
    with av.open(str(path), "w", format=made.muxer, container_options=made.options or {}) as container:
        pictures = _picture_track(container, made.video) if made.video else None
        variable = {"global_quality": str(118 * made.quality), "flags": "+qscale"} if made.quality else {}
        sound = container.add_stream(made.audio, rate=rate, options=variable)
        assert isinstance(sound, AudioStream)
        sound.layout = "mono"
        for second in range(made.seconds + round(made.late)):
            for index in range(5 if pictures else 0):
                assert pictures
                shown = picture(64, 48, shade=(second * 5 + index) * 20 % 256)
                shown.pts = round(made.begin * 5) + second * 5 + index
                container.mux(pictures.encode(shown))
            step = second - round(made.late)
            if step < 0:
                continue
            gap = made.hole[1] if made.hole and step >= made.hole[0] else 0
            shift = round((made.begin + made.late + step + gap) * rate)
            hertz, loudness = FIRST_HZ + STEP_HZ * (made.first + step), 0.0 if step == made.rest else 0.3
            samples = (loudness * np.sin(np.arange(rate) * 2 * np.pi * hertz / rate)).astype(np.float32)
            for frame in sound_frames(samples, rate, block=960):
                frame.pts = (frame.pts or 0) + shift
                container.mux(sound.encode(frame))
        if pictures:
            container.mux(pictures.encode(None))
        container.mux(sound.encode(None))
    return path


def step_in(second: Sound) -> int:
    """Which step of a ladder is heard in a second at 16 kHz; -1: none."""
    middle = second[4000:12_000]
    if np.abs(middle).max() < 0.01:
        return -1
    hertz = np.abs(np.fft.rfft(middle)).argmax() * 16_000 / len(middle)
    return round((hertz - FIRST_HZ) / STEP_HZ)


def with_tracks(path: Path, tracks: Sequence[Sequence[Sound]], *, rate: int = 16_000, preferred: int = 0) -> Path:
    """Several sound tracks, each of several channels of the same length, in Matroska without loss."""
    layouts = {1: "mono", 2: "stereo", 6: "5.1"}
    with av.open(str(path), "w", format="matroska") as container:
        streams = [_sound_track(container, "pcm_s16le", rate) for _ in tracks]
        for number, (stream, channels) in enumerate(zip(streams, tracks, strict=True)):
            stream.layout = layouts[len(channels)]
            stream.disposition = Disposition.default if number == preferred else Disposition(0)
        for start in range(0, len(tracks[0][0]), rate):
            for stream, channels in zip(streams, tracks, strict=True):
                block = np.stack([channel[start : start + rate] for channel in channels], axis=1)
                packed = (block * 32_767).clip(-32_768, 32_767).astype(np.int16).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=stream.layout.name)
                frame.sample_rate, frame.pts = rate, start
                container.mux(stream.encode(frame))
    return path


def silent_film(path: Path) -> Path:
    """Pictures and no sound track."""
    with av.open(str(path), "w", format="mp4") as container:
        pictures = _picture_track(container, "mpeg4")
        container.mux(pictures.encode(picture(64, 48)))
        container.mux(pictures.encode(None))
    return path


def flood_of_pixels(path: Path, *, width: int, height: int) -> Path:
    """A small file with one huge picture beside its sound."""
    with av.open(str(path), "w", format="matroska") as container:
        pictures = _picture_track(container, "mjpeg", width=width, height=height, kind="yuvj420p")
        sound = _sound_track(container, "pcm_s16le", 8000)
        container.mux(pictures.encode(picture(width, height, kind="yuvj420p")))
        container.mux(pictures.encode(None))
        for frame in sound_frames(tone(1.5, 8000), 8000):
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def duration_bomb(path: Path, *, seconds: int) -> Path:
    """Silence in FLAC: hours in a few hundred kilobytes."""
    silence = np.zeros((1, 8000 * 4), np.int16)
    with av.open(str(path), "w", format="flac") as container:
        sound = _sound_track(container, "flac", 8000)
        sound.format = "s16"
        for start in range(0, seconds, 4):
            frame = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, start * 8000
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def many_streams(path: Path, *, count: int) -> Path:
    with av.open(str(path), "w", format="matroska") as container:
        for sound in [_sound_track(container, "pcm_s16le", 8000) for _ in range(count)]:
            frame = next(sound_frames(tone(0.1, 8000), 8000, block=800))
            container.mux(sound.encode(frame))
    return path


def long_tags(path: Path, *, characters: int) -> Path:
    with av.open(str(path), "w", format="matroska") as container:
        container.metadata["title"] = "x" * characters
        sound = _sound_track(container, "pcm_s16le", 8000)
        for frame in sound_frames(tone(1.5, 8000), 8000):
            container.mux(sound.encode(frame))
    return path


def wav(samples: bytes, *, rate: int = 16_000, claimed: int | None = None, kind: int = 1, bits: int = 16) -> bytes:
    """A WAV file whose header claims `claimed` bytes of sound, whatever it has."""
    claimed = len(samples) if claimed is None else claimed
    shape = struct.pack("<HHIIHH", kind, 1, rate, rate * bits // 8, bits // 8, bits)
    header = b"RIFF" + struct.pack("<I", (36 + claimed) & 0xFFFFFFFF) + b"WAVEfmt " + struct.pack("<I", 16) + shape
    return header + b"data" + struct.pack("<I", claimed) + samples


def with_cover(path: Path, mp3: bytes, *, side: int) -> Path:
    """An MP3 with a square cover picture in its ID3 tag."""
    image = _png(side)
    frame = b"\0image/png\0\3\0" + image
    body = b"APIC" + struct.pack(">I", len(frame)) + b"\0\0" + frame  # ID3v2.3: plain big-endian size
    size = bytes(len(body) >> shift & 0x7F for shift in (21, 14, 7, 0))
    path.write_bytes(b"ID3\3\0\0" + size + body + mp3)
    return path


def _png(side: int) -> bytes:
    rows = zlib.compress((b"\0" + b"\x80" * side) * side)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, data) for kind, data in chunks)


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def playlists(foreign: Path, address: str) -> dict[str, bytes]:
    """Texts that make an unguarded FFmpeg open `foreign` or call `address`, by name."""
    relative = f"../{foreign.parent.name}/{foreign.name}"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n{}#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n"
    sdp = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT9S"'
        '><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    texts = {
        "hls_local": hls.format("", foreign),
        "hls_file_url": hls.format("", f"file://{foreign}"),
        "hls_relative": hls.format("", relative),
        "hls_http": hls.format("", f"http://{address}/a.ts"),
        "hls_key": hls.format(f'#EXT-X-KEY:METHOD=AES-128,URI="{foreign}"\n', "a.ts"),
        "hls_map": hls.format(f'#EXT-X-MAP:URI="http://{address}/a"\n', "a.m4s"),
        "hls_concat": hls.format("", f"concat:{foreign}|{foreign}"),
        "hls_subfile": hls.format("", f"subfile,,start,0,end,64,,:{foreign}"),
        "hls_data": hls.format("", "data:audio/wav;base64,UklGRg=="),
        "hls_crypto": hls.format("", f"crypto:{foreign}"),
        "ffconcat_absolute": f"ffconcat version 1.0\nfile '{foreign}'\n",
        "ffconcat_relative": f"ffconcat version 1.0\nfile {relative}\n",
        "ffconcat_option": f"ffconcat version 1.0\nfile '{foreign}'\noption safe 0\n",
        "ffconcat_http": f"ffconcat version 1.0\nfile 'http://{address}/a.mp4'\n",
        "dash_file": dash.format(f"file://{foreign}"),
        "dash_http": dash.format(f"http://{address}/a"),
        "sdp": sdp,
        "ffmetadata": ";FFMETADATA1\ntitle=x\n",
        "lavfi": "-f lavfi -i sine",
        "image_sequence": f"{foreign.parent}/%d.png\n",
    }
    return {name: text.encode() for name, text in texts.items()}


class Mutator:
    """Damages files, the same way each time for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def mutate(self, data: bytes) -> bytes:
        for _ in range(self._random.randint(1, 3)):
            damage = self._random.choice((self._flip, self._cut, self._drop, self._repeat, self._blank, self._extreme))
            data = damage(data) or data[:1]
        return data

    def _at(self, data: bytes) -> int:
        # Half of the damage goes to the headers.
        return self._random.randrange(min(len(data), 256) if self._random.random() < 0.5 else len(data))

    def _flip(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._random.randint(1, 30)):
            changed[self._at(data)] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _cut(self, data: bytes) -> bytes:
        return data[: self._at(data)]

    def _drop(self, data: bytes) -> bytes:
        start = self._at(data)
        return data[:start] + data[start + self._random.randint(1, 64) :]

    def _repeat(self, data: bytes) -> bytes:
        start = self._at(data)
        return data[:start] + data[start : start + 512] * 3 + data[start:]

    def _blank(self, data: bytes) -> bytes:
        start = self._at(data)
        size = self._random.randint(1, 512)
        return data[:start] + bytes(size) + data[start + size :]

    def _extreme(self, data: bytes) -> bytes:
        start = self._at(data)
        number = self._random.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"))
        return data[:start] + number + data[start + 4 :]


def open_naively(path: Path, *, as_file: bool) -> None:
    """What a forgotten guard would do. Errors don't matter: the damage is done while opening."""
    try:
        if as_file:
            with path.open("rb") as file, av.open(file, mode="r") as container:
                _read_a_packet(container)
        else:
            with av.open(str(path), mode="r") as container:
                _read_a_packet(container)
    except (av.FFmpegError, ValueError):
        pass


def _read_a_packet(container: InputContainer) -> None:
    next(container.demux(), None)
