from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from evaluations.models import Submission
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import fail, hand_in
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]


def ask(user: User, path: str, *, status: int = 200) -> Any:
    """What the API answers `user`, signed in."""
    return _said(signed_in(user).get(f"/api/{path}"), status)


def send(user: User, path: str, *, status: int = 200) -> Any:
    """… to a POST."""
    return _said(signed_in(user).post(f"/api/{path}"), status)


def _said(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"].startswith("application/json")
    return answer.json()


@pytest.fixture
def waiting(cast: Cast) -> Submission:
    return hand_in(cast.ada, cast.classroom, name="hello.mp4")


@pytest.fixture
def failed(waiting: Submission) -> Submission:
    fail(waiting, Permanent("for staff only", code="no_audio"))
    return waiting


@pytest.fixture
def strict(cast: Cast) -> Client:
    """Ada's browser, before it has asked for a token."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.ada)
    return client
