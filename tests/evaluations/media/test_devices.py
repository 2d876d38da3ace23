"""J: what cameras, phones and recorders make is decoded by the same confined child, and has a copy that plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from pytest_django import Settings

from evaluations.media import kinds, seekable, serve, store
from evaluations.media.container import moving_pictures, open_media
from evaluations.media.decode import decode
from queueing.exceptions import Permanent
from tests.evaluations.media import corpus
from tests.evaluations.media.test_decoding import loudest_frequency

PLAYED = {"mp4", "webm", "mp3"}  # containers of copies, by seekable.container
SOUNDS, PICTURES = {"aac", "mp3", "opus"}, {"h264"}


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT, settings.DISK_RESERVE_BYTES = tmp_path / "media", 0


@pytest.mark.parametrize("recipe", corpus.DEVICES, ids=lambda recipe: recipe.name)
def test_what_a_device_made_is_decoded_and_has_a_copy_that_plays(recipe: corpus.Recipe, tmp_path: Path) -> None:
    made = corpus.make(tmp_path / recipe.name, recipe)
    data = made.read_bytes()
    assert kinds.refusal(data[: kinds.HEAD_BYTES], len(data)) == ""
    decoded = decode(made, max_seconds=10)
    facts = decoded.facts
    assert (facts.container, facts.damaged) == (recipe.container, False)
    assert facts.duration == pytest.approx(2.0, abs=0.15)
    assert loudest_frequency(decoded.samples) == pytest.approx(corpus.TONE_HZ, abs=3)
    assert serve.content_type(facts.container, video=facts.video_codec is not None) == recipe.media_type
    copy = seekable.seekable(store.locate(store.keep(made, uuid4()).path))
    assert seekable.container(copy, facts.container) in PLAYED
    with open_media(copy) as container:
        assert {each.codec_context.codec.canonical_name for each in container.streams.audio} <= SOUNDS
        assert {each.codec_context.codec.canonical_name for each in moving_pictures(container)} <= PICTURES
    assert loudest_frequency(decode(copy, max_seconds=10).samples) == pytest.approx(corpus.TONE_HZ, abs=3)


@pytest.mark.parametrize(
    "codec", ["pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_mulaw", "pcm_f64le", "adpcm_ms", "adpcm_ima_wav"]
)
def test_of_samples_in_wav_that_no_browser_knows_there_is_a_copy(codec: str, tmp_path: Path) -> None:
    made = corpus.make(tmp_path / "sound.wav", corpus.Recipe("sound.wav", "wav", codec, "wav", "audio/wav"))
    original = store.locate(store.keep(made, uuid4()).path)
    copy = seekable.seekable(original)
    assert (copy == original) == (codec in ("pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_mulaw"))
    assert loudest_frequency(decode(copy, max_seconds=10).samples) == pytest.approx(corpus.TONE_HZ, abs=3)


VORBIS = corpus.Recipe("vorbis.ogg", "ogg", "vorbis", "ogg", "audio/ogg")
OPUS = corpus.Recipe("opus.ogg", "ogg", "libopus", "ogg", "audio/ogg", rate=48_000)
FLAC = corpus.Recipe("flac.ogg", "ogg", "flac", "ogg", "audio/ogg")


@pytest.mark.parametrize(
    ("first", "second"),
    [(VORBIS, replace(VORBIS, rate=22_050)), (VORBIS, OPUS), (OPUS, FLAC)],
    ids=["another rate", "another codec", "another codec without loss"],
)
def test_a_whole_file_of_parts_that_can_not_follow_each_other_is_not_called_damaged(
    first: corpus.Recipe, second: corpus.Recipe, tmp_path: Path
) -> None:
    parts = [corpus.make(tmp_path / f"{at}.ogg", each) for at, each in enumerate((first, second))]
    (tmp_path / "joined.ogg").write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(Permanent) as refused:
        decode(tmp_path / "joined.ogg", max_seconds=10)
    assert refused.value.code == "unsupported"


def test_the_pauses_of_a_phones_codec_are_silence_and_no_damage(tmp_path: Path) -> None:
    """A phone writes frames without sound while nobody speaks (3GPP TS 26.093), which FFmpeg refuses as damage."""
    recipe = corpus.DEVICES[0]
    data = corpus.make(tmp_path / "phone.amr", recipe).read_bytes()
    head, frames = data[:6], data[6:]
    length = 13  # of a frame at the lowest rate
    assert len(frames) % length == 0
    pause = bytes([8 << 3 | 4]) + b"\xf0\xd1\xfc\xb2\x80" + bytes([15 << 3 | 4]) * 24
    middle = len(frames) // length // 2 * length
    (tmp_path / "pause.amr").write_bytes(head + frames[:middle] + pause + frames[middle:])
    decoded = decode(tmp_path / "pause.amr", max_seconds=10)
    assert not decoded.facts.damaged
    assert decoded.facts.duration == pytest.approx(2.5, abs=0.1)
    quiet = np.abs(decoded.samples[int(1.15 * 16_000) : int(1.35 * 16_000)])
    assert quiet.max() < 0.01
