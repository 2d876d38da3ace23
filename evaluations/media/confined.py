"""The parent's side of the confined child: run it on a file, and map all that can happen to three exceptions."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from evaluations.media import wire
from queueing.exceptions import Interrupted, Permanent, Transient

T = TypeVar("T")

_ROOT = Path(__file__).resolve().parents[2]


def run_child(
    mode: str,
    path: Path,
    *,
    answer: Callable[..., T],
    collect: Callable[[bytes], None],
    max_seconds: float,
    wall_seconds: float,
    stop: Event | None = None,
) -> T:
    """Run the child in `mode` on `path`; returns `answer`, called with the fields of the child's last frame.

    `collect` gets the payloads of the frames before: samples, or pieces of a file.

    Raises:
        Permanent: the child refuses the file, in its own code.
        Transient: `decoder_crashed` when the child died, `decoder_timeout` when it ran out of time.
        Interrupted: `stop` was set; the child is gone.
    """
    deadline = time.monotonic() + wall_seconds
    with _child(mode, path, max_seconds) as process:
        assert process.stdout is not None
        try:
            return _listen(process.stdout.fileno(), deadline, answer, collect, stop)
        except wire.StoppedError as error:
            raise Interrupted from error
        except wire.OutOfTimeError as error:
            raise Transient(f"no answer within {wall_seconds:.0f} s", code="decoder_timeout") from error
        except wire.TornError as error:
            raise _died(process, str(error)) from error


def _listen(
    descriptor: int, deadline: float, answer: Callable[..., T], collect: Callable[[bytes], None], stop: Event | None
) -> T:
    while True:
        kind, payload = wire.receive(descriptor, deadline=deadline, stop=stop)
        if kind in (wire.SAMPLES, wire.PIECE):
            collect(payload)
            continue
        return _conclude(kind, _object(payload), answer)


def _conclude(kind: bytes, fields: dict[str, Any], answer: Callable[..., T]) -> T:
    try:
        if kind == wire.FACTS:
            return answer(**fields)
        if kind == wire.REFUSAL:
            raise Permanent(fields["message"], code=fields["code"])
        raise Transient(f"the decoder failed: {fields['message']}", code="decoder_crashed")
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
