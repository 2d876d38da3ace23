"""Makes a backup while the lab works."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from django.conf import settings
from django.db import connection

from introeval.backup import database, manifest
from introeval.backup.manifest import DATA, DUMP, MEDIA, UPLOADS, BackupError, BackupFile, Manifest
from introeval.embedded.locks import FileLock

# In DATA_DIR, and not for a backup: the database has its dump; locks and logs are of this machine; models, copies for
# players and written results are made again.
LEFT_OUT: Final = frozenset(
    {"postgres", "postgres.new", "services", "media", "uploads", "uploads.locks", "models", "locks", "results"}
    | {"backup.lock", manifest.RESTORING}
)
LAST_MIGRATION: Final = (
    "SELECT to_char(max(applied) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM django_migrations"
)
# By the row as JSON: before an update's migrations the table has no such column, and then no video is gone.
KEPT_VIDEOS: Final = (
    "SELECT id, path, size, sha256 FROM evaluations_submission s"
    " WHERE to_jsonb(s) ->> 'video_gone_at' IS NULL ORDER BY id"
)
UNFINISHED: Final = ".unfinished"
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass
class FinishedBackup:
    folder: Path
    made: Manifest
    linked: int = 0  # files that share their bytes with the store, or with the earlier backup
    copied_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StoredVideo:
    """What a row of a submission says of its file."""

    pk: str
    path: str  # relative to MEDIA_ROOT
    size: int
    sha256: str


@dataclass
class _Making:
    """One backup under way."""

    folder: Path
    earlier: dict[str, tuple[Path, BackupFile]]  # of an earlier backup, by their path in it
    files: list[BackupFile] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    linked: int = 0
    copied_bytes: int = 0

    def add_video(self, video: StoredVideo) -> None:
        """By a hard link where that is possible: its bytes never change, so the row's checksum is its own."""
        path, source = f"{MEDIA}/{video.path}", settings.MEDIA_ROOT / video.path
        try:
            size = source.lstat().st_size
        except FileNotFoundError:
            self.missing.append(video.pk)
            return
        known = BackupFile(path, video.size, video.sha256)
        if size == video.size and (self._link(source, known) or self._link_earlier(known)):
            return
        found = self._copy(source, path)
        if (found.size, found.sha256) != (video.size, video.sha256):
            self.damaged.append(video.pk)

    def add_upload(self, upload_id: str, offset: int) -> None:
        """The bytes that were acknowledged. Later ones are not: they come again. None, if it was discarded since."""
        staged = settings.UPLOADS_DIR / upload_id
        kept = settings.MEDIA_ROOT / upload_id[:2] / upload_id / "original"  # where it goes when it is complete
        for source in (staged, kept, staged):
            try:
                self._copy(source, f"{UPLOADS}/{upload_id}", most=offset)
            except FileNotFoundError:
                continue
            return

    def add_data(self) -> None:
        """The other files of DATA_DIR."""
        for source in _files_of(settings.DATA_DIR):
            path = source.relative_to(settings.DATA_DIR)
            if path.parts[0] not in LEFT_OUT and not path.parts[0].startswith("."):
                self._copy(source, f"{DATA}/{path.as_posix()}")

    def add_dump(self) -> None:
        path = self.folder / DUMP
        with path.open("rb") as file:
            os.fsync(file.fileno())
        self.files.append(BackupFile(DUMP, path.stat().st_size, manifest.digest(path)))

    def _link_earlier(self, wanted: BackupFile) -> bool:
        """Whether an earlier backup has the very same file, and could be linked to."""
        source, known = self.earlier.get(wanted.path, (None, None))
        if source is None or known != wanted:
            return False
        try:
            return source.lstat().st_size == wanted.size and self._link(source, wanted)
        except OSError:
            return False

    def _link(self, source: Path, wanted: BackupFile) -> bool:
        try:
            os.link(source, self._place(wanted.path), follow_symlinks=False)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in FULL:
                raise
            return False  # another file system, one without hard links, or somebody else's file
        self.files.append(wanted)
        self.linked += 1
        return True

    def _copy(self, source: Path, path: str, *, most: int | None = None) -> BackupFile:
        sha256, size = hashlib.sha256(), 0
        with source.open("rb") as original, self._place(path).open("xb") as copy:
            while chunk := original.read(_CHUNK_BYTES if most is None else min(_CHUNK_BYTES, most - size)):
                copy.write(chunk)
                sha256.update(chunk)
                size += len(chunk)
            copy.flush()
            os.fsync(copy.fileno())
        self.files.append(BackupFile(path, size, sha256.hexdigest()))
        self.copied_bytes += size
        return self.files[-1]

    def _place(self, path: str) -> Path:
        place = self.folder / path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place


def make(target: Path, *, against: Path | None = None) -> FinishedBackup:
    """Back everything up to the new folder `target`.

    Args:
        against: an earlier backup; videos that are in it are linked to instead of copied, if it is on the same disk.

    Raises:
        BackupError: not made; nothing of it is left.
    """
    target = target.absolute()
    earlier = _earlier(against) if against else {}
    _require_usable(target)
    part = target.with_name(f".{target.name}{UNFINISHED}")
    with _alone(), _explained(target):
        if part.exists():  # of one that was killed
            shutil.rmtree(part)
        part.mkdir(mode=0o700, parents=True)
        try:
            work = _Making(part, earlier)
            made = _fill(work)
            made.write(part)
            _sync(part)
            part.rename(target)
            _sync_folder(target.parent)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    return FinishedBackup(target, made, work.linked, work.copied_bytes)


def _fill(work: _Making) -> Manifest:
    # On a connection of its own, that nobody's limits end: the snapshot is the moment that all of it is of.
    with psycopg.connect(**connection.get_connection_params()) as snapshot, snapshot.cursor() as cursor:
        cursor.execute("SET idle_in_transaction_session_timeout = 0; SET statement_timeout = 0")
        snapshot.commit()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        moment, name = _one(cursor, "SELECT transaction_timestamp(), pg_export_snapshot()")
        migrations = _migrations(cursor)
        (migrated_at,) = _one(cursor, LAST_MIGRATION)
        videos = [StoredVideo(str(pk), *facts) for pk, *facts in cursor.execute(KEPT_VIDEOS)]
        uploads = list(
            cursor.execute('SELECT id::text, "offset" FROM evaluations_upload WHERE submission_id IS NULL ORDER BY id')
        )
        (tables,) = _one(cursor, "SELECT pg_database_size(current_database())")
        _require_room(work, tables + sum(offset for _, offset in uploads), videos)
        version = database.dump(work.folder / DUMP, snapshot=name, server=snapshot.info.server_version // 10_000)
    work.add_dump()
    for upload_id, offset in uploads:
        work.add_upload(upload_id, offset)
    for video in videos:
        work.add_video(video)
    work.add_data()
    deleted = _deleted(work.missing)
    return Manifest(
        made_at=_as_moment(moment),
        postgres=version,
        migrations=migrations,
        migrated_at=migrated_at,
        files=work.files,
        missing=[pk for pk in work.missing if pk not in deleted],
        damaged=work.damaged,
        deleted=sorted(deleted),
    )


def _migrations(cursor: psycopg.Cursor[Any]) -> list[str]:
    """
    Raises:
        BackupError: there is nothing in the database.
    """
    (there,) = _one(cursor, "SELECT to_regclass('django_migrations') IS NOT NULL")
    if not there:
        raise BackupError("The database is empty: there is nothing to back up.", fix="is DATABASE_URL the right one?")
    return [name for (name,) in cursor.execute("SELECT app || '.' || name FROM django_migrations ORDER BY 1")]


def _deleted(pks: Sequence[str]) -> set[str]:
    """Those whose row is gone by now, too."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id::text FROM evaluations_submission WHERE id = ANY(%s::uuid[])", [list(pks)])
        return set(pks) - {pk for (pk,) in cursor.fetchall()}


def _require_room(work: _Making, tables: int, videos: Sequence[StoredVideo]) -> None:
    """Say at once that it will not fit, by the largest that the dump can be and the videos that must be copied.

    Raises:
        BackupError: it will not.
    """
    here = work.folder.stat().st_dev
    linked = settings.MEDIA_ROOT.is_dir() and settings.MEDIA_ROOT.stat().st_dev == here
    new = [] if linked else [video.size for video in videos if f"{MEDIA}/{video.path}" not in work.earlier]
    needed, free = tables + sum(new), shutil.disk_usage(work.folder).free
    if free < needed:
        has, needs = f"{work.folder.parent} has {free / 1024**2:,.0f} MB free", f"{needed / 1024**2:,.0f} MB"
        raise BackupError(
            f"The backup may need {needs}, and {has}.",
            fix="name a folder on a larger disk, or an earlier backup on that disk with --against",
        )


def _earlier(folder: Path) -> dict[str, tuple[Path, BackupFile]]:
    folder = folder.absolute()
    return {each.path: (folder / each.path, each) for each in manifest.read(folder).files}


def _require_usable(target: Path) -> None:
    if os.path.lexists(target):
        raise BackupError(f"{target} is there already.", fix="name one that is not, with the date in it")
    data_dir = settings.DATA_DIR
    if data_dir in target.resolve().parents:
        raise BackupError(f"{target} is in DATA_DIR ({data_dir}).", fix="name a folder outside, best on another disk")


@contextmanager
def _alone() -> Iterator[None]:
    """One of a DATA_DIR at a time."""
    with FileLock(settings.DATA_DIR / "backup.lock") as lock:
        if not lock.take():
            raise BackupError(f"Another backup is being made (process {lock.pid()}).", fix="wait for its end")
        lock.write_pid()
        yield


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as error:
        raise BackupError(f"The database failed: {str(error).strip()}.", fix="`manage.py doctor` tells more") from error
    except OSError as error:
        if error.errno in FULL:
            raise BackupError(
                f"The disk of {target} is full. What was written is gone again.",
                fix="free some space on it, or name a folder on a larger disk",
            ) from error
        where = f" ({error.filename})" if error.filename else ""
        raise BackupError(
            f"{target} could not be written: {error.strerror}{where}.", fix="name a folder that this user may write to"
        ) from error


def _files_of(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.parent == settings.DATA_DIR and path.name in LEFT_OUT:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files_of(path)
        elif path.is_file():
            yield path


def _sync(folder: Path) -> None:
    with (folder / manifest.NAME).open("rb") as file:
        os.fsync(file.fileno())
    for each, _, _ in os.walk(folder):
        _sync_folder(Path(each))


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _one(cursor: psycopg.Cursor[Any], query: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = cursor.execute(query).fetchone()
    assert row is not None
    return row


def _as_moment(value: object) -> datetime:
    assert isinstance(value, datetime)
    return value


def shares_the_disk(folder: Path) -> bool:
    """Whether a backup is lost with the disk of the videos."""
    store = settings.MEDIA_ROOT if settings.MEDIA_ROOT.exists() else settings.DATA_DIR
    return bool(folder.stat().st_dev == store.stat().st_dev)
