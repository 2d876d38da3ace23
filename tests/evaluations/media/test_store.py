"""S12: The store: files are whole and durable or not there at any failure, and never outside its folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluations.media import store
from queueing.exceptions import Infrastructure, Permanent

CONTENT = os.urandom(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    path = tmp_path / "staged"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that takes 64 KiB: a file system of that size or, where none may be mounted, a limit on files."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode == 0:
        yield folder
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - found by PATH, as mount was
        return
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    yield folder
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    shutil.rmtree(folder)


def code_of(kind: type[Permanent | Infrastructure], call: object, *arguments: object, **options: object) -> str:
    assert callable(call)
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return caught.value.code


def test_a_kept_file_is_whole_private_and_gone_from_its_staging_place(staged: Path, root: Path) -> None:
    submission = uuid4()
    stored = store.keep(staged, submission, root=root)
    assert stored == store.Stored(f"{str(submission)[:2]}/{submission}/original", len(CONTENT), SHA256)
    path = store.locate(stored.path, root=root)
    assert path.read_bytes() == CONTENT
    assert not staged.exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, path.parent.parent, root):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    store.verify(stored.path, SHA256, root=root)


def test_keeping_uses_the_media_root_of_the_settings(staged: Path, root: Path, settings: object) -> None:
    settings.MEDIA_ROOT = root  # type: ignore[attr-defined]
    stored = store.keep(staged, uuid4())
    assert store.locate(stored.path) == root / stored.path
    store.verify(stored.path, SHA256)


def test_a_file_from_another_file_system_is_kept_alike(elsewhere: Path, root: Path) -> None:
    staged = elsewhere / "staged"
    staged.write_bytes(CONTENT)
    stored = store.keep(staged, uuid4(), root=root)
    store.verify(stored.path, SHA256, root=root)
    assert not staged.exists()
    assert store.contents(root=root) == store.Contents(frozenset({stored.path}), frozenset(), frozenset())
    assert stat.S_IMODE((root / stored.path).stat().st_mode) == 0o600


def test_keeping_again_gives_the_same_answer(staged: Path, root: Path) -> None:
    submission = uuid4()
    first = store.keep(staged, submission, root=root)
    assert store.keep(staged, submission, root=root) == first
    staged.write_bytes(CONTENT)
    assert store.keep(staged, submission, root=root) == first
    assert not staged.exists()


def test_other_bytes_never_replace_what_is_kept(staged: Path, root: Path) -> None:
    submission = uuid4()
    stored = store.keep(staged, submission, root=root)
    staged.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        store.keep(staged, submission, root=root)
    store.verify(stored.path, SHA256, root=root)
    assert staged.read_bytes() == b"other"


def test_nothing_to_keep_is_an_error(tmp_path: Path, root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.keep(tmp_path / "nothing", uuid4(), root=root)


def test_a_staged_link_or_a_file_with_two_names_is_refused(staged: Path, tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(staged)
    assert code_of(Permanent, store.keep, tmp_path / "link", uuid4(), root=root) == "unreadable"
    (tmp_path / "twin").hardlink_to(staged)
    assert code_of(Permanent, store.keep, staged, uuid4(), root=root) == "unreadable"
    assert staged.read_bytes() == CONTENT


FILE_CALLS = {"open", "close", "write", "pread", "fsync", "rename", "mkdir", "rmdir", "unlink", "fchmod"}


def on_file_calls(act: Callable[[str], None]) -> None:
    """Call `act` with the name of each of FILE_CALLS, right before this thread makes it."""

    def trace(frame: FrameType, event: str, called: object) -> None:
        name = getattr(called, "__name__", "")
        if event == "c_call" and name in FILE_CALLS:
            act(name)

    sys.setprofile(trace)


def killed_at(step: int, staged: Path, submission: UUID, root: Path) -> bool:
    """Keep in a process that is killed -9 before its `step`-th call on files; False when it ended before."""
    child = os.fork()
    if child == 0:
        remaining = iter(range(step))

        def count_down(_: str) -> None:
            if next(remaining, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        on_file_calls(count_down)
        with contextlib.suppress(BaseException):
            store.keep(staged, submission, root=root)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("across_file_systems", [False, True])
def test_bytes_are_durable_before_they_get_their_name_and_the_name_before_the_answer(
    across_file_systems: bool, elsewhere: Path, tmp_path: Path, root: Path
) -> None:
    staged = (elsewhere if across_file_systems else tmp_path) / "staged"
    staged.write_bytes(CONTENT)
    calls: list[str] = []
    on_file_calls(calls.append)
    try:
        store.keep(staged, uuid4(), root=root)
    finally:
        sys.setprofile(None)
    order = [name for name in calls if name in {"fsync", "write", "rename"}]
    renamed = len(order) - order[::-1].index("rename") - 1
    assert order[:renamed][-1:] == ["fsync"]
    assert order[renamed + 1 : renamed + 5] == ["fsync"] * 4  # its folder, and the three above it that may be new


@pytest.mark.parametrize("across_file_systems", [False, True])
def test_a_kill_at_any_step_loses_nothing_and_keeping_again_completes_it(
    across_file_systems: bool, elsewhere: Path, tmp_path: Path, root: Path
) -> None:
    staged = (elsewhere if across_file_systems else tmp_path) / "staged"
    for step in range(100):
        submission = uuid4()
        staged.write_bytes(CONTENT)
        killed = killed_at(step, staged, submission, root)
        target = root / str(submission)[:2] / str(submission) / "original"
        assert not target.exists() or target.read_bytes() == CONTENT
        assert staged.exists() or target.exists()
        stored = store.keep(staged, submission, root=root)
        store.verify(stored.path, SHA256, root=root)
        if not killed:
            break
    assert step > 5
    assert not store.contents(root=root).strays


def test_a_full_disk_is_said_and_leaves_nothing_half_done(staged: Path, full_disk: Path) -> None:
    assert code_of(Infrastructure, store.keep, staged, uuid4(), root=full_disk) == "disk_full"
    assert list(full_disk.iterdir()) == []
    assert staged.read_bytes() == CONTENT


def test_a_store_that_can_not_be_written_to_keeps_the_staged_file(staged: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert code_of(Infrastructure, store.keep, staged, uuid4(), root=tmp_path / "file" / "media") == "disk_failed"
    assert staged.read_bytes() == CONTENT


def test_a_file_that_could_not_be_synced_is_never_trusted_again(
    staged: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The one thing here that no test can make a real disk do.
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    submission = uuid4()
    assert code_of(Infrastructure, store.keep, staged, submission, root=root) == "disk_failed"
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        store.keep(staged, submission, root=root)


def test_room_is_refused_before_the_reserve_is_touched(root: Path) -> None:
    store.require_room(1024, reserve=1024, root=root)
    free = shutil.disk_usage(root).free
    assert code_of(Infrastructure, store.require_room, 10, reserve=2 * free, root=root) == "disk_full"
    assert code_of(Infrastructure, store.require_room, 2 * free, reserve=10, root=root) == "disk_full"


def test_every_flipped_bit_is_noticed(staged: Path, root: Path) -> None:
    stored = store.keep(staged, uuid4(), root=root)
    path = root / stored.path
    for offset in range(0, len(CONTENT), len(CONTENT) // 100):
        flipped = bytearray(CONTENT)
        flipped[offset] ^= 1 << offset % 8
        path.write_bytes(flipped)
        assert code_of(Permanent, store.verify, stored.path, SHA256, root=root) == "file_damaged"
    path.write_bytes(CONTENT)
    store.verify(stored.path, SHA256, root=root)


def test_a_torn_or_missing_file_is_noticed(staged: Path, root: Path) -> None:
    stored = store.keep(staged, uuid4(), root=root)
    os.truncate(root / stored.path, 4096)
    assert code_of(Permanent, store.verify, stored.path, SHA256, root=root) == "file_damaged"
    os.truncate(root / stored.path, 0)
    assert code_of(Permanent, store.verify, stored.path, SHA256, root=root) == "file_damaged"
    (root / stored.path).unlink()
    assert code_of(Permanent, store.verify, stored.path, SHA256, root=root) == "file_missing"
    assert code_of(Permanent, store.locate, stored.path, root=root) == "file_missing"


@pytest.mark.parametrize("mount_point_is_left", [False, True])
def test_a_store_that_is_not_mounted_is_not_taken_for_a_lost_file(
    mount_point_is_left: bool, staged: Path, root: Path, tmp_path: Path
) -> None:
    stored = store.keep(staged, uuid4(), root=root)
    root.rename(tmp_path / "unmounted")
    if mount_point_is_left:
        root.mkdir()
    with pytest.raises(Infrastructure, match=f"MEDIA_ROOT is not there: {root}") as caught:
        store.verify(stored.path, SHA256, root=root)
    assert caught.value.code == "disk_failed"


@pytest.mark.parametrize("call", ["stat", "open", "pread"])
def test_a_disk_that_can_not_be_read_is_not_taken_for_a_lost_file(
    call: str, staged: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No test can make a real disk do this, and root may read whatever it likes.
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    stored = store.keep(staged, uuid4(), root=root)
    monkeypatch.setattr(os, call, fail)
    assert code_of(Infrastructure, store.verify, stored.path, SHA256, root=root) == "disk_failed"


@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_link_on_the_way_is_followed(depth: int, staged: Path, tmp_path: Path, root: Path) -> None:
    stored = store.keep(staged, uuid4(), root=root)
    victim = [root / stored.path, *(root / stored.path).parents][depth]
    moved = tmp_path / "moved"
    victim.rename(moved)
    victim.symlink_to(moved)
    assert code_of(Permanent, store.locate, stored.path, root=root) == "file_missing"
    assert code_of(Permanent, store.verify, stored.path, SHA256, root=root) == "file_missing"
    staged.write_bytes(CONTENT)
    with pytest.raises((Permanent, FileExistsError)):
        store.keep(staged, UUID(stored.path.split("/")[1]), root=root)
    assert staged.exists()


def test_the_root_itself_may_be_a_link_to_a_larger_disk(staged: Path, tmp_path: Path, root: Path) -> None:
    (tmp_path / "disk").mkdir()
    root.symlink_to(tmp_path / "disk")
    stored = store.keep(staged, uuid4(), root=root)
    store.verify(stored.path, SHA256, root=root)


HOSTILE = ["..", "../x", "/etc/passwd", "", ".", "ab/../../x/original", "a\0b", "-i", "ab//original", "x" * 4096]


@pytest.mark.parametrize("relative", HOSTILE)
def test_a_path_that_was_not_given_by_the_store_is_refused(relative: str, root: Path) -> None:
    assert code_of(Permanent, store.locate, relative, root=root) == "file_missing"


@given(st.lists(st.sampled_from(["..", ".", "/", "original", "\n", "ab", str(UUID(int=0)), "\u202e"]) | st.text()))
def test_no_text_whatever_leads_out_of_the_store(parts: list[str]) -> None:
    for relative in ("/".join(parts), "".join(parts)):
        assert code_of(Permanent, store.locate, relative, root=Path("/nowhere")) == "file_missing"


@given(st.uuids())
def test_a_line_end_after_a_good_path_is_refused(submission: UUID) -> None:
    relative = f"{str(submission)[:2]}/{submission}/original\n"
    assert code_of(Permanent, store.locate, relative, root=Path("/nowhere")) == "file_missing"


def test_the_contents_are_what_was_kept_and_everything_else(tmp_path: Path, root: Path) -> None:
    kept = set()
    for number in range(20):
        staged = tmp_path / "staged"
        staged.write_bytes(bytes([number]))
        kept.add(store.keep(staged, uuid4(), root=root).path)
    folder = Path(next(iter(kept))).parent
    (root / folder / "original.part").write_bytes(b"half")
    (root / "notes.txt").write_bytes(b"")
    (root / "link").symlink_to(tmp_path)
    copies = {str(folder / "seekable")}
    (root / folder / "seekable").write_bytes(b"")
    strays = {str(folder / "original.part"), "notes.txt", "link"}
    assert store.contents(root=root) == store.Contents(frozenset(kept), frozenset(copies), frozenset(strays))


def test_an_empty_store_has_no_contents(root: Path) -> None:
    assert store.contents(root=root) == store.Contents(frozenset(), frozenset(), frozenset())
