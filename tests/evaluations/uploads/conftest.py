"""A tus client of a few lines, and a disk of the test's own."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from evaluations.media import kinds
from evaluations.models import Upload
from tests.conftest import Cast

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> Path:
    settings.UPLOADS_DIR = tmp_path / "uploads"
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.WHITENOISE_AUTOREFRESH = True  # a new client would read all static files anew
    settings.DISK_RESERVE_BYTES = 0
    return tmp_path


@pytest.fixture(autouse=True)
def any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a few bytes stand for a recording; which are taken for one is test_kinds_of_files.py's concern."""
    monkeypatch.setattr(kinds, "refusal", lambda head, size: "")


class Tus:
    """What a browser sends, one method per request."""

    def __init__(self, user: User | None, **kwargs: Any) -> None:
        self.client = Client(**kwargs)
        if user is not None:
            self.client.force_login(user)

    def create(self, length: int | None = None, name: str = "hello.mp4", **said: str) -> Answer:
        size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        return self.post({**size, "Upload-Metadata": metadata(filename=name, **said)})

    def post(self, headers: dict[str, str]) -> Answer:
        return self.client.post("/api/uploads/", content_type="application/octet-stream", headers={**TUS, **headers})

    def head(self, url: str) -> Answer:
        return self.client.head(url, headers=TUS)

    def delete(self, url: str, **headers: str) -> Answer:
        return self.client.delete(url, headers={**TUS, **headers})

    def patch(self, url: str, offset: int, chunk: bytes, **headers: str) -> Answer:
        return self.client.patch(
            url,
            data=chunk,
            headers={
                **TUS,
                "Content-Type": "application/offset+octet-stream",
                "Upload-Offset": str(offset),
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
        )

    def start(self, length: int | None = None, **said: str) -> str:
        answer = self.create(length, **said)
        assert answer.status_code == 201, answer.content
        return str(answer["Location"])

    def send(self, content: bytes, name: str = "hello.mp4") -> Answer:
        return self.patch(self.start(len(content), name=name), 0, content)


def metadata(**said: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())


def upload_at(url: str) -> Upload:
    return Upload.objects.get(pk=url.rsplit("/", 1)[-1])


@pytest.fixture
def ada(cast: Cast) -> Tus:
    return Tus(cast.ada)


@pytest.fixture
def bo(cast: Cast) -> Tus:
    return Tus(cast.bo)
