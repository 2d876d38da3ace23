"""A database that neither answers nor hangs up: a worker behind it must be gone before its leases are."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from evaluations.stages.names import Stage
from queueing.models import Attempt, Task, Worker
from queueing.states import State
from tests.processes.conftest import QUICK_LEASE, SIMULATED, Spawn, Submit, database_url, state_of, wait_until
from tests.processes.wire import Proxy, Wanted

pytestmark = pytest.mark.slow

QUICK = SIMULATED | QUICK_LEASE


@pytest.fixture
def proxy(transactional_db: None) -> Iterator[tuple[Proxy, str]]:
    """The proxy, and the address of the database behind it."""
    with tempfile.TemporaryDirectory(prefix="introeval-") as folder:  # a socket's path must be short
        proxy = Proxy(Path(folder), Path(connection.settings_dict["HOST"]))
        yield proxy, database_url(sockets=folder)
        proxy.close()


def is_beat(data: bytes) -> bool:
    return b'UPDATE "queueing_worker" SET "last_heartbeat_at"' in data


def is_anything(data: bytes) -> bool:
    return True


# Who hears nothing at all can't say goodbye either.
# Without heartbeats it may hand its task back before it ends itself, if the machine is quick enough for that.
@pytest.mark.parametrize(
    ("silent", "outcomes"), [(is_beat, {"interrupted", "crashed"}), (is_anything, {"crashed"})], ids=["beats", "all"]
)
def test_a_worker_that_hears_nothing_is_gone_before_its_leases_and_changes_nothing_later(
    manage: Spawn, submit: Submit, proxy: tuple[Proxy, str], silent: Wanted, outcomes: set[str]
) -> None:
    wire, address = proxy
    submission = submit()
    first = manage("run_phase_worker", **QUICK | {"DATABASE_URL": address, "SIMULATED_SECONDS": "60"})
    wait_until(lambda: Task.objects.filter(state=State.RUNNING, stage=Stage.TRANSCRIBE).exists())
    deaf = Worker.objects.get()
    wire.silence(silent)
    wait_until(lambda: wire.held() > 0)
    assert first.wait(30) == 1

    second = manage("run_phase_worker", "--until-idle", **QUICK | {"SIMULATED_SECONDS": "0.1"})
    assert second.wait(60) == 0
    before = sorted(Attempt.objects.values_list("epoch", "stage", "outcome", "worker"))
    wire.speak()  # what it had sent arrives after all
    assert manage("queue_status").wait(30) == 0
    assert state_of(submission) == State.DONE
    assert sorted(Attempt.objects.values_list("epoch", "stage", "outcome", "worker")) == before
    (ended,) = (ended for *_, ended, worker in before if worker == deaf.pk)
    assert ended in outcomes
    assert [ended for *_, ended, worker in before if worker != deaf.pk] == ["succeeded"] * 3


def test_a_worker_that_hears_nothing_while_it_registers_leaves_within_a_lease(
    manage: Spawn, proxy: tuple[Proxy, str]
) -> None:
    wire, address = proxy
    wire.silence(lambda data: b'INSERT INTO "queueing_worker"' in data)
    worker = manage("run_phase_worker", **QUICK | {"DATABASE_URL": address})
    assert worker.wait(30) == 1
    assert wire.held() > 0
