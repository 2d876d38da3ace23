"""Copies that players can seek in, beside the originals: <id>/seekable. What was uploaded is never changed.

A copy is made when it is first requested, and again when it is gone: it can be deleted at any time. An empty one marks
that none is needed or possible: the original seeks by itself, or can't be rewritten.
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

from evaluations.media import store, wire
from evaluations.media.confined import run_child
from evaluations.media.facts import Remuxed
from queueing.exceptions import Infrastructure, Permanent, Transient

log = structlog.get_logger(__name__)

WALL_SECONDS: Final = 30.0  # 300 MB take about three
GROWTH: Final = 1.1  # of a copy over its original, at most; and
ROOM_BYTES: Final = 1024 * 1024


def seekable(original: Path) -> Path:
    """The file to play for a stored one: its seekable copy where there is one, else the file itself. Never raises."""
    copy = original.with_name(store.COPY)
    if not os.path.lexists(copy):
        try:
            _make(original, copy)
        except (OSError, Infrastructure) as error:
            log.warning("no_seekable_copy", path=str(original), error=str(error))
    return copy if _has_bytes(copy) else original


def _has_bytes(copy: Path) -> bool:
    try:
        return copy.lstat().st_size > 0 and not copy.is_symlink()
    except FileNotFoundError:
        return False


def _make(original: Path, copy: Path) -> None:
    size = original.stat().st_size
    store.require_room(size, reserve=settings.DISK_RESERVE_BYTES)
    with _part(copy) as (part, descriptor):
        if os.path.lexists(copy):  # another process was faster
            return
        os.ftruncate(descriptor, 0)
        if not _written(original, descriptor, most=int(size * GROWTH) + ROOM_BYTES):
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


def _written(original: Path, descriptor: int, *, most: int) -> bool:
    """Whether the child wrote a copy to `descriptor`; a file that it can't read is played as it is."""

    def place(piece: bytes) -> None:
        (offset,), content = wire.PLACE.unpack_from(piece), piece[wire.PLACE.size :]
        if offset + len(content) > most:
            raise wire.TornError("a copy far larger than its original")
        os.pwrite(descriptor, content, offset)

    try:
        made = run_child("remux", original, answer=Remuxed, collect=place, max_seconds=0, wall_seconds=WALL_SECONDS)
    except (Permanent, Transient) as error:
        log.info("not_remuxed", path=str(original), code=error.code, error=str(error))
        return False
    return made.written
