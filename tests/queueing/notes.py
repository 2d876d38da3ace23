"""A second app's pipeline, as a newcomer would add one: one language model stage, registered and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any
from unittest.mock import patch

from queueing import pipelines
from queueing.engines.base import Engines, LanguageOptions, Progress, Prompt
from queueing.exceptions import StageError
from queueing.models import Task
from queueing.pipelines import Pipeline, SlotShare, StageSpec
from queueing.states import PhaseName

NOTES = "notes"
JOT = "jot"


class Jot:
    """Has the model write something down; what is saved is counted here."""

    def __init__(self) -> None:
        self.saved: list[int] = []
        self.errors: list[StageError] = []  # that the next tries end with

    def prepare(self, task: Task) -> int:
        return task.pk

    def compute(self, work: int, engines: Engines, progress: Progress, stop: Event) -> str:
        if self.errors:
            raise self.errors.pop(0)
        prompt, options = Prompt("", "Take notes."), LanguageOptions()
        return engines.language["rate"].write(prompt, options, on_text=lambda piece: None, stop=stop).text

    def save(self, task: Task, result: str) -> None:
        self.saved.append(task.pk)


@contextmanager
def registered(
    handler: Jot, *, max_slots: int | None = None, priority: int = 0, share: SlotShare | None = None, **rules: Any
) -> Iterator[StageSpec]:
    """The pipeline `notes`, with the `rules` of its line, beside the others; afterwards it is as if there were none."""
    spec = StageSpec(
        JOT, PhaseName.EVAL, "rate", handler, label="notes", max_slots=max_slots, priority=priority, share=share
    )
    with patch.object(pipelines, "_registry", dict(pipelines._registry)):
        pipelines.register(Pipeline(NOTES, (spec,), **rules))
        yield spec
