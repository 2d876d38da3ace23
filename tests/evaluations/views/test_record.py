"""The recorder's page, and the recordings that came from it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from uuid import uuid4

import pytest
from django.conf import settings
from pytest_django import Settings

from evaluations.media import store
from evaluations.media.container import open_media
from evaluations.models import Upload
from evaluations.uploads import intake
from tests.conftest import Cast
from tests.evaluations.material import hand_in
from tests.evaluations.media import corpus
from tests.evaluations.views.conftest import signed_in

SCRIPTS = Path(settings.BASE_DIR) / "evaluations" / "static" / "evaluations" / "recorder"
SESSION = SCRIPTS.parent / "session.js"  # of every page


def page(cast: Cast) -> str:
    answer = signed_in(cast.ada).get(f"/classes/{cast.classroom.pk}/record/")
    assert answer.status_code == 200
    return unescape(answer.content.decode())


def test_the_page_has_the_class_s_prompt_and_its_limits(cast: Cast) -> None:
    cast.classroom.prompt = "Tell us about your dog."
    cast.classroom.max_duration_seconds = 90
    cast.classroom.save()
    html = page(cast)
    assert "Tell us about your dog." in html
    assert 'data-max-seconds="90"' in html
    assert f'data-max-bytes="{settings.UPLOAD_MAX_BYTES}"' in html
    assert 'id="refused"' not in html
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=", html)


def test_the_dashboard_leads_to_the_recorder_of_each_class(cast: Cast) -> None:
    cast.other_classroom.students.add(cast.ada)
    html = signed_in(cast.ada).get("/").content.decode()
    for classroom in (cast.classroom, cast.other_classroom):
        assert f'href="/classes/{classroom.pk}/record/"' in html


def test_who_has_handed_in_enough_is_told_before_recording(cast: Cast) -> None:
    cast.classroom.max_submissions = 0
    cast.classroom.save()
    assert "You have handed in as many videos as your class allows." in page(cast)


def test_a_full_disk_is_told_before_recording(cast: Cast, settings: Settings) -> None:
    settings.DISK_RESERVE_BYTES = 2**62
    assert "The disk of the lab computer is full." in page(cast)


def test_an_unfinished_recording_is_not_asked_for_as_a_file(cast: Cast) -> None:
    ids = [
        intake.begin(student=cast.ada, classroom=cast.classroom, name="mine", length=None, client_id=client_id).pk
        for client_id in (None, uuid4())
    ]
    Upload.objects.filter(pk__in=ids).update(offset=5)
    notices = re.findall(r'<p class="notice unfinished".*?</p>', page_at(cast, "/"), re.DOTALL)
    assert ["Choose the same file again" in each for each in notices] == [True, False]
    assert f"/classes/{cast.classroom.pk}/record/" in notices[1]


def page_at(cast: Cast, url: str) -> str:
    return unescape(signed_in(cast.ada).get(url).content.decode())


def test_every_text_that_a_script_shows_is_on_the_page_and_no_other(cast: Cast) -> None:
    written = set(re.findall(r'data-word="(\w+)"', page(cast)))
    scripts = "".join(path.read_text() for path in (*SCRIPTS.glob("*.js"), SESSION))
    states = {f"state_{name}" for name in re.findall(r'enter\("(\w+)"\)', scripts)}
    assert {name for name in written if f'"{name}"' in scripts} | states == written
    assert set(re.findall(r'\b(?:word|problem|settle)\("(\w+)"', scripts)) | states <= written


def test_every_text_that_an_upload_shows_is_on_its_page_and_no_other(cast: Cast) -> None:
    written = set(re.findall(r'data-word="(\w+)"', page_at(cast, "/")))
    script = "".join((SCRIPTS.parent / name).read_text() for name in ("uploads.js", "session.js", "words.js"))
    assert {name for name in written if f'"{name}"' in script} == written
    assert set(re.findall(r'(?:\bword\(|this\.show\()"(\w+)"', script)) <= written


def test_a_browsers_recording_is_played_from_a_copy_that_seeks(cast: Cast, tmp_path: Path) -> None:
    recording = corpus.browser_recording(tmp_path / "recording.webm").read_bytes()
    submission = hand_in(cast.ada, cast.classroom, content=recording)
    played = signed_in(cast.ada).get(f"/submissions/{submission.pk}/media", headers={"Range": "bytes=0-"})
    (tmp_path / "played.webm").write_bytes(played.content)
    with open_media(tmp_path / "played.webm") as container:
        assert container.duration == pytest.approx(2_000_000, abs=100_000)
    store.verify(submission.path, submission.sha256)
