"""The frames between child and parent: whole, or known to be torn."""

from __future__ import annotations

import os
import time

import pytest

from evaluations.media import wire


def later(seconds: float = 10) -> float:
    return time.monotonic() + seconds


def receive_all(answer: bytes) -> list[tuple[bytes, bytes]]:
    reading, writing = os.pipe()
    try:
        os.write(writing, answer)
        os.close(writing)
        frames = [wire.receive(reading, deadline=later())]
        while frames[-1][0] == wire.SAMPLES:
            frames.append(wire.receive(reading, deadline=later()))
        return frames
    finally:
        os.close(reading)


def answer() -> bytes:
    reading, writing = os.pipe()
    wire.send(writing, wire.SAMPLES, b"\0" * 40)
    wire.send(writing, wire.SAMPLES, b"")
    wire.send_json(writing, wire.FACTS, {"duration": 1.0})
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        return file.read()


def test_what_is_sent_is_received() -> None:
    frames = [(wire.SAMPLES, b"\0" * 40), (wire.SAMPLES, b""), (wire.FACTS, b'{"duration": 1.0}')]
    assert receive_all(answer()) == frames


def test_an_answer_that_breaks_off_anywhere_is_torn() -> None:
    whole = answer()
    for length in range(len(whole)):
        with pytest.raises(wire.TornError):
            receive_all(whole[:length])


@pytest.mark.parametrize("noise", [b"hello world", b"S\xff\xff\xff\xff", b"\0" * 5])
def test_noise_is_torn(noise: bytes) -> None:
    with pytest.raises(wire.TornError):
        receive_all(noise)


def test_an_answer_that_does_not_come_ends_at_the_deadline() -> None:
    reading, writing = os.pipe()
    with pytest.raises(wire.OutOfTimeError):
        wire.receive(reading, deadline=later(0.05))
    os.write(writing, b"S\x10")
    with pytest.raises(wire.OutOfTimeError):
        wire.receive(reading, deadline=later(0.05))
    os.close(writing)
    os.close(reading)
