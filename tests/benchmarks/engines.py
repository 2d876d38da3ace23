"""The real engines: speech beside openai-whisper's own command, the local language model, and a hand-over's cost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import Event
from typing import TYPE_CHECKING

from queueing.engines.base import SAMPLE_RATE, JSONSchema, LanguageOptions, Prompt, Samples, Speech
from queueing.engines.llm.embedded import EmbeddedLlama
from queueing.engines.speech.faster_whisper import FasterWhisper
from tests.benchmarks.processes import ROOT, cpu_seconds_of_the_ended
from tests.benchmarks.report import Row, Table

if TYPE_CHECKING:
    from evaluations.demo import DemoClip

Say = Callable[[str], None]

COMMAND_SECONDS = 1800.0
WEIGHTS = "tiny.en"
SLOTS = (1, 2, 4)
CONTEXT_TOKENS = 2048
COUNTING = Prompt("You answer in JSON.", "Count from one to ten, again and again.")
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def _so_many(numbers: int) -> JSONSchema:
    """So that every answer is as long."""
    array = {"type": "array", "items": {"enum": NUMBERS}, "minItems": numbers, "maxItems": numbers}
    return {"type": "object", "properties": {"numbers": array}, "required": ["numbers"], "additionalProperties": False}


LONG, SHORT = _so_many(60), _so_many(1)


def engines(*, rounds: int, say: Say) -> list[Table]:
    return [_speech(rounds, say), _language(rounds, say), _hand_over(rounds, say)]


def _speech(rounds: int, say: Say) -> Table:
    """Ours and theirs take turns, each in one process for all clips, with the same weights."""
    from evaluations import demo

    clips = [clip for clip in demo.clips() if clip.words]
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="introeval-bench-") as folder:
        checkpoint, programs = _checkpoint(Path(folder)), _with_ffmpeg(Path(folder))
        for number in range(1, rounds + 1):
            say(f"speech, round {number}: ours")
            ours.append(_ours(clips))
            say(f"speech, round {number}: openai-whisper's command")
            theirs.append(_theirs(clips, checkpoint, programs, Path(folder) / f"round-{number}"))
    ratio = median(mine["seconds"] / other["seconds"] for mine, other in zip(ours, theirs, strict=True))
    rows: list[Row] = [
        {"engine": "ours (faster-whisper)", **_medians(ours), "of the command": ratio},
        {
            "engine": "openai-whisper's command",
            "of them loading": "not told",
            **_medians(theirs),
            "of the command": 1.0,
        },
    ]
    return Table("speech", f"{len(clips)} demo clips with the same weights ({WEIGHTS}), one process for all", rows)


def _medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {column: median(one[column] for one in rounds) for column in rounds[0]}


def _ours(clips: Sequence[DemoClip]) -> dict[str, float]:
    from evaluations.media.decode import decode

    engine = FasterWhisper(WEIGHTS)
    began, used = time.monotonic(), cpu_seconds_of_the_ended()
    try:
        engine.load()
        loaded = time.monotonic()
        said = [_transcribe(engine, decode(clip.path, max_seconds=600).samples).text for clip in clips]
    finally:
        engine.unload()
    cpu = cpu_seconds_of_the_ended() - used
    return {"of them loading": loaded - began, **_figures(clips, said, seconds=time.monotonic() - began, cpu=cpu)}


def _transcribe(engine: FasterWhisper, samples: Samples) -> Speech:
    return engine.transcribe(samples, progress=lambda done, total: None, stop=Event())


def _theirs(clips: Sequence[DemoClip], checkpoint: Path, programs: Path, into: Path) -> dict[str, float]:
    """Its defaults, but for the language and a machine-readable output. What it takes to load is in the whole only."""
    whisper = Path(sys.executable).with_name("whisper")
    command = [whisper, *(clip.path for clip in clips), "--model", checkpoint, "--language", "en"]
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    began, used = time.monotonic(), cpu_seconds_of_the_ended()
    done = subprocess.run(
        [*map(str, command), "--output_dir", str(into), "--output_format", "json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"openai-whisper's command failed: {done.stderr[-500:]}")
    said = [json.loads((into / f"{clip.path.stem}.json").read_text())["text"] for clip in clips]
    cpu = cpu_seconds_of_the_ended() - used
    return _figures(clips, said, seconds=seconds, cpu=cpu)


def _figures(clips: Sequence[DemoClip], said: Sequence[str], *, seconds: float, cpu: float) -> dict[str, float]:
    import jiwer

    wrong = jiwer.wer([_plain(clip.words or "") for clip in clips], [_plain(text) for text in said])
    return {"seconds": seconds, "CPU s": cpu, "% of words wrong": 100 * wrong}


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9 ]", "", text.lower().replace("-", " ")).split())


def _checkpoint(folder: Path) -> Path:
    """Our weights as openai-whisper reads them."""
    target = folder / f"{WEIGHTS}.pt"
    subprocess.run([sys.executable, "scripts/convert_whisper.py", WEIGHTS, str(target)], cwd=ROOT, check=True)
    return target


def _with_ffmpeg(folder: Path) -> Path:
    """A folder for the command's PATH alone: it starts `ffmpeg`, which a package brings under another name."""
    from imageio_ffmpeg import get_ffmpeg_exe

    programs = folder / "programs"
    programs.mkdir()
    (programs / "ffmpeg").symlink_to(get_ffmpeg_exe())
    return programs


def _language(rounds: int, say: Say) -> Table:
    """As many requests at once as there are slots; the prompt's tokens don't count, their time does."""
    rows: list[Row] = []
    for slots in SLOTS:
        say(f"language, {slots} at once")
        engine = EmbeddedLlama("smollm2", slots=slots, context_tokens=CONTEXT_TOKENS)
        try:
            engine.load()
            rates = [_tokens_per_second(engine, slots) for _ in range(rounds + 1)][1:]  # the first one warms up
        finally:
            engine.unload()
        total = median(rates)
        rows.append({"slots": f"{slots}", "tokens/s": total, "per slot": total / slots})
    return Table("language", "answers of the local language model (SmolLM2-135M, on the processor)", rows)


def _tokens_per_second(engine: EmbeddedLlama, requests: int) -> float:
    def ask(number: int) -> int:
        prompt = Prompt(COUNTING.system, f"{COUNTING.user} Begin with {NUMBERS[number]}.")
        return engine.generate(prompt, LONG, LanguageOptions(max_tokens=700), stop=Event()).output_tokens

    began = time.monotonic()
    with ThreadPoolExecutor(requests) as pool:
        tokens = sum(pool.map(ask, range(requests)))
    return tokens / (time.monotonic() - began)


def _hand_over(rounds: int, say: Say) -> Table:
    """From one phase's last result to the next phase's first, through the coordinator: unload, verify, load, answer."""
    from evaluations import demo
    from evaluations.media.decode import decode
    from queueing.states import PhaseName
    from queueing.worker.coordinator import Coordinator
    from tests.doubles.owner import FakeOwner

    speech, llama = FasterWhisper(WEIGHTS), EmbeddedLlama("smollm2", slots=1, context_tokens=CONTEXT_TOKENS)
    coordinator = Coordinator("bench", {PhaseName.STT: [speech], PhaseName.EVAL: [llama]}, FakeOwner())
    samples = decode(next(clip for clip in demo.clips() if clip.words).path, max_seconds=600).samples[: 5 * SAMPLE_RATE]
    first: dict[PhaseName, Callable[[], object]] = {
        PhaseName.STT: lambda: _transcribe(speech, samples),
        PhaseName.EVAL: lambda: llama.generate(COUNTING, SHORT, LanguageOptions(), stop=Event()),
    }
    ways = [(PhaseName.STT, PhaseName.EVAL), (PhaseName.EVAL, PhaseName.STT)]
    taken: dict[PhaseName, list[tuple[float, float]]] = {target: [] for _, target in ways}
    coordinator.reconcile()
    try:
        coordinator.switch(PhaseName.STT)
        for number in range(1, rounds + 1):
            say(f"hand-over, round {number}")
            for _, target in ways:
                began = time.monotonic()
                coordinator.switch(target)
                switched = time.monotonic()
                first[target]()
                taken[target].append((switched - began, time.monotonic() - switched))
    finally:
        coordinator.switch(None)
    rows: list[Row] = [
        {
            "from": f"{source} to {target}",
            "switch s": median(switch for switch, _ in taken[target]),
            "first answer s": median(answer for _, answer in taken[target]),
            "both s": median(sum(one) for one in taken[target]),
        }
        for source, target in ways
    ]
    return Table("hand-over", "from a phase's last result to the next phase's first", rows)
