"""J: what is no recording never becomes a submission: it is refused when it is chosen, by content, and not counted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from evaluations.media import kinds
from evaluations.models import Submission, Upload
from evaluations.uploads import local_files
from tests.evaluations.media import corpus
from tests.evaluations.uploads.conftest import Tus, upload_at

pytestmark = pytest.mark.django_db

FILM = {recipe.name: recipe for recipe in corpus.RECIPES}


@pytest.fixture
def any_bytes() -> None:
    """Here the content matters."""


def document() -> bytes:
    """A word processor's: a ZIP archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("word/document.xml", "<w:document>" + "Dear teacher. " * 2000)
    return packed.getvalue()


NO_RECORDINGS = {
    "notes.docx": (document(), "not_media"),
    "notes.txt": (b"Dear teacher, my video did not upload.\n" * 200, "not_media"),
    "essay.pdf": (b"%PDF-1.7\n" + bytes(5000), "not_media"),
    "photo.jpg": (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(5000), "not_media"),
    "photo.heic": (b"\0\0\0\x24ftypheic" + bytes(5000), "not_media"),
    "six.mp4": (b"\0\0\0\1\2\3", "not_media"),
    "six.mp3": (b"ID3\3\0\0", "too_small"),
    "stub.wav": (b"RIFF\xff\xff\xff\xffWAVE", "too_small"),
    "zeros.mp4": (bytes(9000), "not_media"),
    "old.rm": (b".RMF" + bytes(5000), "unsupported"),
    "dictation.ds2": (b"\3ds2" + bytes(5000), "unsupported"),
    "sun.au": (b".snd" + bytes(5000), "unsupported"),
    "camera.mxf": (b"\x06\x0e\x2b\x34\x02\x05" + bytes(5000), "unsupported"),
}


@pytest.mark.parametrize("name", NO_RECORDINGS)
def test_a_file_that_is_no_recording_is_refused_by_its_content_and_leaves_nothing(
    name: str, ada: Tus, disk: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    content, code = NO_RECORDINGS[name]
    url = ada.start(len(content), name="film.mp4")
    with django_capture_on_commit_callbacks(execute=True):
        answer = ada.patch(url, 0, content)
    assert (answer.status_code, answer.json()["code"]) == (415, code)
    assert not Submission.objects.exists()
    assert not Upload.objects.exists()
    assert ada.head(url).status_code == 404
    assert not any((disk / "uploads").iterdir())


def test_a_large_file_is_refused_by_its_first_chunk(ada: Tus) -> None:
    url = ada.start(200 * 1024 * 1024)
    assert ada.patch(url, 0, document().ljust(8192)).status_code == 415
    assert not Upload.objects.exists()


def test_small_first_chunks_are_looked_at_as_soon_as_they_say_enough(ada: Tus) -> None:
    content = document().ljust(kinds.HEAD_BYTES + 1)
    url = ada.start(len(content))
    assert ada.patch(url, 0, content[:10]).status_code == 204
    assert ada.patch(url, 10, content[10:]).status_code == 415


def test_a_length_that_comes_last_does_not_let_it_in(ada: Tus) -> None:
    url = ada.start(None)
    assert ada.patch(url, 0, b"Dear teacher" * 9).status_code == 204
    assert ada.patch(url, 108, b"", Upload_Length="108").json()["code"] == "not_media"


def test_refused_files_count_for_no_limit(ada: Tus, settings: Settings) -> None:
    settings.UPLOADS_PER_HOUR = 2
    for _ in range(6):
        assert ada.send(document()).status_code == 415
    assert ada.send(b"fLaC".ljust(100))["Submission-New"] == "1"


@pytest.mark.parametrize("name", ["sound.mp3", "film.mp4", "film.webm", "sound.wav"])
def test_a_recording_is_taken_whatever_its_name(name: str, ada: Tus, tmp_path: Path) -> None:
    content = corpus.make(tmp_path / name, FILM[name]).read_bytes()
    assert ada.send(content, name="notes.docx")["Submission-New"] == "1"


def test_what_follows_a_good_beginning_is_not_looked_at_again(ada: Tus) -> None:
    url = ada.start(10_000)
    assert ada.patch(url, 0, b"fLaC".ljust(5000)).status_code == 204
    assert ada.patch(url, 5000, document().ljust(5000)[:5000])["Submission-New"] == "1"
    assert upload_at(url).submission == Submission.objects.get()


@pytest.mark.parametrize("name", NO_RECORDINGS)
def test_a_command_refuses_the_same_files_and_takes_the_others(name: str, tmp_path: Path) -> None:
    content, code = NO_RECORDINGS[name]
    (tmp_path / name).write_bytes(content)
    good = corpus.make(tmp_path / "good.wav", FILM["sound.wav"])
    refused, taken = local_files.hand_in([str(tmp_path / name), str(good)])
    assert (refused.refused, refused.submission) == (code, None)
    assert local_files.result(refused)["error"]["code"] == code
    assert Submission.objects.get() == taken.submission
