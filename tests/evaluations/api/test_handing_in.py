"""A small file by one request, as a form sends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import Settings

from evaluations import demo
from evaluations.models import Submission, Upload
from tests.conftest import Cast
from tests.evaluations.api.conftest import disk
from tests.evaluations.views.conftest import signed_in

__all__ = ["disk"]

CLIP = (demo.HERE / "clips" / "frank.mp3").read_bytes()


@pytest.fixture(autouse=True)
def uploads(settings: Settings, tmp_path: Path) -> None:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    settings.DISK_RESERVE_BYTES = 0


def post(client: Client, content: bytes = CLIP, **fields: str) -> Any:
    return client.post("/api/upload", {"file": SimpleUploadedFile("me.mp3", content), **fields})


def test_a_file_is_handed_in_and_the_same_one_only_once(cast: Cast) -> None:
    client = signed_in(cast.ada)
    first, again = post(client), post(client, classroom=str(cast.classroom.pk))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["submission_id"] == again.json()["submission_id"]
    assert first.json()["name"] == "me.mp3"
    video = Submission.objects.get()
    assert (video.student, video.size) == (cast.ada, len(CLIP))


def test_what_is_no_recording_or_too_large_is_refused_and_leaves_nothing(cast: Cast, settings: Settings) -> None:
    client = signed_in(cast.ada)
    assert [(said.status_code, said.json()["code"]) for said in (post(client, b"text" * 50), post(client, b""))] == [
        (415, "not_media"),
        (400, "empty_file"),
    ]
    settings.UPLOAD_CHUNK_BYTES = len(CLIP) - 1
    assert post(client).status_code == 413
    assert not Submission.objects.exists()
    assert not Upload.objects.exists()


def test_another_class_does_not_exist_and_no_file_is_no_request(cast: Cast) -> None:
    client = signed_in(cast.ada)
    assert post(client, classroom=str(cast.other_classroom.pk)).json()["code"] == "no_class"
    assert client.post("/api/upload", {}).json()["code"] == "invalid_request"


def test_it_waits_like_any_other_at_capacity(cast: Cast, settings: Settings) -> None:
    settings.CAPACITY = 0
    answer = post(signed_in(cast.ada))
    assert (answer.status_code, answer["Retry-After"]) == (503, "120")
