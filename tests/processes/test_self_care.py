"""A worker that grows: it ends between two tasks, is started again, and nothing is lost or done twice."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from introeval.supervisor import SupervisedProcess, Supervisor
from queueing.models import Attempt, Task, Worker
from tests.conftest import Cast
from tests.processes.conftest import ROOT, SIMULATED, Submit, environment

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

GREEDY = {"KEPT_MB": "80", "WORKER_MAX_MEMORY_MB": "128", "SIMULATED_SECONDS": "0.05"}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(said: list[str]) -> Iterator[Supervisor]:
    command = [sys.executable, str(ROOT / "tests/processes/odd_worker.py")]
    env = environment(**SIMULATED, **GREEDY, LOG_LEVEL="ERROR")
    found = Supervisor([SupervisedProcess("worker", command, cwd=ROOT, env=env)], say=said.append)
    found.start()
    yield found
    found.stop()


def test_a_worker_that_has_grown_hands_nothing_back_and_is_started_again(
    submit: Submit, cast: Cast, supervisor: Supervisor, said: list[str]
) -> None:
    for student, clip in ((cast.ada, "ben.mp4"), (cast.ada, "henry.wav"), (cast.bo, "daniel.mov")):
        submit(clip, student)
    deadline = time.monotonic() + 90
    while Task.objects.live().exists():
        assert time.monotonic() < deadline, said
        supervisor.restart_ended()
        time.sleep(0.1)
    assert set(Task.objects.values_list("state", flat=True)) == {"done"}
    assert set(Attempt.objects.values_list("outcome", flat=True)) == {"succeeded"}
    assert Attempt.objects.count() == 9
    assert any("exit status 1" in line for line in said)
    (child,) = supervisor.children
    assert any("had grown to" in line for line in child.tail)
    assert Worker.objects.count() > 1
    assert Worker.objects.filter(stopped_at=None).count() == 1, "those that have grown have left in order"
