"""What a worker costs that has nothing to do: statements at the server and processor time of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tests.benchmarks import processes
from tests.benchmarks.contender import Contender
from tests.benchmarks.database import Database
from tests.benchmarks.report import Row, Table

SETTLE_SECONDS = 10.0  # to start


def idle(contenders: Sequence[Contender], database: Database, *, seconds: float, say: Callable[[str], None]) -> Table:
    rows: list[Row] = []
    for contender in contenders:
        say(f"idle cost of {contender.name}, {SETTLE_SECONDS + seconds:.0f} s")
        contender.clear()
        with database.logging_statements(), processes.running(contender.worker(until_drained=False)) as worker:
            time.sleep(SETTLE_SECONDS)
            cpu, offset, began = processes.cpu_seconds(worker), database.log_bytes(), time.monotonic()
            time.sleep(seconds)
            cpu, elapsed = processes.cpu_seconds(worker) - cpu, time.monotonic() - began
            counted = database.statements_since(offset)
        rows.append(
            {
                "contender": contender.name,
                "statements/s": round(counted.statements / elapsed, 2),
                "transactions/s": round(counted.transactions / elapsed, 2),
                "CPU s/min": round(60 * cpu / elapsed, 3),
            }
        )
    return Table("idle", f"an idle worker, over {seconds:.0f} s", rows)
