"""Workers, as processes of their own."""

from __future__ import annotations

import os
import resource
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


def run(command: Command) -> float:
    """Run a worker that leaves by itself; returns the seconds of processor time that it and its children used.

    Raises:
        RuntimeError: it failed.
        psutil.TimeoutExpired: it does not come to an end.
    """
    before = cpu_seconds_of_the_ended()
    with running(command) as worker:
        status = worker.wait(DRAIN_SECONDS)
        if status:
            raise RuntimeError(f"the worker {' '.join(command.arguments)} failed: exit status {status}")
    return cpu_seconds_of_the_ended() - before


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


def cpu_seconds_of_the_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time that a living worker and its children have used."""
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return float(sum(each.user + each.system for each in times))
