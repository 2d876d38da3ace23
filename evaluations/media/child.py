"""The process in which files are read: `python -m evaluations.media.child decode|remux|sound MAX_SECONDS PATH`.

It knows neither Django nor the database, and expects to be killed. It answers on standard output, in the frames of
`wire`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path

from evaluations.media import wire
from evaluations.media.confine import confine
from evaluations.media.facts import MediaFacts, Remuxed
from queueing.exceptions import Permanent


def main(arguments: list[str]) -> None:
    mode, max_seconds, path = arguments
    answer = _private_output()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's, each of which reserves memory
    confine()
    try:
        _answer(answer, mode, float(max_seconds), Path(path))
    except BrokenPipeError:
        os._exit(1)  # the parent needs no more of it, or is gone
    # Freeing a hostile file's structures is a risk without a use.
    os._exit(0)


def _answer(answer: int, mode: str, max_seconds: float, path: Path) -> None:
    try:
        facts = _decode(answer, max_seconds, path) if mode == "decode" else _copy(answer, mode, max_seconds, path)
    except Permanent as refusal:
        wire.send_json(answer, wire.REFUSAL, {"code": refusal.code, "message": str(refusal)})
    except MemoryError:
        message = "reading it needs more memory than is allowed"
        wire.send_json(answer, wire.REFUSAL, {"code": "unreadable", "message": message})
    except BrokenPipeError:
        raise
    except Exception as error:
        wire.send_json(answer, wire.BROKEN, {"message": f"{type(error).__name__}: {error}"[:1000]})
    else:
        wire.send_json(answer, wire.FACTS, asdict(facts))


# Imported under the limits: loading FFmpeg is part of what they must allow.


def _decode(answer: int, max_seconds: float, path: Path) -> MediaFacts:
    from evaluations.media.audio import read_audio

    def sink(samples: bytes) -> None:
        for start in range(0, len(samples), wire.MAX_FRAME_BYTES):
            wire.send(answer, wire.SAMPLES, samples[start : start + wire.MAX_FRAME_BYTES])

    return read_audio(path, max_seconds=max_seconds, sink=sink)


def _copy(answer: int, mode: str, max_seconds: float, path: Path) -> Remuxed:
    from evaluations.media.remux import remux, sound

    def place(offset: int, content: bytes) -> None:
        wire.send(answer, wire.PIECE, wire.PLACE.pack(offset) + content)

    return (sound if mode == "sound" else remux)(path, max_seconds, place)


def _private_output() -> int:
    # A library that prints must not write between the frames.
    answer = os.dup(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.close(silence)
    return answer


if __name__ == "__main__":
    main(sys.argv[1:])
