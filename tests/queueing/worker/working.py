"""A worker's rounds in this process, with simulated engines, driven by hand."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from queueing.engines.llm.simulated import SimulatedLanguage
from queueing.models import Task
from queueing.worker.loop import WorkLoop
from queueing.worker.process import PhaseWorker

Enqueue = Callable[..., Task]
SLOTS = 3


def quick(kind: type[SimulatedLanguage] = SimulatedLanguage, seconds: float = 0.05) -> SimulatedLanguage:
    return kind(seconds, slots=SLOTS, context_tokens=8192)


@contextmanager
def registered(worker: PhaseWorker) -> Iterator[WorkLoop]:
    """A worker between its start and its end, without its heartbeat."""
    loop = worker.register()
    try:
        yield loop
    finally:
        loop.jobs.stop(loop.jobs.held())
        for engine in (worker.engines.speech, *worker.engines.language.values()):
            engine.unload()


def work(worker: PhaseWorker, until: Callable[[], bool], seconds: float = 20) -> None:
    """Rounds until the condition holds; the bound only ends a broken test."""
    with registered(worker) as loop:
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, "timed out"
            if not loop.run_once():
                time.sleep(0.02)


def state(task: Task) -> str:
    return Task.objects.get(pk=task.pk).state
