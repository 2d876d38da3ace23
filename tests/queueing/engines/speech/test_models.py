from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from queueing.engines.child import ROOT
from queueing.engines.speech import models
from queueing.engines.speech.faster_whisper import FasterWhisper
from queueing.engines.weights import Packaged
from queueing.exceptions import Infrastructure

FILES = {"config.json": b"{}", "tokenizer.json": b"[]"}
PARTS = {"model.bin.part1": b"first half, ", "model.bin.part2": b"second half"}
WHOLE = b"".join(PARTS.values())

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a small model into an importable package, whole or in two parts, and pins it as `tiny-test`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(package: str, *, split: bool) -> Path:
        data = tmp_path / package / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").write_text("raise RuntimeError('only the data is wanted')")
        pieces = PARTS if split else {"model.bin": WHOLE}
        for name, content in {**FILES, **pieces}.items():
            (data / name).write_bytes(content)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in {**FILES, "model.bin": WHOLE}.items()}
        packaged = Packaged([package], digests, "data", tuple(PARTS) if split else ())
        monkeypatch.setitem(models.PACKAGED, "tiny-test", packaged)
        return data

    return install


def refusal(name: str, cache: Path) -> Infrastructure:
    with pytest.raises(Infrastructure) as caught:
        models.find(name, cache=cache)
    return caught.value


def test_the_packaged_models_are_found_and_are_the_pinned_ones(tmp_path: Path) -> None:
    for name in ("tiny.en", "base"):
        folder = models.find(name, cache=tmp_path)
        assert all((folder / file).is_file() for file in models.NEEDED)


def test_a_package_is_never_imported(install: Install, tmp_path: Path) -> None:
    data = install("a_whole_model", split=False)
    assert models.find("tiny-test", cache=tmp_path) == data


def test_a_split_model_is_joined_once(install: Install, tmp_path: Path) -> None:
    data = install("a_split_model", split=True)
    folder = models.find("tiny-test", cache=tmp_path / "cache")
    assert (folder / "model.bin").read_bytes() == WHOLE
    (data / "model.bin.part1").unlink()
    assert models.find("tiny-test", cache=tmp_path / "cache") == folder


def test_several_processes_may_join_a_model_at_once(install: Install, tmp_path: Path) -> None:
    install("a_raced_model", split=True)
    cache = tmp_path / "cache"
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: models.find("tiny-test", cache=cache), range(32)))
    assert len(folders) == 1
    assert [path.name for path in cache.iterdir()] == [folder.name for folder in folders]


@pytest.mark.parametrize("file", ["model.bin", "tokenizer.json"])
def test_a_tampered_file_is_refused(file: str, install: Install, tmp_path: Path) -> None:
    data = install(f"a_tampered_model_{file[0]}", split=False)
    models.find("tiny-test", cache=tmp_path)
    content = (data / file).read_bytes()
    (data / file).write_bytes(content[:-1] + b"!")
    os.utime(data / file, ns=(1, 1))
    error = refusal("tiny-test", tmp_path)
    assert error.code == "model_tampered"
    assert "make setup" in str(error)


def test_a_tampered_part_is_refused(install: Install, tmp_path: Path) -> None:
    data = install("a_tampered_part", split=True)
    (data / "model.bin.part2").write_bytes(b"second hell")
    assert refusal("tiny-test", tmp_path / "cache").code == "model_tampered"


def test_a_missing_package_names_the_command_that_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = Packaged(["no_such_package"], {"model.bin": "0"})
    monkeypatch.setitem(models.PACKAGED, "absent", packaged)
    error = refusal("absent", tmp_path)
    assert error.code == "model_missing"
    assert "make setup" in str(error)
    assert "no_such_package" in str(error)


def test_a_folder_that_would_make_the_library_query_a_hub_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    (tmp_path / "config.json").touch()
    error = refusal(str(tmp_path), tmp_path)
    assert "tokenizer.json" in str(error)
    assert "tiny.en" in str(error)


def test_a_model_may_be_named_by_its_folder_or_its_file(tmp_path: Path) -> None:
    for file in models.NEEDED:
        (tmp_path / file).touch()
    assert models.find(str(tmp_path)) == models.find(str(tmp_path / "model.bin")) == tmp_path


def test_a_cache_that_cannot_be_written_is_named(install: Install, tmp_path: Path) -> None:
    install("an_unwritable_cache", split=True)
    (tmp_path / "cache").write_text("a file where the folder should be")
    error = refusal("tiny-test", tmp_path / "cache")
    assert str(tmp_path / "cache") in str(error)


def test_an_engine_with_a_missing_model_refuses_to_load(tmp_path: Path) -> None:
    engine = FasterWhisper(str(tmp_path / "nowhere"), cache=tmp_path)
    with pytest.raises(Infrastructure):
        engine.load()
    assert engine.resident() == ()


def test_a_damaged_model_is_the_infrastructures_fault(tmp_path: Path) -> None:
    for file in models.NEEDED:
        (tmp_path / file).write_text("{}")
    engine = FasterWhisper(str(tmp_path), cache=tmp_path)
    with pytest.raises(Infrastructure):
        engine.load()
    assert engine.resident() == ()


def test_the_conversion_command_says_where_the_checkpoint_is(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/convert_whisper.py", "tiny.en", str(tmp_path / "tiny.en.pt")]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    assert (tmp_path / "tiny.en.pt").stat().st_size > 100_000_000
