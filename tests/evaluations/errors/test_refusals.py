"""A database that has no connection to give, or is away, is 503 with Retry-After on pages, API and tus."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.db import InterfaceError, OperationalError
from django.test import Client
from psycopg.errors import AdminShutdown, QueryCanceled
from psycopg_pool import PoolTimeout, TooManyRequests

PATHS: Final = ("/", "/classes/", "/admin/", "/api/my-videos", "/api/uploads/", "/api/queue/stats")


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    error.__cause__ = cause
    return error


def answer_to(path: str, error: Exception, monkeypatch: pytest.MonkeyPatch, **headers: str) -> Any:
    def load(self: SessionStore) -> None:
        raise error

    monkeypatch.setattr(SessionStore, "load", load)
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "somebody"
    return client.get(path, headers=headers)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "error",
    [
        raised(OperationalError("full"), PoolTimeout("full")),
        PoolTimeout("full"),
        TooManyRequests("full"),
        InterfaceError("closed"),
        raised(OperationalError("stopping"), AdminShutdown("stopping")),
    ],
)
def test_a_full_pool_or_an_absent_database_is_503_and_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch, path: str, error: Exception
) -> None:
    answer = answer_to(path, error, monkeypatch)
    assert (answer.status_code, answer["Retry-After"]) == (503, "3")
    if path.startswith("/api/"):
        assert json.loads(answer.content)["code"] == "overloaded"
    else:
        assert b"A moment, please" in answer.content


def test_a_script_gets_words(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answer_to("/classes/1/", PoolTimeout("full"), monkeypatch, **{"HX-Request": "true"})
    assert answer.status_code == 503
    assert json.loads(answer.content)["todo"] == "Try again in a few seconds."


@pytest.mark.parametrize("error", [raised(OperationalError("slow"), QueryCanceled("slow")), ZeroDivisionError()])
def test_what_does_not_pass_by_itself_is_500(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    answer = answer_to("/", error, monkeypatch)
    assert answer.status_code == 500
    assert b"Something went wrong" in answer.content
