"""Copies that players can seek in: the same pictures and sounds, beside an original that nothing changes."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import psutil
import pytest
from pytest_django import Settings

from evaluations.media import seekable as module
from evaluations.media import store, wire
from evaluations.media.container import open_media
from evaluations.media.decode import decode
from evaluations.media.seekable import seekable
from tests.evaluations.media import corpus

ROOT = Path(__file__).resolve().parents[3]
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
FILM = {recipe.name: recipe for recipe in corpus.RECIPES}


@pytest.fixture(autouse=True)
def root(settings: Settings, tmp_path: Path) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.DISK_RESERVE_BYTES = 0
    return tmp_path / "media"


def kept(made: Path) -> Path:
    return store.locate(store.keep(made, uuid4()).path)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A browser's, in the store."""
    return kept(corpus.browser_recording(tmp_path / "recording.webm"))


def declared_seconds(path: Path) -> float:
    with open_media(path) as container:
        return (container.duration or 0) / 1_000_000


def packets(path: Path) -> list[bytes]:
    with open_media(path) as container:
        return [bytes(packet) for packet in container.demux() if packet.size]


def seconds_after_seeking(path: Path, target: float) -> float:
    with open_media(path) as container:
        container.seek(int(target * 1_000_000))
        packet = next(iter(container.demux(audio=0)))
        assert packet.pts is not None
        assert packet.time_base is not None
        return float(packet.pts * packet.time_base)


def test_a_browsers_recording_gets_a_copy_that_knows_its_length(recording: Path) -> None:
    before = store.digest(recording)
    assert declared_seconds(recording) == 0
    copy = seekable(recording)
    assert copy == recording.with_name("seekable")
    assert declared_seconds(copy) == pytest.approx(2.0, abs=0.1)
    assert store.digest(recording) == before


def test_a_copy_seeks_where_its_original_starts_from_the_beginning(tmp_path: Path) -> None:
    sound = corpus.make(tmp_path / "long.webm", FILM["sound.webm"], seconds=30, options={"live": "1"})
    copy = seekable(kept(sound))
    assert seconds_after_seeking(copy, 20.0) == pytest.approx(20.0, abs=6)  # to the beginning of a cluster
    assert seconds_after_seeking(copy, 5.0) < 6


def test_nothing_is_encoded_anew(recording: Path) -> None:
    assert sorted(packets(seekable(recording))) == sorted(packets(recording))
    assert (decode(seekable(recording), max_seconds=5).samples == decode(recording, max_seconds=5).samples).all()


@pytest.mark.parametrize("name", ["film.mp4", "film.mov", "sound.m4a"])
def test_a_film_in_fragments_is_put_together(name: str, tmp_path: Path) -> None:
    original = kept(corpus.make(tmp_path / name, FILM[name], options=FRAGMENTS))
    assert b"moof" in original.read_bytes()
    copy = seekable(original)
    assert b"moof" not in copy.read_bytes()
    assert declared_seconds(copy) == pytest.approx(2.0, abs=0.2)
    assert sorted(packets(copy)) == sorted(packets(original))


@pytest.mark.parametrize("name", [recipe.name for recipe in corpus.RECIPES])
def test_a_file_that_seeks_already_is_played_as_it_is(name: str, tmp_path: Path) -> None:
    original = kept(corpus.make(tmp_path / name, FILM[name]))
    assert seekable(original) == original
    assert original.with_name("seekable").stat().st_size == 0


@pytest.mark.parametrize("content", [b"hello", b"\x1a\x45\xdf\xa3 but no film", b"#EXTM3U\nfile:///etc/passwd\n"])
def test_a_file_that_can_not_be_written_anew_is_played_as_it_is(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(content)
    original = kept(tmp_path / "upload")
    assert seekable(original) == original


def test_a_file_that_was_looked_at_is_not_looked_at_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "upload").write_bytes(b"hello")
    original = kept(tmp_path / "upload")
    seekable(original)
    monkeypatch.setattr(module, "run_child", None)
    assert seekable(original) == original


def test_a_copy_that_is_gone_is_made_again_and_the_same(recording: Path) -> None:
    first = seekable(recording).read_bytes()
    seekable(recording).unlink()
    assert len(seekable(recording).read_bytes()) == len(first)


def test_many_who_ask_at_once_get_one_copy(recording: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(seekable, [recording] * 6))
    assert set(found) == {recording.with_name("seekable")}
    assert sorted(path.name for path in recording.parent.iterdir()) == ["original", "seekable"]


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long enough to be met in the middle of being copied; it takes seconds to make."""
    recipe = corpus.Recipe("long.mkv", "matroska", "flac", "matroska", "audio/x-matroska")
    path = tmp_path_factory.mktemp("long") / recipe.name
    return corpus.make(path, recipe, seconds=600, options={"live": "1"})


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["maker", "child"])
def test_a_kill_in_the_middle_leaves_nothing_torn(victim: str, long: Path, tmp_path: Path) -> None:
    original = kept(Path(shutil.copy(long, tmp_path)))
    code = (
        "import os, sys, pathlib, django; django.setup(); from evaluations.media.seekable import seekable;"
        "seekable(pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "introeval.settings", "DISK_RESERVE_MB": "1"}
    maker = subprocess.Popen([sys.executable, "-c", code, str(original)], cwd=ROOT, env=environment)
    part = original.with_name("seekable.part")
    give_up = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert maker.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.001)
    target = psutil.Process(maker.pid) if victim == "maker" else psutil.Process(maker.pid).children()[0]
    target.send_signal(signal.SIGKILL)
    maker.wait()
    copy = original.with_name("seekable")
    assert not copy.exists() or victim == "child"
    if victim == "child":  # it crashed at this file: that is not tried for each range again
        assert copy.stat().st_size == 0
        copy.unlink()
    assert declared_seconds(seekable(original)) == pytest.approx(600, abs=1)
    assert not part.exists()


def test_a_full_disk_keeps_the_original_playing_and_is_tried_again(recording: Path, settings: Settings) -> None:
    settings.DISK_RESERVE_BYTES = 2**62
    assert seekable(recording) == recording
    settings.DISK_RESERVE_BYTES = 0
    assert seekable(recording) != recording


def test_a_child_that_sends_far_more_than_it_was_given_is_not_believed(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flood(*_: object, collect: object, **__: object) -> object:
        collect(wire.PLACE.pack(2**40) + b"x")  # type: ignore[operator]
        raise AssertionError("it was taken")

    monkeypatch.setattr(module, "run_child", flood)
    with pytest.raises(wire.TornError):
        seekable(recording)


def test_a_link_in_the_copys_place_is_not_followed(recording: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    recording.with_name("seekable").symlink_to(tmp_path / "secret")
    assert seekable(recording) == recording


def test_a_copy_of_a_damaged_file_does_not_outlive_it(recording: Path, tmp_path: Path) -> None:
    seekable(recording)
    whole = corpus.browser_recording(tmp_path / "again.webm")
    store.replace(whole, store_id(recording))
    assert not recording.with_name("seekable").exists()


def store_id(path: Path) -> UUID:
    return UUID(path.parent.name)


def test_copies_are_counted_and_a_copy_without_its_original_is_a_stray(recording: Path) -> None:
    seekable(recording)
    relative = recording.relative_to(recording.parents[2]).as_posix()
    copy = relative.replace("original", "seekable")
    assert store.contents().copies == {copy}
    recording.unlink()
    assert store.contents().strays == {copy}


def test_who_waited_for_a_maker_whose_part_is_gone_does_not_publish_anothers(recording: Path) -> None:
    """The submission was deleted meanwhile, or the copy removed: the file that is there now is another one's."""
    part = recording.with_name("seekable.part")
    with part.open("wb") as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = pool.submit(seekable, recording)
        while not waits_for(part):
            time.sleep(0.01)
        part.unlink()
        part.write_bytes(b"half of a copy")
        held.close()
        assert waiting.result() == recording
    assert not recording.with_name("seekable").exists()


def waits_for(path: Path) -> bool:
    """Whether a process waits for the lock of that file, by the kernel."""
    inode = str(path.stat().st_ino)
    return any("->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines())


def test_a_copy_is_on_the_disk_before_it_has_its_name(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut leaves a torn one, which is not made again."""
    part, copy, synced, fsync = recording.with_name("seekable.part"), recording.with_name("seekable"), [], os.fsync

    def note(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, copy.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    seekable(recording)
    assert not part.exists()
    assert (copy.stat().st_ino, False) in synced
