"""Signing in by a card: the page, its limits, and what ends it."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from evaluations.access.limits import Buckets
from evaluations.access.members import cards, codes
from evaluations.models import LoginCard, UserSession
from evaluations.views.members import signing_in
from tests.conftest import PASSWORD, Cast
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]


@pytest.fixture(autouse=True)
def fresh_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "wrong_codes", Buckets(60, 1e-9))


@pytest.fixture
def code(cast: Cast) -> str:
    (made,) = cards.make(cast.classroom, [cast.ada], by=cast.teacher)
    return made.shown


def user_of(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def test_the_code_signs_in_and_says_when(cast: Cast, code: str) -> None:
    client = Client()
    answer = client.post("/card/", {"code": code.lower(), "next": "/account/"})
    assert (answer.status_code, answer["Location"]) == (302, "/account/")
    assert user_of(client) == str(cast.ada.pk)
    assert LoginCard.objects.get().used_at is not None


def test_it_leads_to_no_other_site(code: str) -> None:
    assert Client().post("/card/", {"code": code, "next": "//evil.example"})["Location"] == "/"


def test_looking_at_the_page_signs_nobody_in(code: str) -> None:
    client = Client()
    assert client.get(f"/card/?code={code}").status_code == 200
    assert user_of(client) is None


def test_whoever_was_signed_in_at_that_computer_is_not_any_more(cast: Cast, code: str) -> None:
    client = signed_in(cast.bo)
    client.post("/card/", {"code": code})
    assert user_of(client) == str(cast.ada.pk)
    assert not UserSession.objects.filter(user_id=cast.bo.pk).exists()


@pytest.mark.parametrize("typed", ["", "ABC-DEF-GHI", "x" * 50, "ABCDEFGHJ"])
def test_what_is_no_code_is_answered_on_the_page(cast: Cast, typed: str) -> None:
    client = Client()
    answer = client.post("/card/", {"code": typed})
    assert answer.status_code == 400
    assert user_of(client) is None


def test_slips_cost_no_try_and_wrong_codes_end_in_a_wait(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "wrong_codes", Buckets(3, 1e-9))
    client = Client()
    assert {client.post("/card/", {"code": "ABC-DEF-GHI"}).status_code for _ in range(9)} == {400}
    tries = [client.post("/card/", {"code": codes.make(cards.LENGTH)}).status_code for _ in range(5)]
    assert tries == [400, 400, 400, 429, 429]
    answer = client.post("/card/", {"code": code})
    assert (answer.status_code, answer["Retry-After"]) == (429, "1")
    # Another network is not concerned.
    assert Client(REMOTE_ADDR="10.0.0.9").post("/card/", {"code": code}).status_code == 302


def test_right_codes_use_up_nothing(cast: Cast, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_in, "wrong_codes", Buckets(3, 1e-9))
    assert {Client().post("/card/", {"code": code}).status_code for _ in range(9)} == {302}


def test_a_revoked_card_ends_what_was_opened_by_it_and_nothing_else(cast: Cast, code: str) -> None:
    by_card, by_password = Client(), signed_in(cast.ada)
    by_card.post("/card/", {"code": code})
    cards.revoke(LoginCard.objects.all())
    assert by_card.get("/account/").status_code == 302
    assert by_password.get("/account/").status_code == 200


def test_printing_the_cards_anew_signs_nobody_out(cast: Cast, code: str) -> None:
    client = Client()
    client.post("/card/", {"code": code})
    cards.make(cast.classroom, [cast.ada], by=cast.teacher)
    assert client.get("/account/").status_code == 200


def test_a_reset_signs_out_everywhere(cast: Cast, code: str) -> None:
    clients = [Client(), signed_in(cast.ada)]
    clients[0].post("/card/", {"code": code})
    cards.reset(cast.classroom, [cast.ada], by=cast.teacher)
    assert [client.get("/account/").status_code for client in clients] == [302, 302]


def test_whoever_has_a_card_can_choose_a_password_and_then_needs_the_old_one_for_another(
    cast: Cast, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    (made,) = cards.reset(cast.classroom, [cast.ada], by=cast.teacher)
    client = Client()
    client.post("/card/", {"code": made.code})
    chosen = {"new_password1": PASSWORD, "new_password2": PASSWORD}
    assert client.post("/account/", chosen).status_code == 302
    assert client.get("/account/").status_code == 200  # still signed in
    cast.ada.refresh_from_db()
    assert cast.ada.check_password(PASSWORD)
    assert client.post("/account/", chosen).status_code == 400
    assert client.post("/account/", {**chosen, "old_password": PASSWORD}).status_code == 302


def test_signing_out_everywhere_ends_all_sessions_of_that_user(cast: Cast) -> None:
    here, there, bo = signed_in(cast.ada), signed_in(cast.ada), signed_in(cast.bo)
    assert here.post("/account/", {"everywhere": "1"})["Location"] == "/login/"
    assert [client.get("/account/").status_code for client in (here, there, bo)] == [302, 302, 200]
