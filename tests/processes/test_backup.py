"""A machine is lost in the middle of a lesson: what a backup brings back, and what a restore refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from evaluations.models import Evaluation
from evaluations.uploads import intake
from introeval import embedded
from introeval.backup import making, manifest
from introeval.embedded.layout import ServiceLayout
from introeval.embedded.postgres import NAME, USER
from tests.conftest import Cast
from tests.evaluations.material import write_results
from tests.processes import forks
from tests.processes.conftest import MANAGE, SIMULATED, Spawn, Submit, environment, wait_until

pytestmark = pytest.mark.slow

# Written once and never changed: each row must be there again as it was. Of the others, each row must be there.
UNCHANGING = {"auth_user", "evaluations_transcript", "evaluations_form", "evaluations_evaluation"}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def other_machine(tmp_path: Path) -> Iterator[Run]:
    """`manage.py` with an empty DATA_DIR of its own, and the embedded database in it."""
    place = tmp_path / "other"

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        unwanted = {"DATABASE_URL", "DATA_DIR", "SECRET_KEY"}
        inherited = {name: value for name, value in environment().items() if name not in unwanted}
        return forks.server.run(
            MANAGE, *arguments, env=inherited | SIMULATED | {"DATA_DIR": str(place)} | env, timeout=120
        )

    with embedded.services(place):
        yield run


def test_a_lesson_goes_on_after_its_machine_was_lost(
    manage: Spawn, submit: Submit, cast: Cast, other_machine: Run, tmp_path: Path
) -> None:
    """The drill: a class at work, a backup, another machine; nothing acknowledged is lost, and all are rated."""
    handed_in = [submit(clip, student) for student in (cast.ada, cast.bo) for clip in ("henry.wav", "grace.ogg")]
    upload = intake.begin(student=cast.ada, classroom=cast.classroom, name="me.webm", length=100)
    intake.append(upload, offset=0, chunk=b"acknowledged")
    worker = manage("run_phase_worker", **SIMULATED, SIMULATED_SECONDS="0.4", BATCH_SIZE="2")
    wait_until(lambda: Evaluation.objects.exists())

    with connection.cursor() as here:
        acknowledged = _rows(here)
    made = forks.server.run(MANAGE, "backup", str(tmp_path / "backup"), "--json", env=environment(), timeout=60)
    assert made.returncode == 0, made.stderr
    worker.kill()
    restored = other_machine("restore", str(tmp_path / "backup"), "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["bytes"] == json.loads(made.stdout)["bytes"]

    data_dir = tmp_path / "other"
    with _connected(data_dir) as there:
        assert not acknowledged - _rows(there.cursor())
        done = other_machine("run_phase_worker", "--until-idle", SIMULATED_SECONDS="0.05")
        assert done.returncode == 0, done.stderr
        store = json.loads(other_machine("verify_store", "--deep", "--json").stdout)
        assert (store["ok"], store["submissions"], store["orphaned"]) == (True, len(handed_in), [])
        states = there.execute("SELECT state, count(*) FROM queueing_task GROUP BY 1").fetchall()
        rated = there.execute("SELECT count(DISTINCT submission_id) FROM evaluations_evaluation").fetchone()
    assert states == [("done", len(handed_in))]
    assert rated == (len(handed_in),)
    assert (data_dir / "uploads" / str(upload.pk)).read_bytes() == b"acknowledged"
    for one in handed_in:
        assert (data_dir / "media" / one.path).read_bytes() == (settings.MEDIA_ROOT / one.path).read_bytes()


def test_a_restore_touches_nothing_but_an_empty_place_and_a_sound_backup(
    submit: Submit, other_machine: Run, tmp_path: Path
) -> None:
    """And what was interrupted goes on, and an older version's is brought up to date."""
    video = submit()
    write_results(video, text="I like climbing.")
    place, backup = tmp_path / "other", tmp_path / "backup"
    _as_an_older_version(lambda: making.make(backup))
    copy = backup / "media" / video.path
    copy.rename(tmp_path / "aside")

    refused = other_machine("restore", str(backup))
    assert refused.returncode == 1
    assert f"missing: media/{video.path}" in refused.stderr
    assert not (place / "media").exists()

    (tmp_path / "aside").rename(copy)
    half = place / "media" / "half-copied"
    half.parent.mkdir()
    half.touch()
    assert "DATA_DIR is not empty" in other_machine("restore", str(backup)).stderr

    found = manifest.read(backup)
    (place / manifest.RESTORING).write_text(json.dumps([found.made_at.isoformat(), found.files[0].sha256]))
    restored = other_machine("restore", str(backup), "--json")
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["migrated"] >= 1
    with _connected(place) as there:
        said = there.execute("SELECT text, feedback FROM evaluations_transcript, evaluations_evaluation").fetchall()
    assert said == [("I like climbing.", "I like climbing.")]

    assert "is not empty" in other_machine("restore", str(backup)).stderr


def _as_an_older_version(act: Callable[[], object]) -> None:
    call_command("migrate", "evaluations", "0015", verbosity=0)
    try:
        act()
    finally:
        call_command("migrate", verbosity=0)


def _connected(data_dir: Path) -> psycopg.Connection[Any]:
    sockets = ServiceLayout(data_dir).sockets
    return psycopg.connect(host=str(sockets), user=USER, dbname=NAME, autocommit=True)


def _rows(cursor: Any) -> set[tuple[str, str]]:
    """Of each table, its rows by their ids; of UNCHANGING ones as a whole."""
    cursor.execute(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'id' AND table_schema = 'public'"
    )
    found = set()
    for (table,) in cursor.fetchall():
        cursor.execute(f"SELECT {'t::text' if table in UNCHANGING else 'id::text'} FROM {table} t")  # noqa: S608
        found |= {(table, row) for (row,) in cursor.fetchall()}
    return found
