from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING

from django.apps import AppConfig

from queueing.engines.base import Engines, Progress
from tests.benchmarks.noop.work import run

if TYPE_CHECKING:
    from queueing.models import Task

PIPELINE = STAGE = "noop"


class NoopConfig(AppConfig):
    name = "tests.benchmarks.noop"

    def ready(self) -> None:
        from queueing import pipelines
        from queueing.states import PhaseName

        stage = pipelines.StageSpec(STAGE, PhaseName.EVAL, "rate", Noop())
        pipelines.register(pipelines.Pipeline(PIPELINE, (stage,)))


class Noop:
    """A stage's handler."""

    def prepare(self, task: Task) -> None:
        """There is nothing to read."""

    def compute(self, work: None, engines: Engines, progress: Progress, stop: Event) -> None:
        run()

    def save(self, task: Task, result: None) -> None:
        """There is nothing to keep."""
