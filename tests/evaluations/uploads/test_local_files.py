"""Files named on the command line: an odd one is refused with words, the others are submitted."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from evaluations.errors import catalogue
from evaluations.uploads import local_files
from queueing.models import Task

pytestmark = pytest.mark.django_db

NOT_READABLE_EVEN_BY_ROOT = "/proc/sys/vm/compact_memory"


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> None:
    settings.UPLOADS_DIR, settings.MEDIA_ROOT = tmp_path / "uploads", tmp_path / "media"


@pytest.fixture
def good(tmp_path: Path) -> str:
    path = tmp_path / "good.wav"
    path.write_bytes(b"sound")
    return str(path)


@contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The kernel itself refuses to write a file beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("/", "no_such_file"),
        ("/no/such/file", "no_such_file"),
        ("x" * 5000, "no_such_file"),
        (NOT_READABLE_EVEN_BY_ROOT, "no_permission"),
        ("/proc/self/mem", "unreadable"),
    ],
)
def test_what_can_not_be_read_is_refused_and_the_next_file_is_taken(name: str, code: str, good: str) -> None:
    odd, taken = local_files.hand_in([name, good])
    assert (odd.refused, odd.submission) == (code, None)
    assert code in catalogue.CATALOGUE
    assert local_files.result(odd)["error"]["code"] == code
    assert taken.task == Task.objects.get()


def test_a_file_there_is_no_room_for_is_refused_and_a_smaller_one_is_taken(tmp_path: Path, good: str) -> None:
    large = tmp_path / "large.wav"
    large.write_bytes(bytes(200_000))
    with files_end_at(100_000):
        refused, taken = local_files.hand_in([str(large), good])
    assert (refused.refused, refused.submission) == ("disk_full", None)
    assert taken.task == Task.objects.get()
    assert not list((tmp_path / "uploads").iterdir())


def test_a_store_that_does_not_take_files_is_said_of_each(settings: Settings, good: str) -> None:
    settings.MEDIA_ROOT = Path(good) / "media"
    assert [file.refused for file in local_files.hand_in([good, good])] == ["disk_failed"] * 2


def test_a_name_that_is_no_unicode_is_taken_and_told_as_well_as_it_can_be(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    Path(name).write_bytes(b"sound")
    taken, gone = local_files.hand_in([name, name + "s"])
    assert taken.submission is not None
    taken.submission.refresh_from_db()
    assert taken.submission.original_name == "caf\N{REPLACEMENT CHARACTER}.wav"
    results = json.dumps([local_files.result(file)["file"] for file in (taken, gone)], ensure_ascii=False)
    assert results.encode().decode().count("caf\N{REPLACEMENT CHARACTER}.wav") == 2
