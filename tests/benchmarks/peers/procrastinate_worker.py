"""Its worker: `python -m tests.benchmarks.peers.procrastinate_worker [--drain]`, told the rest by its environment."""

from __future__ import annotations

import asyncio
import os
import sys

from tests.benchmarks.peers.procrastinate_app import app

CONNINFO, CONCURRENCY = "BENCH_CONNINFO", "BENCH_CONCURRENCY"


async def _work(*, wait: bool) -> None:
    concurrency = int(os.environ[CONCURRENCY])
    made = app(os.environ[CONNINFO], concurrency=concurrency)
    async with made.open_async():
        await made.run_worker_async(concurrency=concurrency, wait=wait)


if __name__ == "__main__":
    asyncio.run(_work(wait="--drain" not in sys.argv))
