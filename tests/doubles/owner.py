"""What a coordinator asks of its owner, answered by a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from queueing.engines.base import Engine
from queueing.exceptions import StageError
from queueing.policy.memory_plan import DEFAULT_PLAN, MemoryPlan
from queueing.worker.coordinator import Turn


@dataclass
class FakeOwner:
    """By default all models fit, nothing is left out, and nobody can free what is stuck."""

    plan: Callable[[], MemoryPlan] = lambda: DEFAULT_PLAN
    first: Callable[[], Turn] | None = None
    hurried: Callable[[], bool] = lambda: False
    left_out: Callable[[Engine], bool] = lambda engine: False
    load_error: Callable[[Engine, StageError], bool] = lambda engine, error: False
    free: Callable[[Engine], bool] = lambda engine: False

    def make_plan(self) -> MemoryPlan:
        return self.plan()

    def next_turn(self, plan: MemoryPlan, holder: Turn | None, held_seconds: float) -> Turn:
        assert self.first is not None, "no models take turns here"
        return self.first()

    def is_hurried(self) -> bool:
        return self.hurried()

    def is_left_out(self, engine: Engine) -> bool:
        return self.left_out(engine)

    def on_load_error(self, engine: Engine, error: StageError) -> bool:
        return self.load_error(engine, error)

    def free_memory(self, engine: Engine) -> bool:
        return self.free(engine)
