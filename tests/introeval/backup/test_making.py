"""What is in a backup, and what an operator reads where none can be made."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.utils.timezone import now

from evaluations import actions
from evaluations.media import store
from evaluations.models import Submission, Upload
from evaluations.uploads import files as staged_files
from introeval.backup import database, making, manifest
from introeval.backup.manifest import BackupError
from tests.conftest import Cast
from tests.evaluations.material import hand_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DATA_DIR of this test's own."""
    for name, place in {"DATA_DIR": "", "MEDIA_ROOT": "media", "UPLOADS_DIR": "uploads"}.items():
        monkeypatch.setattr(settings, name, tmp_path / "var" / place)
    settings.DATA_DIR.mkdir()
    return tmp_path / "var"


def test_what_the_database_names_is_in_it(cast: Cast, lab: Path, tmp_path: Path) -> None:
    video = hand_in(cast.ada, cast.classroom, content=b"what Ada says")
    upload = _upload(cast.bo, cast, acknowledged=b"so far")
    with staged_files.staged(upload.pk).open("ab") as file:
        file.write(b", and what was not acknowledged yet")
    (lab / "secret_key").write_text("s3cret")
    (lab / "services").mkdir()
    (lab / "services" / "log").write_text("of this machine")

    done = making.make(tmp_path / "backup")

    found = manifest.read(done.folder)
    paths = {each.path for each in found.files}
    assert paths == {f"media/{video.path}", f"uploads/{upload.pk}", "data/secret_key", "database.dump"}
    assert list(manifest.faults(done.folder, found)) == []
    assert (done.folder / "uploads" / str(upload.pk)).read_bytes() == b"so far"
    copy = done.folder / "media" / video.path
    assert copy.samefile(settings.MEDIA_ROOT / video.path), "it takes no room on the same disk"
    assert (done.folder.stat().st_mode & 0o777) == 0o700


def test_one_that_is_made_after_an_update_and_before_its_migrations(cast: Cast, tmp_path: Path) -> None:
    video = hand_in(cast.ada, cast.classroom)
    renamed = "ALTER TABLE evaluations_submission RENAME COLUMN {} TO {}"
    with connection.cursor() as cursor:
        cursor.execute(renamed.format("video_gone_at", "not_there_yet"))
        try:
            done = making.make(tmp_path / "backup")
        finally:
            cursor.execute(renamed.format("not_there_yet", "video_gone_at"))
    assert f"media/{video.path}" in {each.path for each in done.made.files}


def test_a_video_that_retention_took_is_not_missed(cast: Cast, tmp_path: Path) -> None:
    old = hand_in(cast.ada, cast.classroom)
    (settings.MEDIA_ROOT / old.path).unlink()
    Submission.objects.filter(pk=old.pk).update(video_gone_at=now())
    assert making.make(tmp_path / "backup").made.missing == []


def test_an_upload_that_is_complete_meanwhile_is_found_where_it_went(cast: Cast, tmp_path: Path) -> None:
    upload = _upload(cast.ada, cast, acknowledged=b"all of it")
    actions.submit(
        classroom=cast.classroom,
        student=cast.ada,
        staged=staged_files.staged(upload.pk),
        original_name="me.webm",
        submission_id=upload.pk,
    )
    making.make(tmp_path / "backup")  # a crash has left the upload's own row behind

    assert (tmp_path / "backup" / "uploads" / str(upload.pk)).read_bytes() == b"all of it"
    assert store.keep(staged_files.staged(upload.pk), upload.pk).size == 9, "its video now has a second name"


def test_an_earlier_backup_on_that_disk_is_linked_to(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = hand_in(cast.ada, cast.classroom)
    monkeypatch.setattr(os, "link", _links_but_not_from(settings.MEDIA_ROOT))  # as from another disk
    first = making.make(tmp_path / "first")
    hand_in(cast.ada, cast.classroom)

    second = making.make(tmp_path / "second", against=tmp_path / "first")

    assert (first.linked, second.linked) == (0, 1)
    assert (second.folder / "media" / old.path).samefile(first.folder / "media" / old.path)
    assert list(manifest.faults(second.folder, second.made)) == []


def test_a_video_that_is_lost_or_changed_is_named_and_stops_nothing(cast: Cast, tmp_path: Path) -> None:
    lost, cut, whole = (hand_in(cast.ada, cast.classroom) for _ in range(3))
    (settings.MEDIA_ROOT / lost.path).unlink()
    (settings.MEDIA_ROOT / cut.path).write_bytes(b"half")

    done = making.make(tmp_path / "backup").made

    assert (done.missing, done.damaged) == ([str(lost.pk)], [str(cut.pk)])
    assert f"media/{whole.path}" in {each.path for each in done.files}


def test_what_is_deleted_while_it_is_made_is_noted(cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = hand_in(cast.ada, cast.classroom)
    dump = database.dump

    def delete_behind(*arguments: Path, **options: object) -> int:
        version = dump(*arguments, **options)  # type: ignore[arg-type]
        actions.delete(submission=gone, by=cast.ada)
        return version

    monkeypatch.setattr(database, "dump", delete_behind)
    done = making.make(tmp_path / "backup").made

    assert (done.deleted, done.missing) == ([str(gone.pk)], [])


def test_a_full_disk_leaves_nothing_behind(cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hand_in(cast.ada, cast.classroom)

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(database, "dump", full)
    with pytest.raises(BackupError, match=r"is full\. What was written is gone again"):
        making.make(tmp_path / "disk" / "backup")
    assert list((tmp_path / "disk").iterdir()) == []


def test_one_that_was_killed_is_never_taken_for_a_backup(cast: Cast, tmp_path: Path) -> None:
    left = tmp_path / ".backup.unfinished"
    left.mkdir()
    (left / "database.dump").write_text("half of it")

    done = making.make(tmp_path / "backup")

    assert not left.exists()
    assert manifest.read(done.folder).files


@pytest.mark.parametrize(("place", "words"), [("there", "is there already"), ("var/backup", "is in DATA_DIR")])
def test_a_folder_that_is_there_or_inside_is_refused(cast: Cast, tmp_path: Path, place: str, words: str) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(BackupError, match=words):
        making.make(tmp_path / place)


def test_a_missing_pg_dump_is_named(cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_programs", lambda name: iter(()))
    with pytest.raises(BackupError, match=r"no pg_dump of PostgreSQL 18.*\n.*make setup"):
        making.make(tmp_path / "backup")


def test_too_little_room_is_said_before_anything_is_copied(
    cast: Cast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(BackupError, match="may need"):
        making.make(tmp_path / "backup")


def _upload(student: User, cast: Cast, *, acknowledged: bytes) -> Upload:
    upload = Upload.objects.create(
        student=student, classroom=cast.classroom, offset=len(acknowledged), length=100, expires_at=now()
    )
    staged_files.create(upload.pk)
    staged_files.append(upload.pk, 0, acknowledged)
    return upload


def _links_but_not_from(folder: Path):  # type: ignore[no-untyped-def]
    link = os.link

    def guarded(source: Path, *arguments: object, **options: object) -> None:
        if Path(source).is_relative_to(folder):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        link(source, *arguments, **options)  # type: ignore[arg-type]

    return guarded
