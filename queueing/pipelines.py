"""The registry: which stages a pipeline has, what phase each needs and who does the work.

An app registers its pipelines in `AppConfig.ready()`; the queue knows nothing else of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, Protocol

from queueing.states import PhaseName

if TYPE_CHECKING:
    from queueing.engines.base import Engines, Progress
    from queueing.models import Task


class Handler(Protocol):
    """What one stage does, in three steps so that no transaction is open while a model runs."""

    def prepare(self, task: Task) -> Any:
        """Read what the work needs. On the worker's main thread, outside a transaction."""

    def compute(self, work: Any, engines: Engines, progress: Progress, stop: Event) -> Any:
        """Do the work, without touching the database. On a thread of its own.

        Raises:
            queueing.exceptions.StageError: of the class that decides what happens next.
        """

    def save(self, task: Task, result: Any) -> None:
        """Store the result, inside the transaction that finishes the attempt: both happen or neither."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    name: str
    phase: PhaseName
    engine: Literal["speech", "extract", "rate"]  # the one of `Engines` that does the work; its slots are the limit
    handler: Handler


@dataclass(frozen=True, slots=True)
class Pipeline:
    name: str
    stages: tuple[StageSpec, ...]

    def stage(self, name: str) -> StageSpec:
        return next(stage for stage in self.stages if stage.name == name)

    def after(self, name: str) -> StageSpec | None:
        """The stage that follows, None after the last one."""
        names = [stage.name for stage in self.stages]
        following = self.stages[names.index(name) + 1 :]
        return following[0] if following else None


_registry: dict[str, Pipeline] = {}


def register(pipeline: Pipeline) -> None:
    _registry[pipeline.name] = pipeline


def get(name: str) -> Pipeline:
    return _registry[name]


def specs_of(phase: PhaseName) -> tuple[StageSpec, ...]:
    """All stages that need `phase`, in the order of the pipelines and of their stages."""
    return tuple(stage for pipeline in _registry.values() for stage in pipeline.stages if stage.phase == phase)


def stages_of(phase: PhaseName) -> tuple[str, ...]:
    """Their names, each once."""
    return tuple(dict.fromkeys(stage.name for stage in specs_of(phase)))
