"""Z: nothing slow that is not the database is done while a connection to it is held, so that others get theirs.

A fake slow disk or a slow hash is one that looks whether this thread holds a connection, which takes no time to test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.hashers import check_password, make_password
from django.db import connection, transaction
from django.test import Client

from evaluations import actions
from evaluations.access import passwords
from evaluations.media import store
from evaluations.models import Submission
from evaluations.uploads import intake
from tests.conftest import PASSWORD, Cast
from tests.evaluations.uploads.conftest import Tus, upload_at

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = bytes(range(256)) * 40
SLOW = ((os, "fsync"), (store, "_digest"))


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, bool]]]:
    """The calls that are slow on a slow machine, each with whether this thread held a connection."""
    calls: list[tuple[str, bool]] = []

    def watching(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append((name, connection.connection is not None))
            return real(*args, **kwargs)

        return call

    with monkeypatch.context() as patches:
        for place, name in SLOW:
            patches.setattr(place, name, watching(name, getattr(place, name)))
        yield calls


def held(calls: list[tuple[str, bool]]) -> list[str]:
    return [name for name, is_held in calls if is_held]


def test_a_chunk_is_synced_and_a_finished_file_hashed_without_a_connection(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = Tus(cast.ada)
    url = ada.start(len(CONTENT))
    with watched(monkeypatch) as calls:
        ada.patch(url, 0, CONTENT[:5000])
        assert ada.patch(url, 5000, CONTENT[5000:])["Submission-New"] == "1"
    assert [name for name, _ in calls].count("fsync") > 2
    assert ("_digest", False) in calls
    assert not held(calls)


def test_the_same_file_again_is_compared_without_a_connection(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = Tus(cast.ada)
    ada.send(CONTENT)
    with watched(monkeypatch) as calls:
        assert ada.send(CONTENT)["Submission-New"] == "0"
    assert calls
    assert not held(calls)


def test_what_a_crash_left_is_handed_in_without_a_connection(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = Tus(cast.ada)
    for work in (lambda url: ada.head(url), lambda url: intake.expire_uploads()):
        url = ada.start(len(CONTENT))
        intake.append(upload_at(url), offset=0, chunk=CONTENT)
        with watched(monkeypatch) as calls:
            work(url)
        assert calls
        assert not held(calls)
        actions.delete(submission=Submission.objects.get(), by=cast.ada)


def test_files_of_a_deleted_submission_go_without_a_connection(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    Tus(cast.ada).send(CONTENT)
    with watched(monkeypatch) as calls:
        actions.delete(submission=Submission.objects.get(), by=cast.ada)
    assert calls
    assert not held(calls)


@pytest.mark.parametrize(
    ("username", "password", "status"), [("ada", PASSWORD, 302), ("ada", "wrong", 200), ("nobody", "wrong", 200)]
)
@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_a_password_is_hashed_without_a_connection(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, path: str, username: str, password: str, status: int
) -> None:
    hashed: list[bool] = []
    submit = passwords._hashing.submit

    def watching(*args: Any) -> Any:
        hashed.append(connection.connection is not None)
        return submit(*args)

    monkeypatch.setattr(passwords._hashing, "submit", watching)
    answer = Client().post(path, {"username": username, "password": password})
    assert answer.status_code == (200 if path == "/admin/login/" else status)
    assert hashed
    assert not any(hashed)


def test_hashes_are_those_of_django_and_their_threads_give_way(cast: Cast) -> None:
    assert cast.ada.check_password(PASSWORD)
    assert check_password("x", make_password("x"))
    assert passwords._hashing.submit(os.getpriority, os.PRIO_PROCESS, 0).result() >= passwords.NICENESS


def test_in_a_transaction_a_connection_stays(cast: Cast) -> None:
    with transaction.atomic():
        assert make_password("x")
        assert connection.connection is not None
