"""A model's process that grows: it is told, and begun anew at a moment at which nothing is half done."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from evaluations.stages.names import Stage
from queueing.gpu import GpuMemoryFacts, GpuProcess
from queueing.models import Alert, Attempt, Task
from queueing.worker.background.watchdog import look
from queueing.worker.loop import WorkLoop
from queueing.worker.process import PhaseWorker
from tests.queueing.worker.leaking import KEPT_BYTES, MB, LeakingLanguage
from tests.queueing.worker.working import registered

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

TASKS = 6  # each of them is two calls


def told() -> list[str]:
    return list(Alert.objects.active().filter(kind="memory_growth").values_list("text", flat=True))


def run(loop: WorkLoop, until: Callable[[], bool]) -> None:
    for _ in range(400):
        if until():
            return
        if not loop.run_once():
            loop.rest()
    pytest.fail("it did not come about")


def all_ended() -> bool:
    return not Task.objects.live().exists()


def grows(loop: WorkLoop) -> bool:
    return any(one.per_task for one in loop.care.memory())


def test_a_leak_is_told_and_ends_with_the_process_and_no_task_is_lost_or_done_twice(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    leaking = LeakingLanguage()
    for _ in range(TASKS):
        ready_to(Stage.EXTRACT)
    with registered(node(leaking, child_max_bytes=9 * KEPT_BYTES)) as loop:
        run(loop, lambda: grows(loop))
        look(loop.node_facts)
        (text,) = told()
        assert re.search(r"simulated on n by (19|20|21) MB", text)
        run(loop, all_ended)
        look(loop.node_facts)
        assert told() == []
        assert len(leaking.pids) > 1
        sizes = [one.bytes for one in loop.care.memory() if one.name == "simulated"]
        assert max(sizes) < 9 * KEPT_BYTES
    assert set(Task.objects.values_list("state", flat=True)) == {"done"}
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded"}
    assert Attempt.objects.count() == 2 * TASKS


def test_a_model_that_does_not_grow_is_left_alone(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker]
) -> None:
    steady = LeakingLanguage(kept_bytes=0)
    for _ in range(TASKS):
        ready_to(Stage.EXTRACT)
    with registered(node(steady, child_max_bytes=1)) as loop:  # less than it needs: it would come back every time
        run(loop, all_ended)
        look(loop.node_facts)
    assert len(steady.pids) == 1
    assert told() == []


class LeakingGpu:
    """A driver that sees the model's process hold more of the card with each call."""

    def __init__(self, model: LeakingLanguage) -> None:
        self.model = model

    def read(self) -> GpuMemoryFacts:
        pid = self.model.child.pid
        used = (100 + 50 * self.model.calls) * MB if pid else 0
        holders = (GpuProcess(pid, "python", used),) if pid else ()
        return GpuMemoryFacts(24_000 * MB, used, 24_000 * MB - used, holders)


def test_what_grows_on_the_gpu_is_begun_anew_too(
    ready_to: Callable[..., Task], node: Callable[..., PhaseWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = LeakingLanguage(kept_bytes=0, device="cuda:0")
    monkeypatch.setattr(model, "needs", lambda: 100 * MB)
    for _ in range(TASKS):
        ready_to(Stage.EXTRACT)
    worker = node(model, child_max_bytes=300 * MB)
    worker.device = LeakingGpu(model)
    with registered(worker) as loop:
        run(loop, all_ended)
    assert len(model.pids) > 1
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded"}
