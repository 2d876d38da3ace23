"""The protocol of the decoding child's pipe: frames of a kind, a length and that many bytes.

An answer is any number of SAMPLES or PIECE frames and then one FACTS, REFUSAL or BROKEN frame. One that ends
without any of these came from a child that died, however much of it arrived.
"""

from __future__ import annotations

import json
import os
import select
import struct
import time
from threading import Event
from typing import Any

SAMPLES = b"S"  # mono, signed 16 bit, native order, at SAMPLE_RATE
PIECE = b"P"  # of a file: where it goes, as PLACE, then the bytes
FACTS = b"F"  # JSON of MediaFacts or Remuxed
REFUSAL = b"R"  # JSON {code, message}
BROKEN = b"B"  # JSON {message}: an unexpected error in the child

MAX_FRAME_BYTES = 1024 * 1024
TICK_SECONDS = 0.2  # how often a waiting reader checks `stop`
PLACE = struct.Struct("=Q")
_HEADER = struct.Struct("=cI")


class TornError(Exception):
    """The answer is incomplete or malformed."""


class OutOfTimeError(Exception):
    """The deadline passed before the answer was complete."""


class StoppedError(Exception):
    """`stop` was set while waiting."""


def send(descriptor: int, kind: bytes, payload: bytes) -> None:
    """Write one frame.

    Raises:
        BrokenPipeError: nobody reads any more.
    """
    for part in (_HEADER.pack(kind, len(payload)), payload):
        view = memoryview(part)
        while view:
            view = view[os.write(descriptor, view) :]


def send_json(descriptor: int, kind: bytes, value: dict[str, Any]) -> None:
    send(descriptor, kind, json.dumps(value).encode())


def receive(descriptor: int, *, deadline: float, stop: Event | None = None) -> tuple[bytes, bytes]:
    """Read one frame: its kind and payload. `deadline` is on the monotonic clock.

    Raises:
        TornError: the other end closed early, or sent something else.
        OutOfTimeError: the deadline passed.
        StoppedError: `stop` was set.
    """
    kind, length = _HEADER.unpack(_read_exactly(descriptor, _HEADER.size, deadline, stop))
    if kind not in (SAMPLES, PIECE, FACTS, REFUSAL, BROKEN) or length > MAX_FRAME_BYTES:
        raise TornError(f"a frame of kind {kind!r} and {length} bytes")
    return kind, _read_exactly(descriptor, length, deadline, stop)


def _read_exactly(descriptor: int, size: int, deadline: float, stop: Event | None) -> bytes:
    received = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(received) < size:
        if stop is not None and stop.is_set():
            raise StoppedError
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise OutOfTimeError
        if not poll.poll(min(remaining, TICK_SECONDS) * 1000):
            continue
        chunk = os.read(descriptor, size - len(received))
        if not chunk:
            raise TornError(f"{len(received)} of {size} bytes")
        received += chunk
    return bytes(received)
