"""Weights that come as Python packages: found without an import (only their data is wanted), and pinned by sha256."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from queueing.exceptions import Infrastructure


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model whose files are in installed packages."""

    packages: Sequence[str]  # searched in order
    sha256: Mapping[str, str]  # file → digest
    folder: str = ""  # in each of the packages
    parts: Sequence[str] = ()  # of its largest file, when that had to be split


def locate(name: str, packaged: Packaged, file: str) -> Path:
    """Where a file of the model called `name` is, unread.

    Raises:
        Infrastructure: in none of its packages (code `model_missing`).
    """
    for package in packaged.packages:
        found = importlib.util.find_spec(package)
        if found is not None and found.origin is not None:
            path = Path(found.origin).parent / packaged.folder / file
            if path.is_file():
                return path
    packages = ", ".join(packaged.packages)
    message = f"Model {name!r} is not installed (package {packages}): `make setup` installs it."
    raise Infrastructure(message, code="model_missing")


def verify(path: Path, sha256: str, *, fix: str = "make setup") -> None:
    """Refuse a file that is not the pinned one. Read once per process as long as its size and time stay.

    Raises:
        Infrastructure: it differs (code `model_tampered`) or can't be read (`model_missing`).
    """
    try:
        facts = path.stat()
        digest = _digest(path, facts.st_size, facts.st_mtime_ns)
    except OSError as error:
        raise Infrastructure(
            f"{path} can't be read: {error.strerror}. `{fix}` fixes it.", code="model_missing"
        ) from error
    if digest != sha256:
        message = f"{path} is not the file that was pinned (sha256 {digest[:12]}…). Remove it, then `{fix}`."
        raise Infrastructure(message, code="model_tampered")


@lru_cache(maxsize=64)
def _digest(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
