"""A strict referrer policy hides where forms come from; the token still decides."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tests.conftest import PASSWORD, Cast
from tests.evaluations.views.conftest import disk

__all__ = ["disk"]


def sign_in(headers: dict[str, str], *, secure: bool = False, token: bool = True) -> Any:
    client = Client(enforce_csrf_checks=True)
    client.get("/login/", secure=secure)
    fields = {"username": "ada", "password": PASSWORD}
    if token:
        fields["csrfmiddlewaretoken"] = client.cookies["csrftoken"].value
    return client.post("/login/", fields, secure=secure, headers=headers)


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({"Origin": "null"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://testserver"}, False),
        ({}, False),
    ],
)
def test_a_login_works_under_a_strict_referrer_policy(cast: Cast, headers: dict[str, str], secure: bool) -> None:
    assert sign_in(headers, secure=secure).status_code == 302


@pytest.mark.parametrize(
    ("headers", "secure", "token"),
    [
        ({"Origin": "null"}, False, False),
        ({"Origin": "null", "Sec-Fetch-Site": "same-origin"}, True, False),
        ({"Origin": "null", "Sec-Fetch-Site": "cross-site"}, True, True),
        ({"Origin": "https://evil.example"}, False, True),
    ],
)
def test_the_token_is_needed_all_the_same_and_so_is_a_known_origin(
    cast: Cast, headers: dict[str, str], secure: bool, token: bool
) -> None:
    assert sign_in(headers, secure=secure, token=token).status_code == 403


def test_who_hides_the_page_is_told_so(cast: Cast) -> None:
    assert b"hides which page a form comes from" in sign_in({"Origin": "null"}, secure=True).content
    assert b"sent no cookie" in Client(enforce_csrf_checks=True).post("/login/", {}).content
    assert b"CSRF_TRUSTED_ORIGINS" in sign_in({"Origin": "https://other.example"}).content
