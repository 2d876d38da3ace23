"""Puts a backup into an empty DATA_DIR and an empty database.

The files come first and the dump last, in one transaction, so the database never names what is not there. The same
command goes on with a restore that was interrupted: a mark in DATA_DIR tells its own files from anybody else's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from evaluations import actions
from evaluations.models import Deletion, Submission
from introeval.backup import age, database, manifest
from introeval.backup.making import FULL, LEFT_OUT
from introeval.backup.manifest import DATA, DUMP, MEDIA, RESTORING, UPLOADS, BackupError, BackupFile, Manifest
from introeval.embedded.layout import ServiceLayout
from queueing.models import schema

NAMED: Final = 10  # files that are named when many are at fault
EVERYWHERE: Final = frozenset({"secret_key"})  # made by whatever command comes first to an empty DATA_DIR
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FinishedRestore:
    restored: Manifest
    left_out: Sequence[str]  # paths of files that were at fault in the backup
    migrated: int  # migrations that the backup's database had not had


def restore(folder: Path, *, partial: bool = False) -> FinishedRestore:
    """Restore the backup in `folder`, after all of it was read and compared with its checksums.

    Args:
        partial: restore what is whole, though other files are missing or damaged.

    Raises:
        BackupError: nothing was changed; or the disk is full, and the same command goes on.
    """
    folder = folder.absolute()
    found = manifest.read(folder)
    _require_ours(found)
    is_filled = not database.is_empty()
    if is_filled and not (_begun(found) and _is_of(found)):
        raise _not_empty()
    if not _begun(found):
        _require_no_files()
    bad = _faulty(folder, found, partial=partial)
    with _explained():
        if not is_filled:
            _fill(folder, found, left_out=bad)
        migrated = len(schema.lacking())
        call_command("migrate", interactive=False, verbosity=0)
        _delete_again(found.deleted)
        age.note_restored(found.made_at)
        (settings.DATA_DIR / RESTORING).unlink(missing_ok=True)
    return FinishedRestore(found, sorted(bad), migrated)


def _fill(folder: Path, found: Manifest, *, left_out: set[str]) -> None:
    settings.DATA_DIR.mkdir(mode=0o711, parents=True, exist_ok=True)
    _require_room(found)
    _write(settings.DATA_DIR / RESTORING, json.dumps(_identity(found)).encode())
    for each in found.files:
        if each.path != DUMP and each.path not in left_out:
            _put_back(folder / each.path, _place(each.path), each)
    for root in (settings.MEDIA_ROOT, settings.UPLOADS_DIR):
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _own(root)
    os.sync()  # the names of all of them, before the database names them
    database.restore(folder / DUMP, version=found.postgres)


def _put_back(source: Path, place: Path, wanted: BackupFile) -> None:
    """Copied, not linked: whoever changes or deletes the backup must not change the lab's files.

    Raises:
        BackupError: it is not the file any more that was compared a moment ago.
    """
    made = []
    for parent in place.parents:
        if parent.exists():
            break
        made.append(parent)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for parent in made:
        _own(parent)
    sha256, part = hashlib.sha256(), place.with_name(f".{place.name}.part")
    with source.open("rb") as original, open(part, "wb", opener=_private) as copy:
        while chunk := original.read(_CHUNK_BYTES):
            copy.write(chunk)
            sha256.update(chunk)
        copy.flush()
        os.fsync(copy.fileno())
    if sha256.hexdigest() != wanted.sha256:
        raise BackupError(f"{source} has changed while it was copied.", fix="run the command again")
    _own(part)
    part.rename(place)


def _place(path: str) -> Path:
    top, _, rest = path.partition("/")
    return {MEDIA: settings.MEDIA_ROOT, UPLOADS: settings.UPLOADS_DIR, DATA: settings.DATA_DIR}[top] / rest


def _delete_again(pks: Sequence[str]) -> None:
    """What somebody deleted while the backup was made has rows in it, and no file."""
    for submission in Submission.objects.filter(pk__in=pks).select_related("student"):
        actions.delete(submission=submission, by=submission.student)
    Deletion.objects.filter(pk__in=pks).update(by=None)  # who it was is not known here


def _faulty(folder: Path, found: Manifest, *, partial: bool) -> set[str]:
    """
    Raises:
        BackupError: the backup is not what it was.
    """
    bad = {each.path: what for each, what in manifest.faults(folder, found)}
    if DUMP in bad:
        raise BackupError(f"{folder / DUMP} is {bad[DUMP]}: this backup can't be restored.", fix="take another backup")
    if bad and not partial:
        named = "".join(f"\n    {what}: {path}" for path, what in list(bad.items())[:NAMED])
        more = f"\n    and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise BackupError(
            f"{len(bad)} of {len(found.files)} files of this backup are at fault:{named}{more}",
            fix="take another backup, or restore what is whole with --partial",
        )
    return set(bad)


def _require_ours(found: Manifest) -> None:
    """
    Raises:
        BackupError: this version is older than the one that made it.
    """
    apps = {app for app, _ in schema.known()}
    known = {f"{app}.{name}" for app, name in schema.known()}
    newer = [name for name in found.migrations if name.split(".")[0] in apps and name not in known]
    if newer:
        raise BackupError(
            f"The backup was made by a newer version ({', '.join(newer)}).",
            fix="update this installation, then restore",
        )


def _require_no_files() -> None:
    """
    Raises:
        BackupError: there is something that a restore would mix with or write over.
    """
    there = [path for path in (settings.MEDIA_ROOT, settings.UPLOADS_DIR) if path.is_dir() and any(path.iterdir())]
    if settings.DATA_DIR.is_dir():
        others = (path for path in settings.DATA_DIR.iterdir() if path.name not in LEFT_OUT | EVERYWHERE)
        there += [path for path in others if not path.name.startswith(".")]
    if there:
        raise BackupError(
            f"DATA_DIR is not empty: {', '.join(str(path) for path in there)}.",
            fix="restore into a new one (DATA_DIR=DIR), or move what is there away",
        )


def _not_empty() -> BackupError:
    return BackupError(
        f"The database {connection.settings_dict['NAME']} is not empty.",
        fix="restore into a new DATA_DIR, or into a new database that DATABASE_URL names",
    )


def _is_of(found: Manifest) -> bool:
    """Whether the database is that of the backup, brought back by a restore that was interrupted right afterwards."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM django_migrations WHERE applied = %s::timestamp AT TIME ZONE 'UTC')",
            [found.migrated_at],
        )
        row = cursor.fetchone()
        assert row is not None
        return bool(row[0])


def _begun(found: Manifest) -> bool:
    """Whether a restore of this very backup was begun here, and not finished."""
    try:
        return bool(json.loads((settings.DATA_DIR / RESTORING).read_text()) == _identity(found))
    except (OSError, ValueError):
        return False


def _identity(found: Manifest) -> list[str]:
    dump = next(each for each in found.files if each.path == DUMP)
    return [found.made_at.isoformat(), dump.sha256]


def _require_room(found: Manifest) -> None:
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < found.bytes:
        has, needs = f"{settings.DATA_DIR} has {free / 1024**2:,.0f} MB free", f"{found.bytes / 1024**2:,.0f} MB"
        raise BackupError(
            f"The backup has {needs}, and {has}.",
            fix="free some space, or name a DATA_DIR on a larger disk",
        )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "is full" if error.errno in FULL else f"can't be written: {error.strerror}"
        raise BackupError(
            f"DATA_DIR ({settings.DATA_DIR}) {what}.", fix="mend that, then run the same command: it goes on"
        ) from error


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    with open(part, "wb", opener=_private) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _own(path: Path) -> None:
    """Root works on behalf of DATA_DIR's owner."""
    if os.geteuid() == 0:
        os.chown(path, *ServiceLayout(settings.DATA_DIR).owner.ids)
