"""I: second t of what is decoded is what a player plays at t, of the file itself or of its copy."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from pytest_django import Settings

from evaluations.media import seekable, store
from evaluations.media.container import open_media
from evaluations.media.decode import decode
from tests.evaluations.media import corpus
from tests.evaluations.media.corpus import Ladder


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT, settings.DISK_RESERVE_BYTES = tmp_path / "media", 0


def played(made: Path) -> Path:
    """What a browser gets of a stored file."""
    return seekable.seekable(store.locate(store.keep(made, uuid4()).path))


def steps(path: Path) -> list[int]:
    """The step of the ladder that is heard in each second; None as -1 where it is silent."""
    samples = decode(path, max_seconds=600).samples
    return [corpus.step_in(samples[at * 16_000 : (at + 1) * 16_000]) for at in range(round(len(samples) / 16_000))]


LADDER = [0, 1, 2, 3, 4, 5]
FILES = {
    "late.mp4": (Ladder("mp4", "aac", "libx264", late=2), [-1, -1, *LADDER]),
    "late.webm": (Ladder("webm", "libopus", "libvpx", late=2), [-1, -1, *LADDER]),
    "late.mkv": (Ladder("matroska", "aac", "libx264", late=3), [-1, -1, -1, *LADDER]),
    "from-100.webm": (Ladder("webm", "libopus", "libvpx", begin=100), LADDER),
    "from-7.mp4": (Ladder("mp4", "aac", "libx264", begin=7), LADDER),
    "from-30.mkv": (Ladder("matroska", "aac", "libx264", begin=30, late=1), [-1, *LADDER]),
    "camera.mts": (Ladder("mpegts", "ac3", "libx264", late=1), [-1, *LADDER]),
    "phone.ts": (Ladder("mpegts", "aac", "libx264"), LADDER),
    "web.flv": (Ladder("flv", "aac", "libx264"), LADDER),
    "vbr.mp3": (Ladder("mp3", "libmp3lame", options={"write_xing": "0"}, quality=4), LADDER),
    "vbr-index.mp3": (Ladder("mp3", "libmp3lame", quality=4), LADDER),
    "recorder.aac": (Ladder("adts", "aac"), LADDER),
}


@pytest.mark.parametrize("name", FILES)
def test_a_second_is_the_same_second_in_the_file_and_in_what_a_player_gets(name: str, tmp_path: Path) -> None:
    ladder, expected = FILES[name]
    made = corpus.ladder(tmp_path / name, ladder)
    assert steps(made)[: len(expected)] == expected
    copy = played(made)
    assert steps(copy)[: len(expected)] == expected
    with open_media(copy) as container:
        assert abs(container.start_time or 0) < 100_000


def test_recordings_that_follow_each_other_in_one_ogg_are_heard_and_played_one_after_the_other(tmp_path: Path) -> None:
    parts = [corpus.ladder(tmp_path / f"{number}.ogg", Ladder("ogg", "libopus", seconds=3)) for number in range(2)]
    chained = tmp_path / "chained.ogg"
    chained.write_bytes(b"".join(part.read_bytes() for part in parts))
    expected = [0, 1, 2, 0, 1, 2]
    assert steps(chained) == expected
    assert steps(played(chained)) == expected


def test_a_hole_in_the_middle_is_as_long_as_it_is_in_the_player(tmp_path: Path) -> None:
    made = corpus.ladder(tmp_path / "pause.webm", Ladder("webm", "libopus", hole=(3, 2)))
    assert steps(made) == [0, 1, 2, -1, -1, 3, 4, 5]


def test_a_clock_that_jumps_by_hours_makes_no_hours_of_silence(tmp_path: Path) -> None:
    made = corpus.ladder(tmp_path / "jump.webm", Ladder("webm", "libopus", hole=(3, 5000)))
    assert steps(made) == LADDER


def test_a_copy_of_mp3_holds_the_same_packets_in_an_index(tmp_path: Path) -> None:
    copy = played(corpus.ladder(tmp_path / "vbr.mp3", FILES["vbr.mp3"][0]))
    with open_media(copy) as container:
        assert container.format.name.startswith("mov")
        container.seek(3_000_000)
        packet = next(iter(container.demux(audio=0)))
        assert packet.pts is not None
        assert packet.time_base is not None
        assert float(packet.pts * packet.time_base) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("beside", ["silence", "noise"])
def test_the_copy_of_a_film_with_two_tracks_plays_the_one_that_is_listened_to(beside: str, tmp_path: Path) -> None:
    tone = corpus.tone(3, 16_000)
    other = {"silence": np.zeros_like(tone), "noise": np.full_like(tone, 0.00001)}[beside]
    made = corpus.with_tracks(tmp_path / "two.mkv", [[other], [tone]])
    copy = played(made)
    assert np.abs(decode(copy, max_seconds=60).samples).max() > 0.1
    with open_media(copy) as container:
        assert len(container.streams.audio) == 1


def test_the_sound_alone_is_what_was_listened_to(tmp_path: Path) -> None:
    made = corpus.ladder(tmp_path / "late.mp4", FILES["late.mp4"][0])
    original = store.locate(store.keep(made, uuid4()).path)
    alone = seekable.sound(original)
    assert alone.name == "sound"
    assert seekable.container(alone, "mp4") == "mp3"
    assert steps(alone)[:8] == [-1, -1, *LADDER]
    alone.unlink()
    assert seekable.sound(original) == alone
