"""How long a task waits that arrives while a worker has nothing to do: from its commit to the beginning of its work.

Both moments are this machine's clock: the one is read as soon as the commit returns, the other is the first thing that
the task does.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks import processes
from tests.benchmarks.contender import Contender
from tests.benchmarks.noop.work import STAMPS
from tests.benchmarks.report import Row, Table

GAP_SECONDS = (0.5, 2.5)  # two turns of the slowest poll, so that arrivals fall anywhere in it
LOOK_SECONDS = 0.02
START_SECONDS = 60.0


def latency(contenders: Sequence[Contender], *, tasks: int, say: Callable[[str], None]) -> Table:
    rows: list[Row] = []
    for contender in contenders:
        say(f"pick-up latency of {contender.name}, about {tasks * sum(GAP_SECONDS) / 2:.0f} s")
        contender.clear()
        waited = wait_times(contender, tasks, random.Random(contender.name))
        rows.append(
            {
                "contender": contender.name,
                "p50 ms": round(1000 * percentile(waited, 50), 1),
                "p95 ms": round(1000 * percentile(waited, 95), 1),
                "max ms": round(1000 * max(waited), 1),
            }
        )
    return Table("latency", f"pick-up latency of {tasks} single tasks on an idle worker", rows)


def wait_times(contender: Contender, tasks: int, chance: random.Random) -> list[float]:
    """Seconds that each of `tasks` waited, one after the other at random moments."""
    with tempfile.TemporaryDirectory(prefix="introeval-stamps-") as folder:
        stamps = Stamps(Path(folder) / "stamps")
        with processes.running(contender.worker(until_drained=False), {STAMPS: str(stamps.path)}):
            contender.enqueue_one()
            stamps.following()  # the worker has started
            return [_wait_time(contender, stamps, chance) for _ in range(tasks)]


def _wait_time(contender: Contender, stamps: Stamps, chance: random.Random) -> float:
    time.sleep(chance.uniform(*GAP_SECONDS))
    committed = contender.enqueue_one()
    return stamps.following() - committed


class Stamps:
    """The file to which each task adds the time at which it began."""

    def __init__(self, path: Path) -> None:
        self.path, self._read = path, 0

    def following(self) -> float:
        """Wait for the next one; seconds since the epoch.

        Raises:
            TimeoutError: nothing began.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            lines = self.path.read_text().splitlines(keepends=True) if self.path.exists() else []
            if len(lines) > self._read and lines[self._read].endswith("\n"):
                self._read += 1
                return float(lines[self._read - 1])
            time.sleep(LOOK_SECONDS)
        raise TimeoutError(f"no task began within {START_SECONDS:g} s")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all don't exceed."""
    return sorted(values)[math.ceil(len(values) * percent / 100) - 1]
