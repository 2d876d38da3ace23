"""When a worker is told to leave, or the database changes under it."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from evaluations.stages.names import Stage
from queueing.models import Attempt, Phase, Task, Worker
from queueing.states import PhaseStep, State
from tests.processes.conftest import QUICK_LEASE, SIMULATED, Spawn, Submit, database_url, state_of, wait_until

pytestmark = pytest.mark.slow

LONG = SIMULATED | QUICK_LEASE | {"SIMULATED_SECONDS": "60", "STOP_GRACE_SECONDS": "60"}
TERMINATED = {-signal.SIGTERM, 128 + signal.SIGTERM, 0}  # before Python listens, before the worker does, by the worker
STARTS, AT_A_TIME = 20, 5


def transcribing() -> bool:
    return Task.objects.filter(state=State.RUNNING, stage=Stage.TRANSCRIBE).exists()


def test_a_worker_that_is_stopped_while_it_starts_leaves_and_leaves_nothing(manage: Spawn, submit: Submit) -> None:
    submission, chance = submit(), random.Random(13)
    # Half of them in the first half second, the others at any point of a start, up to the first claim.
    offsets = [chance.uniform(0, 0.5 if number % 2 else 2.5) for number in range(STARTS)]
    for first in range(0, STARTS, AT_A_TIME):
        began = time.monotonic()
        started = [
            (began + offset, manage("run_phase_worker", "--node", f"{offset}", **LONG | {"STOP_GRACE_SECONDS": "0.1"}))
            for offset in offsets[first : first + AT_A_TIME]
        ]
        for at, worker in sorted(started, key=lambda pair: pair[0]):
            time.sleep(max(0.0, at - time.monotonic()))
            worker.send_signal(signal.SIGTERM)
        assert {worker.wait(30) for _, worker in started} <= TERMINATED
        assert state_of(submission) == State.QUEUED
    assert not Worker.objects.filter(stopped_at=None).exists()
    task = Task.objects.get()
    assert (task.failures, task.crashes) == (0, 0)
    assert set(task.attempts.values_list("outcome", flat=True)) <= {"interrupted"}


def test_a_second_signal_hands_the_task_back_at_once(manage: Spawn, submit: Submit, tmp_path: Path) -> None:
    submission, log = submit(), tmp_path / "log"
    worker = manage("run_phase_worker", log=log, **LONG)
    wait_until(transcribing)
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in log.read_text())  # two signals at once are one to Python
    assert transcribing()  # it has a minute to finish
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    task = Task.objects.get(submission=submission)
    assert (task.state, task.failures, task.crashes) == (State.QUEUED, 0, 0)
    assert task.attempts.get().outcome == "interrupted"


def test_a_worker_killed_while_it_was_leaving_loses_its_task_to_the_next_one(manage: Spawn, submit: Submit) -> None:
    submission = submit()
    worker = manage("run_phase_worker", **LONG)
    wait_until(transcribing)
    worker.send_signal(signal.SIGTERM)
    worker.kill()
    worker.wait()
    quick = LONG | {"SIMULATED_SECONDS": "0.1"}
    assert manage("run_phase_worker", "--until-idle", **quick).wait(60) == 0
    assert state_of(submission) == State.DONE
    assert list(Attempt.objects.values_list("outcome", flat=True)) == ["crashed", *["succeeded"] * 3]


def test_a_worker_survives_losing_its_connections_twenty_times(manage: Spawn, submit: Submit) -> None:
    worker = manage("run_phase_worker", **LONG | {"SIMULATED_SECONDS": "0.5", "LEASE_SECONDS": "6"})
    wait_until(lambda: Phase.objects.filter(step=PhaseStep.IDLE).exists())
    submission, chance, ended = submit(), random.Random(26), 0
    while ended < 20:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            ended += cursor.fetchone()[0]
        time.sleep(chance.uniform(0, 0.3))
        assert worker.poll() is None
    wait_until(lambda: state_of(submission) == State.DONE, seconds=60)
    assert worker.poll() is None
    task = Task.objects.get()
    assert (task.failures, task.crashes) == (0, 0)


@pytest.mark.parametrize("changed_under_it", [False, True])
def test_a_worker_leaves_when_a_newer_version_has_migrated_and_no_old_one_starts_again(
    manage: Spawn, submit: Submit, tmp_path: Path, changed_under_it: bool
) -> None:
    submission, log = submit(), tmp_path / "log"
    worker = manage("run_phase_worker", log=log, **LONG | {"STOP_GRACE_SECONDS": "0.2"})
    wait_until(transcribing)
    MigrationRecorder(connection).record_applied("queueing", "9999_of_the_future")
    try:
        if changed_under_it:
            rename("progress_done", "progress_of_the_future")
        assert worker.wait(30) == 1
        assert "migrated by a newer version; this worker has stopped for it" in log.read_text()
        assert "Traceback" not in log.read_text()
        refused = manage("run_phase_worker", log=log, **LONG)
        assert refused.wait(30) == 1
        assert "the database was migrated by a newer version of IntroEval; update this one" in log.read_text()
    finally:
        if changed_under_it:
            rename("progress_of_the_future", "progress_done")
        MigrationRecorder(connection).record_unapplied("queueing", "9999_of_the_future")
    task = Task.objects.get(submission=submission)
    assert (task.state, task.failures, task.crashes) == (State.QUEUED, 0, 0)


def rename(column: str, to: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE queueing_task RENAME COLUMN {column} TO {to}")


@pytest.fixture
def empty_database(transactional_db: None) -> Iterator[str]:
    name = "nothing_in_it"
    facts = connection.settings_dict
    with psycopg.connect(host=facts["HOST"], user=facts["USER"], dbname=facts["NAME"], autocommit=True) as asked:
        asked.execute(f"CREATE DATABASE {name}")
        yield name
        asked.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_worker_refuses_a_database_that_was_never_migrated(
    empty_database: str, manage: Spawn, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    worker = manage("run_phase_worker", log=log, **LONG | {"DATABASE_URL": database_url(name=empty_database)})
    assert worker.wait(30) == 1
    assert "run `manage.py migrate`" in log.read_text()
    assert "Traceback" not in log.read_text()
