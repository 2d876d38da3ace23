"""What a real worker does when something under it breaks: nothing is lost, nothing burned, and it goes on by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.urls import reverse

from evaluations.media import store
from evaluations.models import Transcript
from evaluations.stages.names import Stage
from introeval.embedded.layout import ServiceLayout
from queueing.models import Attempt, Batch, Event, Pause, Task, Worker, in_seconds
from queueing.states import LIVE, PhaseName, State
from tests.conftest import Cast
from tests.processes.conftest import QUICK_LEASE, SIMULATED, Spawn, Submit, state_of, wait_until

pytestmark = pytest.mark.slow

QUICK = SIMULATED | QUICK_LEASE | {"SIMULATED_SECONDS": "0.1"}
ODD_WORKER = ("tests/processes/odd_worker.py",)


def all_ended() -> bool:
    return not Task.objects.filter(state__in=LIVE).exists()


def running(stage: Stage) -> bool:
    return Task.objects.filter(state=State.RUNNING, stage=stage).exists()


def test_a_video_that_was_lost_or_damaged_is_told_and_never_graded(
    manage: Spawn, submit: Submit, cast: Cast, client: Client
) -> None:
    lost, damaged, whole = submit("emma.m4a"), submit("frank.mp3"), submit("henry.wav")
    store.locate(lost.path).unlink()
    with store.locate(damaged.path).open("r+b") as file:
        file.seek(5000)
        bit = bytes([file.read(1)[0] ^ 4])
        file.seek(5000)
        file.write(bit)
    assert manage("run_phase_worker", "--until-idle", **QUICK).wait(60) == 0

    assert state_of(whole) == State.DONE
    client.force_login(cast.teacher)
    for submission, code, words in ((lost, "file_missing", "is gone"), (damaged, "file_damaged", "was damaged")):
        task = Task.objects.get(submission=submission)
        assert (task.state, task.error_code, task.attempts.count()) == (State.FAILED, code, 1)
        assert not Transcript.objects.filter(submission=submission).exists()
        page = client.get(reverse("submission", args=[submission.pk]))
        assert f"The stored video {words}" in page.content.decode()


def test_a_store_that_is_not_mounted_pauses_transcription_until_it_is_back(manage: Spawn, submit: Submit) -> None:
    submission = submit()
    unmounted = settings.MEDIA_ROOT.rename(settings.MEDIA_ROOT.with_name("unmounted"))
    settings.MEDIA_ROOT.mkdir()
    worker = manage("run_phase_worker", **QUICK)
    paused = Pause.objects.filter(what=PhaseName.STT, by="system", reason__contains="MEDIA_ROOT is not there")
    try:
        wait_until(paused.exists)
    finally:
        settings.MEDIA_ROOT.rmdir()
        unmounted.rename(settings.MEDIA_ROOT)
    assert Attempt.objects.count() == 1
    assert state_of(submission) == State.QUEUED
    Task.objects.update(not_before=in_seconds(0))
    beaten = Worker.objects.get().last_heartbeat_at
    wait_until(lambda: Worker.objects.get().last_heartbeat_at > beaten)
    assert Attempt.objects.count() == 1  # the phase rests, though the task is due

    paused.update(until=in_seconds(0.1))  # as if its 15 seconds were over
    wait_until(lambda: state_of(submission) == State.DONE)
    task = Task.objects.get()
    assert (task.failures, task.crashes) == (0, 0)
    outcomes = task.attempts.filter(stage=Stage.TRANSCRIBE).values_list("outcome", flat=True)
    assert list(outcomes) == ["infrastructure", "succeeded"]
    assert worker.poll() is None


@pytest.fixture
def make_room(tmp_path: Path, transactional_db: None) -> Iterator[Callable[[], None]]:
    """The database has no room for a transcript, until it is called.

    The table lies on a full file system of its own. Where none may be mounted, a trigger raises what PostgreSQL would.
    """
    disk = Path(f"/tmp/introeval-full-{tmp_path.name}")
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        yield from _refused()
    else:
        yield from _on(disk)
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S607 - found by PATH, as mount was
    disk.rmdir()


def _on(disk: Path) -> Iterator[Callable[[], None]]:
    os.chown(disk, *ServiceLayout(settings.DATA_DIR).account.ids)
    filler = disk / "filler"
    run("TRUNCATE evaluations_transcript CASCADE")  # pages that other tests left behind would have room
    run(f"CREATE TABLESPACE full_disk LOCATION '{disk}'", "ALTER TABLE evaluations_transcript SET TABLESPACE full_disk")
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free)
    yield filler.unlink
    run("ALTER TABLE evaluations_transcript SET TABLESPACE pg_default", "DROP TABLESPACE full_disk")


def _refused() -> Iterator[Callable[[], None]]:
    run(
        """CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$""",
        "CREATE TRIGGER no_room BEFORE INSERT ON evaluations_transcript EXECUTE FUNCTION no_room()",
    )
    yield lambda: run("ALTER TABLE evaluations_transcript DISABLE TRIGGER no_room")
    run("DROP TRIGGER no_room ON evaluations_transcript", "DROP FUNCTION no_room")


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_a_result_that_the_database_has_no_room_for_waits_for_it(
    make_room: Callable[[], None], manage: Spawn, submit: Submit, tmp_path: Path
) -> None:
    submission, log = submit(), tmp_path / "log"
    worker = manage("run_phase_worker", log=log, **QUICK)
    wait_until(lambda: log.exists() and log.read_text().count("No space left on device") >= 2)
    assert Attempt.objects.get().outcome == ""  # computed once, and still its own
    make_room()
    wait_until(lambda: state_of(submission) == State.DONE)
    assert list(Attempt.objects.values_list("stage", "outcome")) == [(stage, "succeeded") for stage in Stage]
    assert worker.poll() is None


def test_a_video_that_crashes_or_hangs_the_model_twice_fails_alone(manage: Spawn, submit: Submit) -> None:
    crashing, hanging, good = submit("henry.wav"), submit("frank.mp3"), submit("emma.m4a")
    odd = {"SECONDS_THAT_CRASH": "16", "SECONDS_THAT_HANG": "22", "RETRY_BACKOFF_SECONDS": "0.2"}
    assert manage("--until-idle", program=ODD_WORKER, **QUICK, **odd).wait(90) == 0
    ended = {task.submission_id: task for task in Task.objects.all()}
    assert (ended[crashing.pk].state, ended[crashing.pk].error_code) == (State.FAILED, "poison")
    assert (ended[hanging.pk].state, ended[hanging.pk].error_code) == (State.FAILED, "hung")
    assert ended[good.pk].state == State.DONE
    for bad in (crashing, hanging):
        assert list(ended[bad.pk].attempts.values_list("outcome", flat=True)) == ["crashed", "permanent"]


def test_three_nodes_with_clocks_hours_apart_do_each_task_once_and_a_dead_ones_as_well(
    manage: Spawn, submit: Submit, cast: Cast
) -> None:
    for number in range(12):
        submit("henry.wav", student=User.objects.create(username=f"student {number}"))
    dead = manage("run_phase_worker", "--node", "dead", **QUICK | {"SIMULATED_SECONDS": "60", "BATCH_SIZE": "4"})
    wait_until(lambda: running(Stage.TRANSCRIBE))
    dead.kill()
    assert Batch.objects.get().tasks.count() == 4
    for node, ahead in (("early", "3600"), ("right", "0"), ("late", "-3600")):
        env = QUICK | {"BATCH_SIZE": "2", "CLOCK_IS_AHEAD_SECONDS": ahead}
        manage("--node", node, program=ODD_WORKER, **env)
    wait_until(all_ended, seconds=150)

    assert set(Task.objects.values_list("state", flat=True)) == {State.DONE}
    succeeded = list(Attempt.objects.filter(outcome="succeeded").values_list("task", "stage"))
    assert len(succeeded) == len(set(succeeded)) == 12 * len(Stage)
    # Nobody's lease was taken for expired by a clock that is wrong.
    assert list(Attempt.objects.exclude(outcome="succeeded").values_list("worker__node", flat=True)) == ["dead"]
    assert Event.objects.filter(kind="rescue").count() == 1
    nodes = set(Attempt.objects.filter(outcome="succeeded").values_list("worker__node", flat=True))
    assert len(nodes) > 1
    for node in nodes:
        assert_phases_take_turns(node)


def assert_phases_take_turns(node: str) -> None:
    attempts = list(Attempt.objects.filter(worker__node=node))
    speech = [each for each in attempts if each.stage == Stage.TRANSCRIBE]
    language = [each for each in attempts if each.stage != Stage.TRANSCRIBE]
    for one in speech:
        for other in language:
            assert one.ended_at is not None
            assert other.ended_at is not None
            assert one.ended_at <= other.began_at or other.ended_at <= one.began_at


def test_no_transaction_of_a_worker_stays_open_while_it_computes(manage: Spawn, submit: Submit) -> None:
    submit()
    manage("run_phase_worker", **QUICK | {"SIMULATED_SECONDS": "60"})
    wait_until(lambda: running(Stage.TRANSCRIBE))
    before = Worker.objects.get().last_heartbeat_at
    wait_until(lambda: Worker.objects.get().last_heartbeat_at > before)
    since_then = Worker.objects.get().last_heartbeat_at
    wait_until(lambda: Worker.objects.get().last_heartbeat_at > since_then)
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT state, query FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %s""",
            [since_then],
        )
        assert cursor.fetchall() == []
