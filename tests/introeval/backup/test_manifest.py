"""What a backup's manifest says, and what is found to be wrong."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from introeval.backup import manifest
from introeval.backup.manifest import BackupError, BackupFile, Manifest


@pytest.fixture
def backup(tmp_path: Path) -> Manifest:
    """Two videos and a dump, in `tmp_path`."""
    files = []
    for path in ("media/ab/one/original", "media/cd/two/original", "database.dump"):
        place = tmp_path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"the bytes of {path}")
        files.append(BackupFile(path, place.stat().st_size, manifest.digest(place)))
    made = Manifest(datetime(2026, 3, 1, tzinfo=UTC), 18, ["queueing.0001_initial"], "2026-01-01", files)
    made.write(tmp_path)
    return made


def test_it_is_read_as_it_was_written(backup: Manifest, tmp_path: Path) -> None:
    assert manifest.read(tmp_path) == backup
    assert list(manifest.faults(tmp_path, backup)) == []


def test_what_is_missing_and_what_has_changed_is_named(backup: Manifest, tmp_path: Path) -> None:
    first, second, _ = backup.files
    (tmp_path / first.path).unlink()
    (tmp_path / second.path).write_text("the bytes of media/cd/two/origina1")

    assert list(manifest.faults(tmp_path, backup)) == [(first, "missing"), (second, "damaged")]


def test_a_folder_without_one_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is no backup"):
        manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "newer version"),
        ({"files": [{"path": "media/../../etc/passwd", "size": 1, "sha256": ""}]}, "no path of a backup"),
        ({"files": [{"path": "/etc/passwd", "size": 1, "sha256": ""}]}, "no path of a backup"),
        ({"made_at": "yesterday"}, "damaged"),
    ],
)
def test_what_can_not_be_trusted_is_refused(
    backup: Manifest, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    written = tmp_path / manifest.NAME
    written.write_text(json.dumps(json.loads(written.read_text()) | change))
    with pytest.raises(BackupError, match=words):
        manifest.read(tmp_path)
