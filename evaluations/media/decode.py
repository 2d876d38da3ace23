"""Decoding as the rest of the project sees it: a path in, samples and facts out, whatever the file does in between."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluations.media import wire
from evaluations.media.facts import SAMPLE_BYTES, SAMPLE_RATE, MediaFacts
from queueing.exceptions import Interrupted, Permanent, Transient

__all__ = ["Decoded", "MediaFacts", "decode", "probe"]

PROBE_MAX_SECONDS = 4 * 3600.0
WALL_SECONDS = 120.0  # ten minutes of AAC decode in about one
_ROOT = Path(__file__).resolve().parents[2]
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
    return _run("probe", path, max_seconds, wall_seconds, _refuse_samples)


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

    facts = _run("decode", path, max_seconds, wall_seconds, collect, stop)
    samples = np.frombuffer(received, dtype=np.int16).astype(np.float32)
    samples /= 32_768
    return Decoded(samples, facts)


def _refuse_samples(payload: bytes) -> None:
    raise wire.TornError("samples in answer to a probe")


def _run(
    mode: str,
    path: Path,
    max_seconds: float,
    wall_seconds: float,
    collect: Callable[[bytes], None],
    stop: Event | None = None,
) -> MediaFacts:
    deadline = time.monotonic() + wall_seconds
    with _child(mode, path, max_seconds) as process:
        assert process.stdout is not None
        try:
            return _listen(process.stdout.fileno(), deadline, collect, stop)
        except wire.StoppedError as error:
            raise Interrupted from error
        except wire.OutOfTimeError as error:
            raise Transient(f"no answer within {wall_seconds:.0f} s", code="decoder_timeout") from error
        except wire.TornError as error:
            raise _died(process, str(error)) from error


def _listen(descriptor: int, deadline: float, collect: Callable[[bytes], None], stop: Event | None) -> MediaFacts:
    while True:
        kind, payload = wire.receive(descriptor, deadline=deadline, stop=stop)
        if kind == wire.SAMPLES:
            collect(payload)
            continue
        return _conclude(kind, _object(payload))


def _conclude(kind: bytes, said: dict[str, Any]) -> MediaFacts:
    try:
        if kind == wire.FACTS:
            return MediaFacts(**said)
        if kind == wire.REFUSAL:
            raise Permanent(said["message"], code=said["code"])
        raise Transient(f"the decoder failed: {said['message']}", code="decoder_crashed")
    except (TypeError, KeyError) as error:
        raise wire.TornError("an answer of another shape") from error


def _object(payload: bytes) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except ValueError as error:
        raise wire.TornError("an answer that is no JSON") from error
    if not isinstance(value, dict):
        raise wire.TornError("an answer of another shape")
    return value


def _died(process: subprocess.Popen[bytes], detail: str) -> Transient:
    _kill(process)
    if process.returncode == -signal.SIGXCPU:
        return Transient("the decoder used up its CPU time", code="decoder_timeout")
    return Transient(f"the decoder ended with {process.returncode}: {detail}", code="decoder_crashed")


@contextlib.contextmanager
def _child(mode: str, path: Path, max_seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        # absolute(): a name that begins with "-" is no option then; a link in its last place stays one, to be refused.
        [sys.executable, "-B", "-m", "evaluations.media.child", mode, repr(float(max_seconds)), str(path.absolute())],
        stdin=subprocess.PIPE,  # held open, never written to: the child ends when it closes
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_environment(),
        cwd=_ROOT,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            _kill(process)


def _environment() -> dict[str, str]:
    # No secret reaches the decoder. The library path stays: some builds of Python don't start without it.
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return {"LC_ALL": "C.UTF-8", **kept}


def _kill(process: subprocess.Popen[bytes]) -> None:
    # Its group too: it should have no children, but a taken-over decoder might. Popen reaps, so the id is still ours.
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
