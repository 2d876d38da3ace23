"""Every error under /api/ is answered in one shape, with words and the right status."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings
from structlog.testing import capture_logs

from evaluations.errors import catalogue
from evaluations.models import Submission
from evaluations.pages import rows
from tests.conftest import Cast
from tests.evaluations.views.conftest import signed_in

NOBODYS = "00000000-0000-4000-8000-000000000000"
TUS = {"Tus-Resumable": "1.0.0"}


def refused(answer: Any, status: int, code: str) -> dict[str, str]:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    assert "no-store" in answer["Cache-Control"]
    said: dict[str, str] = answer.json()
    assert said.keys() == {"code", "title", "what", "todo", "id"}
    assert said["code"] == code
    assert said["title"] == catalogue.CATALOGUE[code].title
    assert all(said.values())
    return said


@pytest.mark.parametrize("path", ["my-videos", "queue/stats", f"status/{NOBODYS}", "uploads/"])
def test_whoever_is_not_signed_in_gets_401_and_no_redirect(db: None, path: str) -> None:
    answer = Client().post(f"/api/{path}") if path == "uploads/" else Client().get(f"/api/{path}")
    refused(answer, 401, "signed_out")


def test_signed_out_comes_before_the_token(db: None) -> None:
    strict = Client(enforce_csrf_checks=True)
    refused(strict.post(f"/api/submissions/{NOBODYS}/retry"), 401, "signed_out")


def test_a_change_without_the_token_is_refused(strict: Client, failed: Submission) -> None:
    for path in (f"submissions/{failed.pk}/retry", "uploads/"):
        refused(strict.post(f"/api/{path}"), 403, "no_token")
    assert failed.evaluation_task.state == "failed"
    strict.get("/")
    token = strict.cookies["csrftoken"].value
    answer = strict.post(f"/api/submissions/{failed.pk}/retry", headers={"X-CSRFToken": token})
    assert answer.json()["status"] == "retry_queued"


@pytest.mark.parametrize("path", ["nowhere", "", f"status/{NOBODYS}", "status/no-id", "classes/99999999999999"])
def test_what_is_not_there_or_not_yours_is_not_found(cast: Cast, path: str) -> None:
    refused(signed_in(cast.ada).get(f"/api/{path}"), 404, "not_found")


def test_another_method_is_refused_and_the_right_one_named(cast: Cast, failed: Submission) -> None:
    answer = signed_in(cast.ada).get(f"/api/submissions/{failed.pk}/retry")
    refused(answer, 405, "wrong_method")
    assert answer["Allow"] == "POST"
    answer = signed_in(cast.ada).put("/api/uploads/", headers=TUS)
    refused(answer, 405, "wrong_method")
    assert (answer["Allow"], answer["Tus-Resumable"]) == ("POST, OPTIONS", "1.0.0")


def test_what_cannot_be_read_is_named(cast: Cast) -> None:
    answer = signed_in(cast.teacher).get(f"/api/classes/{cast.classroom.pk}?page=none")
    assert "page: " in refused(answer, 422, "invalid_request")["what"]


def test_a_body_that_nobody_asked_for_is_not_read_to_its_end(
    strict: Client, failed: Submission, settings: Settings
) -> None:
    strict.get("/")  # with the cookie but without the header, the token is looked for in the body
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    answer = strict.post(
        f"/api/submissions/{failed.pk}/retry", b"a=" + b"b" * 2000, content_type="application/x-www-form-urlencoded"
    )
    refused(answer, 413, "too_large")


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_of_ours_shows_no_traceback_and_can_be_found_in_the_log(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, settings: Settings, debug: bool
) -> None:
    def broken() -> None:
        raise RuntimeError("secret of the machine")

    settings.DEBUG = debug
    monkeypatch.setattr(rows, "read_queue", broken)
    client = signed_in(cast.ada)
    client.raise_request_exception = False
    with capture_logs() as logged:
        answer = client.get("/api/my-videos")
    said = refused(answer, 500, "unexpected")
    assert b"secret of the machine" not in answer.content
    assert b"Traceback" not in answer.content
    assert said["id"] in [line.get("id") for line in logged]


def test_pages_keep_their_own_errors(cast: Cast) -> None:
    answer = signed_in(cast.ada).get("/nowhere")
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")
