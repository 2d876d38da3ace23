"""What a backup consists of, as a file in it; and whether it still does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

NAME: Final = "manifest.json"
DUMP: Final = "database.dump"
MEDIA, UPLOADS, DATA = "media", "uploads", "data"
FORMAT: Final = 1
RESTORING: Final = "restoring.json"  # in a DATA_DIR while a restore into it has not come to its end
_CHUNK_BYTES: Final = 1024 * 1024


class BackupError(Exception):
    """There is no backup, or no restore. `fix` is what to do about it."""

    def __init__(self, message: str, *, fix: str) -> None:
        super().__init__(message)
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.args[0]}\n  To fix it: {self.fix}"


@dataclass(frozen=True, slots=True)
class BackupFile:
    path: str  # relative to the backup's folder
    size: int  # bytes
    sha256: str  # hex

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if ".." in parts or not parts or (parts[0] not in (MEDIA, UPLOADS, DATA) and parts != (DUMP,)):
            raise ValueError(f"{self.path} is no path of a backup")


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is in a backup, and what of its database's rows lacks its file."""

    made_at: datetime  # of the database's clock; all that was acknowledged before is in it
    postgres: int  # major version of the pg_dump that wrote the dump
    migrations: Sequence[str]  # that the database had had, as `app.name`
    migrated_at: str  # when the last of them was applied; no two databases have that in common
    files: Sequence[BackupFile]
    # Submissions whose file was not there when the backup was made, or not what had been handed in; those that somebody
    # deleted while files were being copied.
    missing: Sequence[str] = field(default_factory=list)
    damaged: Sequence[str] = field(default_factory=list)
    deleted: Sequence[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(each.size for each in self.files)

    def write(self, folder: Path) -> None:
        row = asdict(self) | {"format": FORMAT, "made_at": self.made_at.isoformat()}
        (folder / NAME).write_text(json.dumps(row, indent=1))


def read(folder: Path) -> Manifest:
    """
    Raises:
        BackupError: it is no whole backup, or of a version that this one can't read.
    """
    try:
        row: dict[str, Any] = json.loads((folder / NAME).read_text())
    except FileNotFoundError:
        raise BackupError(f"{folder} is no backup: it has no {NAME}.", fix="name the folder of a whole one") from None
    except (OSError, ValueError) as error:
        raise BackupError(f"{folder / NAME} can't be read: {error}.", fix="take another backup") from error
    if row.pop("format", None) != FORMAT:
        raise BackupError(f"{folder} was made by a newer version.", fix="update this installation, then restore")
    try:
        files = [BackupFile(**each) for each in row.pop("files")]
        return Manifest(**row | {"files": files, "made_at": datetime.fromisoformat(row["made_at"])})
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{folder / NAME} is damaged: {error}.", fix="take another backup") from error


def faults(folder: Path, manifest: Manifest) -> Iterator[tuple[BackupFile, str]]:
    """The files that are not what the manifest says, each with `missing` or `damaged`. Reads all of them."""
    for each in manifest.files:
        path = folder / each.path
        try:
            if path.is_symlink() or path.stat().st_size != each.size or digest(path) != each.sha256:
                yield each, "damaged"
        except FileNotFoundError:
            yield each, "missing"
        except OSError:
            yield each, "damaged"


def digest(path: Path) -> str:
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
    return sha256.hexdigest()
