"""Workers, as processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks.contender import Command

ROOT = Path(__file__).parents[2]
DRAIN_SECONDS = 600.0
STOP_SECONDS = 20.0


def run(command: Command) -> None:
    """Run a worker that leaves by itself.

    Raises:
        RuntimeError: it failed, or does not come to an end.
    """
    with running(command) as worker:
        status = worker.wait(DRAIN_SECONDS)
        if status:
            raise RuntimeError(f"the worker {' '.join(command.arguments)} failed: exit status {status}")


@contextmanager
def running(command: Command, environment: Mapping[str, str] | None = None) -> Iterator[psutil.Popen]:
    """A worker that is there meanwhile, and is asked to stop afterwards."""
    worker = psutil.Popen(
        [sys.executable, *command.arguments],
        cwd=ROOT,
        env={**os.environ, **command.environment, **(environment or {})},
    )
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.terminate()
        try:
            worker.wait(STOP_SECONDS)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired):
            worker.kill()
            worker.wait()


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time that a worker and its children have used."""
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return float(sum(each.user + each.system for each in times))
