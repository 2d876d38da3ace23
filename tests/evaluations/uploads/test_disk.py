"""A disk that fills up refuses politely and loses nothing."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from evaluations.models import Submission, Upload
from tests.conftest import Cast
from tests.evaluations.uploads.conftest import Tus, upload_at
from tests.evaluations.views.conftest import signed_in

MIB = 1024 * 1024


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
    assert (answer.status_code, answer.json()["code"]) == (503, "at_capacity")
    assert not Upload.objects.exists()
    assert not (disk / "uploads").exists()


def test_room_that_was_promised_to_others_is_not_promised_again(
    ada: Tus, bo: Tus, settings: Settings, disk: Path
) -> None:
    settings.UPLOAD_MAX_BYTES = settings.UPLOAD_QUOTA_BYTES = 2**50
    free = shutil.disk_usage(disk).free
    assert ada.create(free // 3 * 2).status_code == 201
    assert bo.create(free // 3 * 2).status_code == 503
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


Filling = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def filling(disk: Path, settings: Settings) -> Iterator[Filling]:
    """A disk of 8 MiB, and what fills it; where none may be mounted, a limit on files and a reserve stand in for it."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(disk)]
    is_mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    settings.DISK_RESERVE_BYTES = MIB

    @contextmanager
    def filled() -> Iterator[None]:
        if is_mounted:
            other = disk / "something else of the machine"
            other.write_bytes(b"x" * (5 * MIB))
            yield
            other.unlink()
            return
        settings.DISK_RESERVE_BYTES = 2**62
        with files_end_at(MIB):
            yield
        settings.DISK_RESERVE_BYTES = MIB

    yield filled
    if is_mounted:
        subprocess.run(["umount", str(disk)], check=True)  # noqa: S607 - found by PATH, as mount was


@pytest.mark.django_db(transaction=True)
def test_a_disk_that_fills_up_meanwhile_refuses_politely_and_goes_on_when_there_is_room(
    ada: Tus, bo: Tus, cast: Cast, disk: Path, filling: Filling
) -> None:
    """F33, S18: no empty file is taken for a video, rows say what is on the disk, and a teacher goes on working."""
    content = bytes(range(256)) * (3 * MIB // 256)
    promised = ada.start(len(content))
    ada.patch(promised, 0, content[:MIB])
    with filling():
        assert ada.patch(promised, MIB, content[MIB:]).status_code == 507
        assert ada.head(promised)["Upload-Offset"] == str(MIB)
        for length in (len(content), None):
            refused = bo.create(length)
            assert (refused.status_code, refused.json()["code"]) == (503, "at_capacity")
        assert (Upload.objects.count(), Submission.objects.count()) == (1, 0)
        assert signed_in(cast.teacher).get(f"/classes/{cast.classroom.pk}/").status_code == 200
    assert ada.patch(promised, MIB, content[MIB:])["Submission-New"] == "1"
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
