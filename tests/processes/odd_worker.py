"""A worker whose clock is wrong, that keeps memory, or whose speech model stumbles over certain recordings.

Run as a program, with the arguments of `run_phase_worker`. CLOCK_IS_AHEAD_SECONDS sets every clock of the process that
has a date; recordings of SECONDS_THAT_CRASH or SECONDS_THAT_HANG seconds do so to the model; KEPT_MB of each stay here.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

AHEAD = float(os.environ.get("CLOCK_IS_AHEAD_SECONDS", "0"))


class WrongDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> WrongDatetime:
        return super().now(tz) + datetime.timedelta(seconds=AHEAD)


if AHEAD:  # before anything else keeps a clock of its own
    _right = time.time
    time.time = lambda: _right() + AHEAD
    datetime.datetime = WrongDatetime  # type: ignore[misc]

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "introeval.settings")

import django  # noqa: E402 - see above

django.setup()

from django.core.management import call_command  # noqa: E402

from introeval import logs  # noqa: E402
from queueing.engines import build  # noqa: E402
from queueing.engines.base import SAMPLE_RATE, Progress, Samples, Speech  # noqa: E402
from queueing.engines.speech import hosted  # noqa: E402
from queueing.engines.speech.simulated import Fault, SimulatedSpeech  # noqa: E402


class StumblingStage(SimulatedSpeech):
    faults: dict[str | None, Fault] = {
        os.environ.get("SECONDS_THAT_CRASH"): "crash",
        os.environ.get("SECONDS_THAT_HANG"): "hang",
    }

    kept: list[bytes] = []

    def transcribe(self, samples: Samples, *, hints: Sequence[str] = (), progress: Progress, stop: Event) -> Speech:
        self.kept.append(b"x" * int(float(os.environ.get("KEPT_MB", "0")) * 1024**2))
        self._faults = iter([self.faults.get(str(round(len(samples) / SAMPLE_RATE)))])
        return super().transcribe(samples, hints=hints, progress=progress, stop=stop)


if __name__ == "__main__":
    logs.configure()
    hosted.STALL_FACTOR = 0.0
    setattr(build, "SimulatedSpeech", partial(StumblingStage, stall_seconds=1))  # noqa: B010 - a stranger to its type
    call_command("run_phase_worker", *sys.argv[1:])
