"""The store of uploaded files: MEDIA_ROOT/<first two of the id>/<id>/original, with copies for players beside them.

No part of a path comes from a user. A file appears under its final name whole and durable, or not at all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from queueing.exceptions import Infrastructure, Permanent

T = TypeVar("T")

COPY, SOUND = "seekable", "sound"  # beside `original`, see seekable.py
DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG})  # of an OSError: no more can be written

_FOLDER = r"([0-9a-f]{2})/\1[0-9a-f]{6}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_RELATIVE = re.compile(rf"{_FOLDER}/original")
_COPY = re.compile(rf"{_FOLDER}/({COPY}|{SOUND})(\.part)?")
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stored:
    path: str  # relative to MEDIA_ROOT
    size: int  # bytes
    sha256: str  # hex


@dataclass(frozen=True, slots=True)
class Contents:
    """What lies under MEDIA_ROOT, relative to it."""

    originals: frozenset[str]  # of the shape that `keep` gives; compare with the rows in both directions
    copies: frozenset[str]  # of originals that are there; can be made again
    strays: frozenset[str]  # everything else: leftovers of a crash, and foreign files


def keep(staged: Path, submission_id: UUID, *, root: Path | None = None) -> Stored:
    """Move a complete upload into the store; it is durable when this returns, and `staged` is gone.

    Idempotent: called again after a crash at any step, it returns the same.

    Raises:
        Infrastructure: the disk is full or read-only (code `disk_full`), or fails otherwise (`disk_failed`). The staged
            file is still there and can be kept later, except after a failed fsync: what was written is then unknown and
            must be sent again.
        FileNotFoundError: there is neither a staged nor a kept file.
        FileExistsError: other bytes are already kept for this submission. They stay.
        Permanent: the staged file is a link, or has a second name by which it could still be changed.
    """
    root = root or _media_root()
    relative = _relative(submission_id)
    target = root / relative
    with _disk_errors():
        # Moved already, by a call that crashed: only the steps after the rename are left to do.
        taken = not os.path.lexists(staged) and target.is_file()
        size, sha256 = _make_durable(target) if taken else _make_durable(staged, alone=True)
        if not taken:
            _make_folders(root, target.parent)
            _take(staged, target, sha256)
        for folder in (target.parent, target.parent.parent, root, root.parent):  # each may be new
            sync_folder(folder)
    return Stored(relative, size, sha256)


def replace(staged: Path, submission_id: UUID, *, root: Path | None = None) -> Stored:
    """As `keep`, in the place of a file that was lost or damaged.

    A file that is there is never deleted: it stays beside the new one as `original.damaged-<n>`, also after an error.
    """
    root = root or _media_root()
    target = root / _relative(submission_id)
    with _disk_errors():
        if os.path.lexists(target):
            target.rename(_aside(target))
        for copy in (COPY, SOUND):  # of the damaged one
            target.with_name(copy).unlink(missing_ok=True)
    return keep(staged, submission_id, root=root)


def remove(submission_id: UUID, *, root: Path | None = None) -> None:
    """Remove all files of a submission, copies too; durable when this returns. No error if there are none.

    Raises:
        Infrastructure: the disk fails or is not there (code `disk_failed`); call it again.
        Permanent: a link lies in the way.
    """
    root = root or _media_root()
    folder = (root / _relative(submission_id)).parent
    require_there(root=root)
    with _disk_errors():
        for each in (folder.parent, folder):
            _refuse_link(each)
        if not folder.is_dir():
            return
        with contextlib.suppress(FileNotFoundError):  # removed concurrently
            while not _emptied(folder):  # a player's copy was being made at this moment
                pass
        sync_folder(folder.parent)  # which stays: another file may be about to move into it


def _emptied(folder: Path) -> bool:
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def locate(relative: str, *, root: Path | None = None) -> Path:
    """The absolute path of a kept file.

    Raises:
        Permanent: `file_missing`: not a path that `keep` gives, not there, or a link on the way.
    """
    root = root or _media_root()
    if not _RELATIVE.fullmatch(relative):
        raise Permanent("not a path of the store", code="file_missing")
    path = root
    for part in relative.split("/"):
        path = path / part
        _refuse_link(path)
    if not path.is_file():
        raise Permanent("the stored file is not there", code="file_missing")
    return path


def verify(relative: str, sha256: str, *, root: Path | None = None) -> None:
    """Check that a kept file is there and still what it was.

    Raises:
        Permanent: `file_missing` or `file_damaged`.
        Infrastructure: the disk can't be read, or is not there (code `disk_failed`).
    """
    found = _read_kept(digest, relative, root)
    if found != sha256:
        raise Permanent(f"sha256 is {found[:12]}…, it was {sha256[:12]}…", code="file_damaged")


def verify_size(relative: str, size: int, *, root: Path | None = None) -> None:
    """As `verify`, by the size alone: quick, but doesn't detect changed bytes."""
    found = _read_kept(lambda path: path.stat().st_size, relative, root)
    if found != size:
        raise Permanent(f"it has {found} bytes, it had {size}", code="file_damaged")


def require_there(*, root: Path | None = None) -> None:
    """Distinguish an unmounted disk from lost files: it leaves no folder behind, or an empty one.

    Call it only where something was stored before.

    Raises:
        Infrastructure: code `disk_failed`.
    """
    root = root or _media_root()
    with _disk_errors():
        if not root.is_dir() or not any(root.iterdir()):
            raise Infrastructure(f"MEDIA_ROOT is not there: {root} is not a folder, or empty", code="disk_failed")


def digest(path: Path) -> str:
    """A file's sha256, hex. A symbolic link in the last place is refused with OSError."""
    with _open_regular(path) as descriptor:
        return _digest(descriptor)


def require_room(size: int, *, reserve: int, root: Path | None = None) -> None:
    """Refuse `size` more bytes when the disk would keep less than `reserve` free.

    Raises:
        Infrastructure: code `disk_full`.
    """
    root = root or _media_root()
    with _disk_errors():
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(root).free
    if free - size < reserve:
        raise Infrastructure(f"{free} bytes are free, {size} + {reserve} are needed", code="disk_full")


def contents(*, root: Path | None = None) -> Contents:
    """All files in the store. Links are listed, not followed."""
    root = root or _media_root()
    found = {path.relative_to(root).as_posix() for path in _files_under(root)}
    regular = {name for name in found if not (root / name).is_symlink()}
    originals = frozenset(name for name in regular if _RELATIVE.fullmatch(name))
    copies = frozenset(name for name in regular if _COPY.fullmatch(name) and _original_of(name) in originals)
    return Contents(originals, copies, frozenset(found - originals - copies))


def _read_kept(read: Callable[[Path], T], relative: str, root: Path | None) -> T:
    root = root or _media_root()
    try:
        with _disk_errors():
            return read(locate(relative, root=root))
    except (Permanent, FileNotFoundError) as error:
        if _RELATIVE.fullmatch(relative):  # anything else was never there
            require_there(root=root)
        raise Permanent(str(error), code="file_missing") from error


def _media_root() -> Path:
    # Here, not above: the decoding child imports this package and must not need Django.
    from django.conf import settings

    return Path(settings.MEDIA_ROOT)


def _relative(submission_id: UUID) -> str:
    name = str(submission_id)
    return f"{name[:2]}/{name}/original"


def _original_of(copy: str) -> str:
    return f"{copy.rpartition('/')[0]}/original"


def _make_durable(staged: Path, *, alone: bool = False) -> tuple[int, str]:
    """`alone`: refuse a file with a second name. A kept one may have one, in a backup that was made by hard links."""
    if staged.is_symlink():
        raise Permanent("the staged file is a link", code="unreadable")
    with _open_regular(staged) as descriptor:
        status = os.fstat(descriptor)
        if alone and status.st_nlink != 1:
            raise Permanent("the staged file has a second name", code="unreadable")
        os.fchmod(descriptor, 0o600)
        try:
            os.fsync(descriptor)
        except OSError:
            # The kernel forgets what it failed to write: a second fsync would call this file safe.
            staged.unlink()
            raise
        return status.st_size, _digest(descriptor)


def _make_folders(root: Path, folder: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in (folder.parent, folder):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=0o700)
        _refuse_link(each)


def _aside(target: Path) -> Path:
    """The first free name to move a damaged file to."""
    names = (target.with_name(f"{target.name}.damaged-{number}") for number in count(1))
    return next(name for name in names if not os.path.lexists(name))


def _take(staged: Path, target: Path, sha256: str) -> None:
    if os.path.lexists(target):
        if target.is_symlink() or digest(target) != sha256:
            raise FileExistsError(errno.EEXIST, "other bytes are kept for this submission", str(target))
        staged.unlink()
        return
    try:
        _move(staged, target)
    except OSError:
        for folder in (target.parent, target.parent.parent):
            with contextlib.suppress(OSError):  # not empty: another file's too
                folder.rmdir()
        raise


def _move(staged: Path, target: Path) -> None:
    try:
        staged.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(staged, target)


def _copy(staged: Path, target: Path) -> None:
    # Uploads on another file system than the store: rename can't cross, so the copy gets its own fsync and rename.
    part = target.with_suffix(".part")
    part.unlink(missing_ok=True)  # left by a crash: nothing refers to it
    try:
        with staged.open("rb") as source, open(part, "xb", opener=_private) as copy:
            shutil.copyfileobj(source, copy, _CHUNK_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    staged.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise Permanent("a link lies in the store", code="file_missing")


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        yield descriptor
    finally:
        os.close(descriptor)


def _digest(descriptor: int) -> str:
    sha256 = hashlib.sha256()
    offset = 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, offset):
        sha256.update(chunk)
        offset += len(chunk)
    return sha256.hexdigest()


def _files_under(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]
        yield from (Path(folder) / name for name in (*files, *linked))


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        code = "disk_full" if error.errno in DISK_FULL else "disk_failed"
        raise Infrastructure(f"{error.strerror}: {error.filename}", code=code) from error
