"""Memory of this worker and of its models' processes, after each task: whether it grows, and when it is too much.

What has grown too large is begun anew, but only while nothing is half done (loop.py): until then nothing is claimed.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from queueing.engines.base import Engine, Engines
from queueing.policy import growth
from queueing.policy.growth import ProcessMemory
from queueing.worker.coordinator import Coordinator
from queueing.worker.jobs import Job
from queueing.worker.options import Options

WORKER: Final = "the worker"
LAST_TASKS: Final = 30


@dataclass(slots=True)
class MemoryLog:
    """Of one process, from its first task on."""

    name: str
    first: int = 0
    tasks: int = 0
    sizes: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=LAST_TASKS))

    def note(self, size: int, tasks: int) -> None:
        self.tasks += tasks
        self.first = self.first or size
        self.sizes.append((self.tasks, size))

    @property
    def size(self) -> int:
        return self.sizes[-1][1] if self.sizes else 0

    def is_above(self, setting: int) -> bool:
        return self.tasks > 0 and self.size > growth.most_bytes(self.first, setting)

    def facts(self) -> ProcessMemory:
        return ProcessMemory(self.name, self.size, self.tasks, growth.per_task([*self.sizes]))


class SelfCare:
    """Of one registered worker. Used by its main thread only, except `memory`."""

    def __init__(self, engines: Engines, coordinator: Coordinator, options: Options) -> None:
        self.engines, self.coordinator, self.options = engines, coordinator, options
        self._worker = MemoryLog(WORKER)
        self._models: dict[tuple[int, str], MemoryLog] = {}  # by process, and which memory of it

    def note_ended(self, jobs: Iterable[Job]) -> None:
        """Measure what these tasks have left behind: a few small reads."""
        counts: dict[int, tuple[Engine, int]] = {}
        for job in jobs:
            engine = self.engines.of(job.spec.engine)
            counts[id(engine)] = engine, counts.get(id(engine), (engine, 0))[1] + 1
        seen = {}
        for engine, tasks in counts.values():
            for key, name, size in self._held(engine):
                seen[key] = self._models.get(key) or MemoryLog(name)
                seen[key].note(size, tasks)
        if counts:
            alive = {one.pid for engine in self.coordinator.working if not engine.server for one in engine.resident()}
            kept = {key: log for key, log in self._models.items() if key[0] in alive}
            self._models = {**kept, **seen}  # replaced as a whole: others read it
            self._worker.note(own_bytes(), sum(tasks for _, tasks in counts.values()))

    def memory(self) -> tuple[ProcessMemory, ...]:
        """Safe from any thread: it only reads."""
        return tuple(log.facts() for log in (self._worker, *self._models.values()) if log.tasks)

    def grown_models(self) -> list[ProcessMemory]:
        """Those that are to be begun anew."""
        return [log.facts() for log in self._models.values() if log.is_above(self.options.child_max_bytes)]

    def worker_has_grown(self) -> bool:
        """Whether this process is to be begun anew."""
        return self._worker.is_above(self.options.worker_max_bytes)

    def has_grown(self) -> bool:
        return self.worker_has_grown() or bool(self.grown_models())

    def look_again(self) -> None:
        """With nothing running: what only those tasks held that ran beside the last one is no growth."""
        self._worker.note(own_bytes(), 0)

    def forget_models(self) -> None:
        """They were begun anew."""
        self._models = {}

    def _held(self, engine: Engine) -> Iterator[tuple[tuple[int, str], str, int]]:
        """What its process holds in the machine's memory and, as far as the driver says, in the GPU's."""
        if engine.server:
            return
        for one in engine.resident():
            if one.pid is not None and one.pid != os.getpid():
                yield (one.pid, "ram"), one.model, one.bytes
                if size := self.coordinator.memory.held_by(one.pid):
                    yield (one.pid, "gpu"), f"{one.model} on the GPU", size


def own_bytes() -> int:
    """This process's resident set size."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
