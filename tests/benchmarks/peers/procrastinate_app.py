"""procrastinate without Django, as its documentation has it: an asynchronous task, a pool, LISTEN/NOTIFY."""

from __future__ import annotations

import procrastinate

from tests.benchmarks.noop import work


async def _noop() -> None:
    work.run()


def app(conninfo: str, *, concurrency: int = 1) -> procrastinate.App:
    """With a connection for each job that finishes, and one for the loop that fetches."""
    size = concurrency + 1
    made = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=conninfo, min_size=size, max_size=size))
    made.task(name="noop")(_noop)
    return made
