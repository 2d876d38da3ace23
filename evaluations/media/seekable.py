"""Copies for players, beside the originals. What was uploaded is never changed.

<id>/seekable plays and seeks in a browser where the original doesn't; <id>/sound is the sound alone, for a browser that
can't open the picture. A copy is made when it is first requested, and again when it is gone: it can be deleted at any
time. An empty one marks that none is needed or possible.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog
from django.conf import settings

from evaluations.media import kinds, store, wire
from evaluations.media.confined import run_child
from evaluations.media.facts import Remuxed
from queueing.exceptions import Infrastructure, Permanent, Transient

log = structlog.get_logger(__name__)

WALL_SECONDS: Final = 30.0  # 300 MB take about three
MAX_SECONDS: Final = 3600.0  # of sound that is encoded
GROWTH: Final = 1.1  # of a copy over its original, at most; and
ROOM_BYTES: Final = 32 * 1024 * 1024  # what MAX_SECONDS of encoded sound take


def seekable(original: Path) -> Path:
    """The file to play for a stored one: its seekable copy where there is one, else the file itself. Never raises."""
    return _copy(original, store.COPY, "remux")


def sound(original: Path) -> Path:
    """The sound alone of a stored file, as MP3; the file itself where it has none that can be read. Never raises."""
    return _copy(original, store.SOUND, "sound")


def container(path: Path, original: str) -> str:
    """The container of a file that is to be played, as in `MediaFacts`; `original` is that of the stored one.

    A copy was written here, so its first bytes are trusted.
    """
    if path.name not in (store.COPY, store.SOUND):
        return original
    with path.open("rb") as file:
        found = kinds.kind(file.read(kinds.HEAD_BYTES))
    written = {"mov": ("mp4", "mov"), "matroska": ("webm", "matroska")}.get(found, (found,))
    return original if original in written else written[0]


def _copy(original: Path, name: str, mode: str) -> Path:
    copy = original.with_name(name)
    if not os.path.lexists(copy):
        try:
            _make(original, copy, mode)
        except (OSError, Infrastructure) as error:
            log.warning("no_copy_for_players", path=str(original), error=str(error))
    return copy if _has_bytes(copy) else original


def _has_bytes(copy: Path) -> bool:
    try:
        return copy.lstat().st_size > 0 and not copy.is_symlink()
    except FileNotFoundError:
        return False


def _make(original: Path, copy: Path, mode: str) -> None:
    size = original.stat().st_size
    store.require_room(size, reserve=settings.DISK_RESERVE_BYTES)
    with _part(copy) as (part, descriptor):
        if os.path.lexists(copy):  # another process was faster
            return
        os.ftruncate(descriptor, 0)
        if not _written(original, mode, descriptor, most=int(size * GROWTH) + ROOM_BYTES):
            os.ftruncate(descriptor, 0)
        os.fsync(descriptor)
        part.rename(copy)
        store.sync_folder(copy.parent)


@contextmanager
def _part(copy: Path) -> Iterator[tuple[Path, int]]:
    """The incomplete copy, locked for one process at a time. The kernel releases a killed one's lock."""
    part = copy.with_suffix(".part")
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not os.path.lexists(copy) and not os.path.samestat(os.fstat(descriptor), part.stat()):
            raise FileNotFoundError(f"{part} was replaced meanwhile")
        yield part, descriptor
        if os.path.lexists(copy):
            part.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _written(original: Path, mode: str, descriptor: int, *, most: int) -> bool:
    """Whether the child wrote a copy to `descriptor`; a file that it can't read is played as it is."""

    def place(piece: bytes) -> None:
        (offset,), content = wire.PLACE.unpack_from(piece), piece[wire.PLACE.size :]
        if offset + len(content) > most:
            raise wire.TornError("a copy far larger than its original")
        os.pwrite(descriptor, content, offset)

    try:
        made = run_child(
            mode, original, answer=Remuxed, collect=place, max_seconds=MAX_SECONDS, wall_seconds=WALL_SECONDS
        )
    except (Permanent, Transient) as error:
        log.info("not_remuxed", path=str(original), code=error.code, error=str(error))
        return False
    return made.written
