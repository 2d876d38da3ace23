"""BB: what is cut off or corrupt is used as far as it can be heard, and called so; a whole file never is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluations.media import kinds
from evaluations.media.decode import decode
from queueing.engines.speech.voice import loudness, raised
from queueing.exceptions import Permanent
from tests.evaluations.media import corpus
from tests.evaluations.media.corpus import Ladder
from tests.evaluations.media.reading import read_facts

WHOLE = {
    "film.mp4": Ladder("mp4", "aac", "libx264", options={"movflags": "faststart"}),
    "late.mp4": Ladder("mp4", "aac", "libx264", late=2, options={"movflags": "faststart"}),
    "film.webm": Ladder("webm", "libopus", "libvpx"),
    "late.webm": Ladder("webm", "libopus", "libvpx", late=2),
    "live.webm": Ladder("webm", "libopus", "libvpx", options={"live": "1"}),
    "film.mkv": Ladder("matroska", "aac", "libx264", begin=50),
    "sound.ogg": Ladder("ogg", "libopus"),
    "sound.wav": Ladder("wav", "pcm_s16le"),
    "sound.mp3": Ladder("mp3", "libmp3lame", quality=4),
    "sound.flac": Ladder("flac", "flac"),
    "camera.avi": Ladder("avi", "pcm_s16le", "mpeg4"),
    "mac.aiff": Ladder("aiff", "pcm_s16be"),
    "phone.aac": Ladder("adts", "aac"),
    "camera.mts": Ladder("mpegts", "ac3", "libx264"),
}
CUT = sorted(WHOLE.keys() - {"live.webm", "phone.aac", "camera.mts"})
"""Of these the file itself says how long it is."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {name: corpus.ladder(folder / name, recipe) for name, recipe in WHOLE.items()}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_not_called_damaged(name: str, whole: dict[str, Path]) -> None:
    facts = read_facts(whole[name])
    assert (facts.damaged, facts.ends_early, facts.damaged_at) == (False, False, None)


@pytest.mark.parametrize(
    ("behind", "before"),
    [
        (b"", b"ID3\x04\0\0\0\0\0\x0aTSSE\0\0\0\0\0\0"),
        (b"TAG" + b"Ada's song".ljust(125, b"\0"), b""),
        (b"APETAGEX" + b"\xd0\x07\0\0\x20\0\0\0\0\0\0\0\0\0\0\x80".ljust(24, b"\0"), b""),
    ],
    ids=["ID3v2", "ID3v1", "APE"],
)
def test_titles_amid_an_mp3_that_was_joined_of_several_are_no_damage(
    behind: bytes, before: bytes, whole: dict[str, Path], tmp_path: Path
) -> None:
    part = whole["sound.mp3"].read_bytes()
    (tmp_path / "joined.mp3").write_bytes(part + behind + before + part)
    facts = read_facts(tmp_path / "joined.mp3")
    assert (facts.damaged, facts.damaged_at) == (False, None)
    assert facts.duration == pytest.approx(12.0, abs=0.3)


@pytest.mark.parametrize("name", CUT)
def test_a_file_that_is_cut_off_says_where_it_ends(name: str, whole: dict[str, Path], tmp_path: Path) -> None:
    data = whole[name].read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 3 // 4])
    facts = read_facts(tmp_path / name)
    assert facts.damaged
    assert facts.ends_early
    assert facts.damaged_at is not None
    assert facts.damaged_at == pytest.approx(facts.duration, abs=1.0)
    assert 2 < facts.duration < WHOLE[name].seconds + WHOLE[name].late - 0.5


@pytest.mark.parametrize("name", ["film.mp4", "sound.ogg", "sound.mp3", "phone.aac", "sound.flac"])
def test_a_hole_in_the_middle_is_damage_there_and_no_early_end(
    name: str, whole: dict[str, Path], tmp_path: Path
) -> None:
    data = bytearray(whole[name].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = b"\xff\x55" * 1500
    (tmp_path / name).write_bytes(data)
    facts = read_facts(tmp_path / name)
    assert facts.damaged_at is not None
    assert 1 < facts.damaged_at < 5
    assert not facts.ends_early
    assert facts.duration > 4


def protected(film: bytes) -> bytes:
    """As a shop's films are marked: the sound's description names its encryption."""
    return film.replace(b"mp4a", b"enca", 1).replace(b"esds", b"sinf", 1)


def test_a_copy_protected_film_is_called_that(whole: dict[str, Path], tmp_path: Path) -> None:
    key = "00112233445566778899aabbccddeeff"
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    films = [corpus.ladder(tmp_path / "film.mp4", Ladder("mp4", "aac", "libx264", seconds=2, options=options))]
    (tmp_path / "song.m4p").write_bytes(protected(whole["film.mp4"].read_bytes()))
    (tmp_path / "film.wmv").write_bytes(
        bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(50) + kinds.ASF_ENCRYPTED[0] + bytes(500)
    )
    for film in (*films, tmp_path / "song.m4p"):
        with pytest.raises(Permanent) as caught:
            read_facts(film)
        assert caught.value.code == "copy_protected"
    assert kinds.is_protected(tmp_path / "film.wmv")
    assert not any(kinds.is_protected(path) for path in whole.values())


@pytest.mark.parametrize("decibels", [-40, -50, -60, -70])
def test_very_quiet_sound_is_raised_to_what_is_usual(decibels: int) -> None:
    usual = corpus.tone(2, 16_000)
    quiet = usual * np.float32(10 ** ((decibels - loudness(usual)) / 20))
    assert loudness(quiet) == pytest.approx(decibels, abs=0.1)
    assert loudness(raised(quiet)) == pytest.approx(-23, abs=3.1)


def test_usual_sound_and_silence_stay_as_they_are() -> None:
    for samples in (corpus.tone(2, 16_000), np.zeros(16_000, np.float32), np.zeros(0, np.float32)):
        assert raised(samples) is samples


def test_a_quiet_file_is_known_as_one_and_a_silent_one_is_not(tmp_path: Path) -> None:
    for name, scale, quiet in (("quiet", 0.003, True), ("usual", 1.0, False), ("silent", 0.0, False)):
        made = corpus.with_tracks(tmp_path / f"{name}.mkv", [[corpus.tone(2, 16_000) * np.float32(scale)]])
        decoded = decode(made, max_seconds=60)
        assert decoded.is_quiet is quiet
        assert quiet is False or np.abs(decoded.samples).max() > 0.05
