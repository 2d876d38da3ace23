"""Models that live in a child process and misbehave on request; `queueing.engines.child` builds them by name."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

from queueing.engines.base import Progress
from queueing.exceptions import Permanent


class OddModel:
    facts = {"kind": "test"}

    def __init__(self) -> None:
        self.calls = 0

    def count(self, *, progress: Progress) -> int:
        self.calls += 1
        return self.calls

    def echo(self, value: Any, *, progress: Progress) -> Any:
        return value

    def advance(self, steps: int, *, progress: Progress) -> None:
        for step in range(1, steps + 1):
            progress(step, steps)
            time.sleep(0.02)

    def environment(self, *, progress: Progress) -> dict[str, str]:
        return dict(os.environ)

    def say(self, text: str, *, progress: Progress) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def fail(self, error: Exception, *, progress: Progress) -> None:
        raise error

    def leave(self, status: int, *, progress: Progress) -> None:
        os._exit(status)

    def hold_the_interpreter(self, *, progress: Progress) -> None:
        """Sleep in C without giving Python's lock back: no thread of this process can do anything."""
        progress(0, 1)
        ctypes.PyDLL(None).sleep(600)

    def wait(self, *, progress: Progress) -> None:
        progress(0, 1)
        time.sleep(600)


def build() -> OddModel:
    return OddModel()


def build_slowly() -> OddModel:
    time.sleep(600)
    return OddModel()


def without_its_package() -> OddModel:
    raise ModuleNotFoundError("No module named 'a_model_library'")


def too_large() -> OddModel:
    raise MemoryError


def of_no_use() -> OddModel:
    raise Permanent("The file is not a model.", code="not_a_model")
