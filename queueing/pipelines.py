"""The registry: which stages a pipeline has, what each needs of the queue and who does the work.

An app registers its pipelines in `AppConfig.ready()`; the queue knows nothing else of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from queueing.states import ENDED_STATUS, PhaseName, State, Status

if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    from queueing.engines.base import Engines
    from queueing.models import Task


class StageProgress(Protocol):
    """How far a stage is. Called by the thread that computes; cheap; never raises."""

    def __call__(self, done: float, total: float) -> None:
        """See `engines.base.Progress`."""

    def write(self, piece: str) -> None:
        """Append to the text that the handler saves while it grows; see `WritingHandler`."""


class StageHandler(Protocol):
    """What one stage does, in three steps so that no transaction is open while a model runs."""

    def prepare(self, task: Task) -> Any:
        """Read what the work needs. On the worker's main thread, outside a transaction."""

    def compute(self, work: Any, engines: Engines, progress: StageProgress, stop: Event) -> Any:
        """Do the work, without touching the database. On a thread of its own.

        Raises:
            queueing.exceptions.StageError: of the class that decides what happens next.
        """

    def save(self, task: Task, result: Any) -> None:
        """Store the result, inside the transaction that finishes the attempt: both happen or neither."""


@runtime_checkable
class WritingHandler(StageHandler, Protocol):
    """One whose text people read while it is written."""

    def save_text(self, task: Task, text: str) -> None:
        """Store all that was written so far: about once a second, or sooner when much has come.

        On the worker's main thread, inside a transaction in which nobody can take the task from its claim.
        """


@runtime_checkable
class FindingHandler(StageHandler, Protocol):
    """One that has found something out even where it fails (`StageError.findings`)."""

    def save_findings(self, task: Task, findings: Any) -> None:
        """Store it. Before the attempt is closed, inside a transaction in which nobody can take the task."""


class StatusWord(Protocol):
    """A status: `value` for programs, `label` for people. A member of a `TextChoices` is one."""

    @property
    def value(self) -> str: ...

    @property
    def label(self) -> StrOrPromise: ...


@dataclass(frozen=True, slots=True)
class SlotShare:
    """What a stage takes of an engine while pipelines of its own priority or higher have work in its phase.

    It neither brings nor holds the phase while they wait for the other one. `queueing.policy.lanes` keeps to it.
    """

    slots: int = 1  # at once
    one_in: int = 12  # it gets a slot after so many tasks of the others, and not before


@dataclass(frozen=True, slots=True)
class StageSpec:
    """All that the queue knows of a stage."""

    name: str  # unique among the stages of all pipelines
    phase: PhaseName
    engine: str  # the role of the engine that does the work: `engines.base.SPEECH`, or one of settings.LLM_ROLES
    handler: StageHandler
    label: StrOrPromise = ""  # for people, a noun; empty: the name
    waiting: StatusWord = Status.WAITING
    ready: StatusWord | None = None  # … once its batch is in the stage's phase; None: as `waiting`
    running: StatusWord = Status.RUNNING
    batched: bool = False  # its tasks are gathered in batches; of the phase speech to text only
    max_slots: int | None = None  # tasks of its pipeline at once on this engine; None: as many as the engine serves
    priority: int = 0  # against other pipelines on the same engine: the higher one takes a free slot first
    share: SlotShare | None = None  # None: it takes its turns with the others

    def __post_init__(self) -> None:
        if self.batched and self.phase != PhaseName.STT:
            raise ValueError(f"stage {self.name}: only stages of {PhaseName.STT.label} are batched")
        if self.share and self.phase != PhaseName.EVAL:
            raise ValueError(f"stage {self.name}: only stages of {PhaseName.EVAL.label} have a share")

    @property
    def verbose_name(self) -> StrOrPromise:
        """Its name for people."""
        return self.label or self.name

    def status(self, state: str, *, tried: bool, batch_phase: str | None) -> StatusWord:
        """The status of a task in this stage: the only place where one is made.

        Args:
            tried: this stage has been tried before, or a person asked for it again.
            batch_phase: the phase its batch is in, None while it is in no batch.
        """
        if state in ENDED_STATUS:
            return ENDED_STATUS[State(state)]
        if state == State.RUNNING:
            return self.running
        if tried:
            return Status.RETRY_QUEUED
        return self.ready if self.ready and batch_phase == self.phase else self.waiting


@dataclass(frozen=True, slots=True)
class Pipeline:
    name: str
    stages: tuple[StageSpec, ...]
    in_order: bool = False  # first in, first out within a rank (`TaskManager.enqueue`); else owners take turns
    one_per_owner: bool = False  # of the tasks of one owner at most one runs at a time, the first of them
    max_waiting: int | None = None  # so many tasks wait at most; more are refused. None: any number
    max_waiting_per_owner: int | None = None  # … of one owner

    def stage(self, name: str) -> StageSpec:
        return next(stage for stage in self.stages if stage.name == name)

    def after(self, name: str) -> StageSpec | None:
        """The stage that follows, None after the last one."""
        names = [stage.name for stage in self.stages]
        following = self.stages[names.index(name) + 1 :]
        return following[0] if following else None

    def served_by(self, handlers: Mapping[str, StageHandler]) -> Pipeline:
        """The same pipeline with other handlers, by stage: a rehearsal runs the real one with stand-ins."""
        return replace(self, stages=tuple(replace(stage, handler=handlers[stage.name]) for stage in self.stages))


_registry: dict[str, Pipeline] = {}


def register(pipeline: Pipeline) -> None:
    """Register a pipeline, in place of one of the same name.

    Raises:
        ValueError: another pipeline has a stage of the same name. Attempts, events and figures identify stages by name.
    """
    others = {stage.name for other in _registry.values() if other.name != pipeline.name for stage in other.stages}
    if taken := sorted(others & {stage.name for stage in pipeline.stages}):
        raise ValueError(f"pipeline {pipeline.name}: another one has a stage {', '.join(taken)}")
    _registry[pipeline.name] = pipeline


def get(name: str) -> Pipeline:
    return _registry[name]


def names() -> tuple[str, ...]:
    return tuple(_registry)


def specs() -> tuple[StageSpec, ...]:
    """All stages, in the order of the pipelines and of their stages: the order of service."""
    return tuple(stage for pipeline in _registry.values() for stage in pipeline.stages)


def specs_of(phase: PhaseName) -> tuple[StageSpec, ...]:
    return tuple(stage for stage in specs() if stage.phase == phase)


def shared_stages() -> tuple[str, ...]:
    """Those that hold no phase; see `SlotShare`."""
    return tuple(stage.name for stage in specs() if stage.share)


def in_order() -> tuple[str, ...]:
    """The pipelines whose tasks are served first in, first out."""
    return tuple(pipeline.name for pipeline in _registry.values() if pipeline.in_order)


def stages_of(phase: PhaseName) -> tuple[str, ...]:
    return tuple(stage.name for stage in specs_of(phase))


def batched_stages() -> tuple[str, ...]:
    return tuple(stage.name for stage in specs() if stage.batched)


def status_words() -> dict[str, StatusWord]:
    """Every status there can be, by its value, in the order of a task's way: the stages' own, then the others."""
    own = [word for spec in specs() for word in (spec.waiting, spec.ready, spec.running) if word]
    return {word.value: word for word in [*own, *Status]}


def spec_of(stage: str) -> StageSpec:
    """Of a stage by its name, to be shown.

    One that no app registers any more can't be worked on, and its tasks can still be read: it gets the statuses
    that every pipeline has.
    """
    for pipeline in _registry.values():
        for spec in pipeline.stages:
            if spec.name == stage:
                return spec
    return StageSpec(stage, PhaseName.EVAL, "", _NoHandler())


class _NoHandler:
    """Stands in for the handler of stages that no app registers. The worker never claims them."""

    def prepare(self, task: Task) -> Any:
        raise NotImplementedError

    def compute(self, work: Any, engines: Engines, progress: StageProgress, stop: Event) -> Any:
        raise NotImplementedError

    def save(self, task: Task, result: Any) -> None:
        raise NotImplementedError
