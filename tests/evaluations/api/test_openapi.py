"""The description: complete, of one shape for errors, and what docs/api.md says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from evaluations.api import DESCRIPTION, api
from tests.conftest import Cast
from tests.evaluations.routes import walk
from tests.evaluations.views.conftest import signed_in

EXPECTED: dict[str, set[int]] = {"GET": set(), "POST": {403, 409}, "DELETE": {403}}
ALSO: dict[tuple[str, str], set[int]] = {
    ("POST", "/api/chat"): {404, 415, 503},
    ("POST", "/api/chat/stream"): {404, 415, 503},
    ("DELETE", "/api/chat/{pk}"): {409},
    ("POST", "/api/upload"): {400, 404, 413, 415, 429, 503, 507},
}
DOCS = Path(__file__).parents[3] / "docs" / "api.md"


@pytest.fixture
def described() -> dict[str, Any]:
    return api.get_openapi_schema(path_prefix="/api/")


def operations(described: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    paths = described["paths"].items()
    return {(method.upper(), path): each for path, methods in paths for method, each in methods.items()}


def test_it_can_be_read_without_a_session_and_loads_nothing_from_elsewhere(client: Client) -> None:
    answer = client.get("/api/openapi.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert client.get("/api/docs").status_code == 404


def test_it_is_made_once_however_often_everybody_asks(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    before = client.get("/api/openapi.json").content
    monkeypatch.setattr("ninja.main.get_schema", None)
    assert client.get("/api/openapi.json").content == before


def test_every_operation_says_what_it_does_and_how_it_refuses(described: dict[str, Any]) -> None:
    for name, each in operations(described).items():
        assert each["description"], name
        assert each["tags"], name
        assert each["security"], name
        refused = {status for status in each["responses"] if status >= 400}
        expected = {401, 429, *({404} if "{pk}" in name[1] else ()), *EXPECTED[name[0]], *ALSO.get(name, ())}
        assert refused - {422} == expected, name
        for status in refused - {503}:  # which says how long to wait, too
            schema = each["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, name


def test_every_unit_is_in_a_name(described: dict[str, Any]) -> None:
    names = {name for schema in described["components"]["schemas"].values() for name in schema.get("properties", ())}
    for bare in ("start", "end", "duration", "size", "offset", "length", "age_of"):
        assert bare not in names


def test_uploads_are_described_in_words() -> None:
    for said in ("Upload-Offset", "Upload-Metadata", "Submission-Id", "/api/uploads/", "4 MiB"):
        assert said in DESCRIPTION


def test_the_docs_name_every_address_and_no_other(described: dict[str, Any]) -> None:
    rows = re.findall(r"^\| (`[^|]*`) \| `(/api/[^`]*)` \|", DOCS.read_text(), flags=re.MULTILINE)
    named = {(method, path) for methods, path in rows for method in re.findall(r"[A-Z]+", methods)}
    uploads = {("POST", "/api/uploads/"), *((method, "/api/uploads/{pk}") for method in ("HEAD", "PATCH", "DELETE"))}
    assert named == set(operations(described)) | uploads


def test_what_curl_is_shown_to_ask_exists() -> None:
    asked = re.findall(r'"\$site(/[^"]*)"', DOCS.read_text())
    routes = [route for route in walk() if not route.name.startswith("admin:")]
    known = [re.sub(r"<[^>]*>", "[^/]+", f"/{route.pattern}") for route in routes]
    assert len(asked) > 8
    for path in asked:
        assert any(re.fullmatch(pattern, path) for pattern in known), path


@pytest.mark.django_db
def test_a_body_that_does_not_say_that_it_is_json_is_not_guessed_at(cast: Cast) -> None:
    client = signed_in(cast.ada)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/octet-stream"):
        answer = client.post("/api/chat/stream", b'{"question": "Why?"}', content_type=kind)
        assert (answer.status_code, answer.json()["code"]) == (415, "no_json")
    assert client.post("/api/chat/stream", b"{}", content_type="application/json").status_code == 422


@pytest.mark.django_db
def test_what_the_api_answers_is_an_attachment_and_no_page(cast: Cast) -> None:
    client = signed_in(cast.ada)
    for path, status in (("/api/my-videos", 200), ("/api/nothing", 404), ("/api/openapi.json", 200)):
        answer = client.get(path)
        assert answer.status_code == status
        assert answer["Content-Disposition"] == 'attachment; filename="api.json"'
    assert Client().get("/api/my-videos")["Content-Disposition"] == 'attachment; filename="api.json"'
