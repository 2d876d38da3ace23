"""A share of the storm upon the whole of `up` that `make chaos` raises at length; see docs/proof.md."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.up import TARGETS, storming
from tests.processes.conftest import wait_until
from tests.processes.lab import readyz

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_whatever_is_killed_under_it_up_brings_all_back_and_loses_nothing(tmp_path: Path) -> None:
    with storming(tmp_path / "var", tmp_path / "log", seed=1) as storm:
        wait_until(lambda: all(each.handed_in for each in storm.students.values()))
        storm.strike(storm.chance.sample(sorted(TARGETS), len(TARGETS)))
        storm.calm()
        assert storm.problems() == []
        assert storm.kills.total() >= len(TARGETS) / 2  # what is down already can't be killed

        # What would be wrong is seen.
        lost, doubled, torn = (one.submission for each in storm.students.values() for one in each.handed_in[:1])
        storm.ask("DELETE FROM evaluations_form WHERE submission_id = %s RETURNING 1", lost)
        storm.ask(
            "INSERT INTO queueing_task (submission_id, owner_key, pipeline, stage, state, turn, failures, crashes,"
            " retried, error_code, error_detail, epoch, progress_done, progress_total, sequence)"
            " SELECT submission_id, owner_key, pipeline, 'transcribe', 'queued', turn, 0, 0, false, '', '', 0, 0, 0, 1"
            " FROM queueing_task WHERE submission_id = %s RETURNING 1",
            doubled,
        )
        [(path,)] = storm.ask("SELECT path FROM evaluations_submission WHERE id = %s", torn)
        (tmp_path / "var" / "media" / path).write_bytes(b"torn")
        found = "\n".join(storm.problems())
        assert f"{lost}: it has [1, 0, 1] transcripts, forms and ratings" in found
        assert f"{doubled}: its tasks are ['done', 'queued']" in found
        assert f"{torn}: other bytes" in found
    assert storm.after_the_end() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, gone after the test."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256m", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607 - found by PATH, as mount was


def fill(disk: Path) -> None:
    """To the last block, beside others who write."""
    with (disk / "filler").open("wb") as filler:
        while free := shutil.disk_usage(disk).free:
            with suppress(OSError):  # somebody took some of it meanwhile
                os.posix_fallocate(filler.fileno(), 0, os.fstat(filler.fileno()).st_size + free)
                return


def test_on_a_disk_that_is_full_up_stays_and_all_goes_on_when_there_is_room_again(
    small_disk: Path, tmp_path: Path
) -> None:
    with storming(small_disk / "var", tmp_path / "log", seed=2) as storm:
        students = [*storm.students.values()]
        for student in students:
            student.come_back.add(507)
        wait_until(lambda: any(one.handed_in and one.handed_in[0].submission for one in students))
        fill(small_disk)
        # New uploads are asked to wait (503), those that began find no room (507).
        told = sum(one.otherwise[503] + one.otherwise[507] for one in students)
        wait_until(lambda: sum(one.otherwise[503] + one.otherwise[507] for one in students) > told)
        with suppress(ProcessLookupError):  # it has no room for its log, and may have died of that
            storm.up.kill_server("postgres")
        wait_until(lambda: "ALERT: PostgreSQL has ended" in storm.up.said())
        assert "is full" in storm.up.said()
        assert readyz(storm.url) == 503
        page = students[0].http.get("/")
        assert (page.status_code, int(page.headers["Retry-After"]) > 0) == (503, True)
        assert storm.up.process.poll() is None

        (small_disk / "filler").unlink()
        wait_until(lambda: readyz(storm.url) == 200)
        storm.calm()
        assert storm.problems() == []
    assert storm.after_the_end() == []
