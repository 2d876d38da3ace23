"""Handing in: what was lost comes back with the same file, and nothing is thrown away."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pytest_django import Settings

from evaluations import actions
from evaluations.media import store
from evaluations.models import Submission
from queueing.exceptions import Infrastructure, Permanent
from queueing.models import Task
from queueing.states import State
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def media_root(settings: Settings, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return tmp_path / "media"


@pytest.fixture
def known(cast: Cast) -> Submission:
    return hand_in(cast.ada, cast.classroom, content=CONTENT)


def test_the_same_file_brings_a_lost_one_back_and_its_failed_task_is_tried_again(cast: Cast, known: Submission) -> None:
    store.locate(known.path).unlink()
    fail(known, Permanent(code="file_missing"))
    assert hand_in(cast.ada, cast.classroom, content=CONTENT) == known
    store.verify(known.path, known.sha256)
    assert Task.objects.get().state == State.QUEUED


def test_a_damaged_file_is_replaced_and_kept_beside_the_good_one(
    cast: Cast, known: Submission, media_root: Path
) -> None:
    for damage in (b"first", b"second"):
        store.locate(known.path).write_bytes(damage)
        hand_in(cast.ada, cast.classroom, content=CONTENT)
    folder = (media_root / known.path).parent
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "original": CONTENT,
        "original.damaged-1": b"first",
        "original.damaged-2": b"second",
    }


def test_a_good_file_stays_and_its_failed_task_waits_for_a_person(cast: Cast, known: Submission) -> None:
    fail(known, Permanent(code="no_speech"))
    before = store.locate(known.path).stat()
    hand_in(cast.ada, cast.classroom, content=CONTENT)
    assert store.locate(known.path).stat().st_ino == before.st_ino
    assert Task.objects.get().state == State.FAILED


def test_bytes_that_come_while_the_store_is_away_are_not_thrown_away(
    cast: Cast, known: Submission, media_root: Path, tmp_path: Path
) -> None:
    media_root.rename(tmp_path / "unmounted")
    staged = tmp_path / "staged"
    staged.write_bytes(CONTENT)
    with pytest.raises(Infrastructure):
        actions.submit(classroom=cast.classroom, student=cast.ada, staged=staged, original_name="hello.mp4")
    assert hashlib.sha256(staged.read_bytes()).hexdigest() == known.sha256


def test_nothing_is_taken_while_the_disk_of_the_store_is_not_mounted(
    cast: Cast, known: Submission, media_root: Path, tmp_path: Path
) -> None:
    """What was kept under the mount point would be gone as soon as the disk is there again."""
    media_root.rename(tmp_path / "unmounted")
    media_root.mkdir()
    with pytest.raises(Infrastructure, match="MEDIA_ROOT is not there"):
        hand_in(cast.bo, cast.classroom, content=b"other bytes")
    assert not list(media_root.iterdir())
