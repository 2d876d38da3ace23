"""A disk that fills up refuses politely and loses nothing."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytest_django import Settings

from evaluations.models import Submission, Upload
from tests.evaluations.uploads.conftest import Tus, upload_at


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The kernel itself refuses to write a file beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_upload_that_does_not_fit_is_refused_before_it_begins(ada: Tus, settings: Settings, disk: Path) -> None:
    settings.DISK_RESERVE_BYTES = shutil.disk_usage(disk).free * 2
    answer = ada.create(1000)
    assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
    assert not Upload.objects.exists()
    assert not (disk / "uploads").exists()


def test_room_that_was_promised_to_others_is_not_promised_again(
    ada: Tus, bo: Tus, settings: Settings, disk: Path
) -> None:
    settings.UPLOAD_MAX_BYTES = 2**50
    free = shutil.disk_usage(disk).free
    assert ada.create(free // 3 * 2).status_code == 201
    assert bo.create(free // 3 * 2).status_code == 507
    assert bo.create(1000).status_code == 201


def test_a_write_that_fails_half_way_can_be_repeated(ada: Tus, disk: Path) -> None:
    content = bytes(range(256)) * 1024
    url = ada.start(len(content))
    with files_end_at(100_000):
        failed = ada.patch(url, 0, content)
    assert (failed.status_code, failed.json()["code"]) == (507, "disk_full")
    assert ada.head(url)["Upload-Offset"] == "0"
    assert ada.patch(url, 0, content).status_code == 204
    assert (disk / "media" / Submission.objects.get().path).read_bytes() == content


def test_bytes_that_vanished_are_not_papered_over(ada: Tus, disk: Path) -> None:
    url = ada.start(10)
    ada.patch(url, 0, b"hello")
    staged = disk / "uploads" / str(upload_at(url).pk)
    staged.write_bytes(b"")
    assert ada.patch(url, 5, b"world").status_code == 410
    staged.unlink()
    assert ada.patch(url, 5, b"world").status_code == 410
    assert not Submission.objects.exists()
