"""PostgreSQL killed at once, again and again, under a worker at work: no task notices."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from evaluations.stages.names import Stage
from introeval import embedded
from introeval.embedded import postgres
from introeval.embedded.layout import ServiceLayout
from introeval.embedded.postgres import Postgres
from queueing.models import Attempt, Task
from queueing.states import LIVE, State
from tests.conftest import Cast
from tests.processes.conftest import QUICK_LEASE, SIMULATED, Spawn, Submit

pytestmark = pytest.mark.slow

# Each commit takes a while, so that a restart may come in its middle.
WORKER = SIMULATED | QUICK_LEASE | {"LEASE_SECONDS": "4", "SIMULATED_SECONDS": "0.4", "LLM_SLOTS": "1"}
SLOW_COMMITS = {"INTROEVAL_REHEARSAL": "1", "INTROEVAL_FAILPOINTS": "finish.saved=sleep:0.2; claim.written=sleep:0.1"}


class OwnServer:
    def __init__(self, data_dir: Path) -> None:
        self.place = ServiceLayout(data_dir)

    def restart(self) -> None:
        """As `pg_ctl restart -m immediate` does."""
        process = psutil.Process(int((self.place.cluster / "postmaster.pid").read_text().split()[0]))
        process.send_signal(signal.SIGQUIT)
        psutil.wait_procs([process], timeout=30)
        Postgres(self.place).ensure_running()
        connection.close()


@pytest.fixture(autouse=True)
def server(transactional_db: None, tmp_path: Path) -> Iterator[OwnServer]:
    """A server of this test's own; the test's connection leads there."""
    before = dict(connection.settings_dict)
    with embedded.services(tmp_path):
        connection.close()
        connection.settings_dict.update(HOST=str(ServiceLayout(tmp_path).sockets), NAME=postgres.NAME)
        call_command("migrate", verbosity=0)
        yield OwnServer(tmp_path)
        connection.close()
        connection.settings_dict.update(before)


class RestartedLab:
    """A worker that is started again when it ends, as `up` does."""

    def __init__(self, manage: Spawn) -> None:
        self.manage = manage
        self.worker: subprocess.Popen[bytes] | None = None

    def work_until(self, states: set[str], stage: Stage | None = None) -> bool:
        """Until a task (of that stage) is in one of the states; False when there is none left to come to it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.worker is None or self.worker.poll() is not None:
                self.worker = self.manage("run_phase_worker", **WORKER, **SLOW_COMMITS)
            tasks = Task.objects.filter(stage=stage) if stage else Task.objects.all()
            if tasks.filter(state__in=states).exists():
                return True
            if not Task.objects.filter(state__in=LIVE).exists():
                return False
            time.sleep(0.05)
        raise AssertionError("waited in vain")


def test_no_task_is_lost_done_twice_or_blamed_when_the_database_is_killed_in_each_stage(
    server: OwnServer, manage: Spawn, submit: Submit, cast: Cast
) -> None:
    for number in range(3):
        submit("henry.wav", student=User.objects.create(username=f"student {number}"))
    lab, chance, hit = RestartedLab(manage), random.Random(23), Counter[Stage]()
    for stage in [stage for stage in Stage for _ in range(2)]:
        if lab.work_until({State.RUNNING}, stage):
            time.sleep(chance.uniform(0, 0.6))  # somewhere between the claim and the commit
            server.restart()
            hit[stage] += 1
    assert set(hit) == set(Stage)
    assert not lab.work_until(set())

    assert list(Task.objects.values_list("state", "failures", "crashes")) == [(State.DONE, 0, 0)] * 3
    succeeded = list(Attempt.objects.filter(outcome="succeeded").values_list("task", "stage"))
    assert len(succeeded) == len(set(succeeded)) == 3 * len(Stage)
    assert not Attempt.objects.filter(outcome__in=["crashed", "transient", "permanent", ""]).exists()
