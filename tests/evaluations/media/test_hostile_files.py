"""S01, S02, S03, S04, S06, S07, S08: malicious files are refused, and no other file and no network is accessed."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluations.media.container import open_media
from evaluations.media.decode import decode
from queueing.exceptions import Permanent
from tests.evaluations.media import corpus
from tests.evaluations.media.conftest import Clips
from tests.evaluations.media.reading import read_facts
from tests.evaluations.media.watching import Listener, opens_of

PLAYLISTS = sorted(corpus.playlists(Path("/x/y"), ""))


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def foreign(clips: Clips, tmp_path: Path) -> Path:
    """Another student's recording, beside the hostile file."""
    path = tmp_path / "other" / "foreign.wav"
    path.parent.mkdir()
    path.write_bytes(clips["sound.wav"].read_bytes())
    return path


def refusal(path: Path) -> str:
    with pytest.raises(Permanent) as caught:
        read_facts(path)
    return caught.value.code


@pytest.mark.parametrize("suffix", ["mp4", "m3u8"])
@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_under_a_videos_name_is_no_media_and_opens_nothing(
    name: str, suffix: str, foreign: Path, listener: Listener, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.{suffix}"
    path.write_bytes(corpus.playlists(foreign, listener.address)[name])
    with opens_of(foreign) as opened:
        assert refusal(path) == "not_media"
        # In this process too, which has a network and no limits: the door alone must hold.
        with pytest.raises(Permanent):
            open_media(path)
        assert not opened()
    assert not listener.calls


def test_the_watch_would_see_a_playlist_that_opens_another_file(foreign: Path, tmp_path: Path) -> None:
    path = tmp_path / "concat.mp4"
    path.write_bytes(corpus.playlists(foreign, "")["ffconcat_relative"].replace(b"../other/", b"other/"))
    with opens_of(foreign) as opened:
        corpus.open_naively(path, as_file=False)
        assert opened()


def test_the_listener_would_hear_a_playlist_that_makes_a_request(
    foreign: Path, listener: Listener, tmp_path: Path
) -> None:
    path = tmp_path / "hls.m3u8"
    path.write_bytes(corpus.playlists(foreign, listener.address)["hls_http"])
    corpus.open_naively(path, as_file=True)
    assert listener.calls


@pytest.mark.parametrize(
    ("content", "code"),
    [
        pytest.param(b"", "empty_file", id="nothing"),
        pytest.param(b"\0", "not_media", id="one byte"),
        pytest.param(b"Dear teacher, my video did not upload.\n" * 50, "not_media", id="text"),
        pytest.param(b"<!doctype html><script>alert(1)</script>", "not_media", id="page"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + bytes(500), "not_media", id="picture"),
        pytest.param(b"PK\3\4" + bytes(500), "not_media", id="archive"),
        pytest.param(b"RIFF\xff\xff\xff\xffWAVE", "unreadable", id="wav stub"),
        pytest.param(b"\0\0\0\x18ftypmp42" + bytes(12), "unreadable", id="mp4 stub"),
        pytest.param(b"\x1a\x45\xdf\xa3" + bytes(100), "unreadable", id="webm stub"),
        pytest.param(corpus.wav(b""), "empty_sound", id="empty wav"),
        pytest.param(corpus.wav(bytes(32_000), rate=0), "unreadable", id="no rate"),
        pytest.param(corpus.wav(bytes(32_000), rate=1), "unreadable", id="1 Hz"),
        pytest.param(corpus.wav(bytes(32_000), rate=0x7FFFFFFF), "unreadable", id="2 GHz"),
    ],
)
def test_what_can_not_be_read_is_refused_with_its_reason(content: bytes, code: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    assert refusal(path) == code


def test_channels_that_can_not_be_mixed_are_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "crowd.wav"
    crowd = bytearray(corpus.wav(bytes(60 * 2 * 32_000)))
    crowd[22:24], crowd[32:34] = b"\x3c\0", b"\x78\0"  # 60 channels
    path.write_bytes(crowd)
    assert refusal(path) == "unreadable"


@pytest.mark.parametrize("seed", range(3))
def test_random_bytes_are_refused(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(random.Random(seed).randbytes(100_000))
    assert refusal(path) in {"not_media", "unreadable"}


def test_pictures_without_sound_are_refused(tmp_path: Path) -> None:
    assert refusal(corpus.silent_film(tmp_path / "film.mp4")) == "no_audio"


def test_links_folders_pipes_and_missing_files_are_refused(clips: Clips, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(clips["sound.wav"])
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "link", tmp_path / "pipe", tmp_path, tmp_path / "missing", Path("/dev/zero")):
        assert refusal(path) == "unreadable"


def test_decoding_stops_at_the_limit_of_decoded_samples(bomb: Path) -> None:
    with pytest.raises(Permanent) as caught:
        decode(bomb, max_seconds=60)
    assert caught.value.code == "too_long"


@pytest.mark.parametrize("claimed", [10**9, 0xFFFFFFFF])
def test_a_header_that_claims_more_sound_than_there_is_is_not_believed(claimed: int, tmp_path: Path) -> None:
    path = tmp_path / "lie.wav"
    path.write_bytes(corpus.wav(b"\1\0" * 48_000, claimed=claimed))
    assert read_facts(path).duration == 3.0


@pytest.mark.parametrize(("width", "height"), [(8192, 4608), (5000, 300), (300, 5000), (2400, 2400)])
def test_too_many_pixels_are_refused_from_the_header(width: int, height: int, tmp_path: Path) -> None:
    path = corpus.flood_of_pixels(tmp_path / "flood.mkv", width=width, height=height)
    assert refusal(path) == "too_many_pixels"


def test_a_header_that_claims_a_picture_beyond_all_measure_is_refused(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    honest = clips["film.webm"].read_bytes()
    width = b"\xb0\x81\x40"  # PixelWidth, one byte: 64
    assert honest.count(width) == 1
    path.write_bytes(honest.replace(width, b"\xb0\x84\x7f\xff\xff\xff", 1))
    assert refusal(path) in {"too_many_pixels", "unreadable"}


@pytest.mark.parametrize(("width", "height"), [(4096, 2304), (2304, 4096)])
def test_the_largest_picture_is_accepted_upright_and_sideways(width: int, height: int, tmp_path: Path) -> None:
    facts = read_facts(corpus.flood_of_pixels(tmp_path / "film.mkv", width=width, height=height))
    assert (facts.width, facts.height) == (width, height)


def test_a_video_codec_that_nobody_knows_does_not_spoil_the_sound(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    path.write_bytes(clips["film.webm"].read_bytes().replace(b"V_VP8", b"V_XX8"))
    facts = read_facts(path)
    assert facts.video_codec is None
    assert facts.duration == pytest.approx(2.0, abs=0.05)


def test_a_sound_codec_that_nobody_knows_is_not_supported(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    path.write_bytes(clips["film.webm"].read_bytes().replace(b"A_OPUS", b"A_XPUS"))
    assert refusal(path) == "unsupported"


@pytest.mark.parametrize("count", [17, 60])
def test_more_than_sixteen_streams_are_refused(count: int, tmp_path: Path) -> None:
    assert refusal(corpus.many_streams(tmp_path / "many.mkv", count=count)) == "unreadable"


def test_sixteen_streams_are_accepted(tmp_path: Path) -> None:
    assert read_facts(corpus.many_streams(tmp_path / "many.mkv", count=16)).duration == pytest.approx(0.1)


def test_tags_beyond_measure_are_refused(tmp_path: Path) -> None:
    assert refusal(corpus.long_tags(tmp_path / "tags.mkv", characters=2_000_000)) == "unreadable"
    assert read_facts(corpus.long_tags(tmp_path / "fine.mkv", characters=20_000)).container == "matroska"


def test_a_film_that_is_also_a_page_is_read_as_a_film(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "film.html"
    path.write_bytes(clips["film.webm"].read_bytes() + b"<script>alert(1)</script>")
    assert read_facts(path).container == "webm"


def test_what_is_left_of_a_damaged_recording_is_used_and_called_damaged(tmp_path: Path) -> None:
    recipe = next(recipe for recipe in corpus.RECIPES if recipe.name == "film.mp4")
    whole = corpus.make(tmp_path / "whole.mp4", recipe, seconds=4, options={"movflags": "faststart"})
    data = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 2 // 3])
    decoded = decode(cut, max_seconds=600)
    assert decoded.facts.damaged
    assert 1.0 < decoded.facts.duration < 4.0
    assert len(decoded.samples) == pytest.approx(decoded.facts.duration * 16_000, abs=200)


def test_holes_in_the_middle_leave_the_rest(tmp_path: Path) -> None:
    recipe = next(recipe for recipe in corpus.RECIPES if recipe.name == "sound.m4a")
    data = bytearray(corpus.make(tmp_path / "whole.m4a", recipe, seconds=4).read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\xff" * 2000
    holed = tmp_path / "holed.m4a"
    holed.write_bytes(data)
    facts = read_facts(holed)
    assert facts.damaged
    assert facts.duration > 2.0


def test_less_than_a_second_of_a_damaged_recording_is_unreadable(tmp_path: Path) -> None:
    recipe = next(recipe for recipe in corpus.RECIPES if recipe.name == "film.mp4")
    data = corpus.make(tmp_path / "whole.mp4", recipe, seconds=4, options={"movflags": "faststart"}).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) // 5])
    assert refusal(cut) == "unreadable"
