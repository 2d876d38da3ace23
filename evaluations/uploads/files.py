"""The bytes of unfinished uploads, one file per upload. The row's offset is the truth; bytes beyond it are ignored."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

from django.conf import settings

from evaluations.errors.refusals import RefusedError
from evaluations.media import kinds
from evaluations.media.store import DISK_FULL


def staged(upload_id: uuid.UUID) -> Path:
    return Path(settings.UPLOADS_DIR) / str(upload_id)


@contextlib.contextmanager
def alone(upload_id: uuid.UUID) -> Iterator[None]:
    """Nobody else writes, hands in or discards this upload meanwhile, in no process: a lock that needs no database.

    Raises:
        RefusedError: somebody does (423).
    """
    folder = Path(settings.UPLOADS_DIR).with_name("uploads.locks")
    path = folder / str(upload_id)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = _locked(path)
    except BlockingIOError as error:
        raise RefusedError(423, "upload_busy") from error
    except OSError as error:
        raise _refusal(error) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # whoever had it has removed its name in between


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def create(upload_id: uuid.UUID) -> None:
    try:
        settings.UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
        staged(upload_id).touch(mode=0o600)  # one that a crash left without its row is reused
    except OSError as error:
        raise _refusal(error) from error


def append(upload_id: uuid.UUID, offset: int, chunk: bytes) -> None:
    """Write `chunk` at `offset`; it is durable when this returns. Bytes beyond, left by a crash, are overwritten.

    Raises:
        RefusedError: the disk is full (507), or the bytes before `offset` are gone (410).
    """
    path = staged(upload_id)
    try:
        with path.open("r+b") as file:
            if os.fstat(file.fileno()).st_size < offset:
                raise RefusedError(410, "upload_gone")
            file.truncate(offset)
            file.seek(offset)
            file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _refusal(error) from error


def head(upload_id: uuid.UUID) -> bytes:
    """Its first bytes, as many as say what kind of file it is."""
    with staged(upload_id).open("rb") as file:
        return file.read(kinds.HEAD_BYTES)


def discard(upload_id: uuid.UUID) -> None:
    staged(upload_id).unlink(missing_ok=True)


def strays(known: Collection[uuid.UUID], older_than_seconds: float) -> list[Path]:
    """Files of no known upload that were not written to for a while: left by a crash."""
    folder = Path(settings.UPLOADS_DIR)
    names = {str(upload_id) for upload_id in known}
    limit = time.time() - older_than_seconds
    unknown = (path for path in folder.iterdir() if path.name not in names) if folder.is_dir() else ()
    return [path for path in unknown if path.is_file() and path.stat().st_mtime < limit]


def free_bytes() -> int:
    """Free space on the disk that holds the uploads."""
    folder = Path(settings.UPLOADS_DIR)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _refusal(error: OSError) -> RefusedError:
    if error.errno in DISK_FULL:
        return RefusedError(507, "disk_full")
    if isinstance(error, FileNotFoundError):
        return RefusedError(410, "upload_gone")
    raise error
