"""How many tries to sign in an address has, and what is said to whoever has none."""

from __future__ import annotations

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.test import Client

from evaluations.access import passwords
from evaluations.access.limits import MAX_KEYS, Buckets
from evaluations.access.passwords import BURST, PER_SECOND
from tests.conftest import PASSWORD, Cast


def used_up(address: str = "10.0.0.1", at: float = 0.0) -> Buckets:
    tries = Buckets(BURST, PER_SECOND)
    assert [tries.wait(address, at) for _ in range(BURST)] == [0.0] * BURST
    return tries


def test_a_class_fits_under_it_at_once_and_twice_as_often() -> None:
    assert BURST >= 60


def test_then_it_says_how_long_to_wait_and_counts_no_more() -> None:
    tries = used_up()
    assert [tries.wait("10.0.0.1", 0.0) for _ in range(3)] == [1 / PER_SECOND] * 3
    assert tries.wait("10.0.0.1", 0.5) == pytest.approx(1 / PER_SECOND - 0.5)
    assert tries.wait("10.0.0.1", 1 / PER_SECOND) == 0.0
    assert tries.wait("10.0.0.1", 1 / PER_SECOND) > 0


def test_others_are_not_in_its_line() -> None:
    assert used_up().wait("10.0.0.2", 0.0) == 0.0


def test_an_hour_later_it_has_all_of_them_again_and_no_more() -> None:
    tries = used_up()
    assert [tries.wait("10.0.0.1", 3600.0) for _ in range(BURST)] == [0.0] * BURST
    assert tries.wait("10.0.0.1", 3600.0) > 0


def test_it_remembers_a_bounded_number_of_addresses() -> None:
    tries = Buckets(BURST, PER_SECOND)
    for number in range(MAX_KEYS + 9):
        tries.wait(str(number), 0.0)
    assert len(tries._spent) == MAX_KEYS


@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_a_flood_is_refused_before_the_database_is_asked(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """Without access to the database this test would fail on any query."""
    monkeypatch.setattr(passwords, "tries", used_up("127.0.0.1", at=1e12))
    answer = Client().post(path, {"username": "ada", "password": "x"})
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0
    assert b"Too many at once" in answer.content


def test_nothing_but_tries_counts(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "tries", used_up("127.0.0.1", at=1e12))
    client = Client()
    client.force_login(cast.ada)
    assert client.get("/login/").status_code == 302
    assert client.post("/language/", {"language": "de"}).status_code == 302


def test_sixty_sign_in_within_a_second(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "tries", Buckets(BURST, PER_SECOND))
    monkeypatch.setattr(passwords.PoliteHasher, "iterations", 1)  # the hash itself is not what is tested
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    fields = {"username": "ada", "password": PASSWORD}
    assert [Client().post("/login/", fields).status_code for _ in range(60)] == [302] * 60


def test_a_password_may_be_long_and_not_endless(cast: Cast) -> None:
    client = Client()
    client.force_login(cast.ada)
    for length, status in ((64, 302), (128, 302), (129, 400)):
        old = PASSWORD if length == 64 else "x" * 63 + "y"
        new = "x" * (length - 1) + "y"
        form = {"old_password": old if length < 129 else "x" * 127 + "y", "new_password1": new, "new_password2": new}
        answer = client.post("/account/", form)
        assert answer.status_code == status
    assert "at most 128 characters" in answer.content.decode()


def test_a_hash_takes_as_many_rounds_as_the_standard_asks_for() -> None:
    assert PBKDF2PasswordHasher.iterations >= 310_000
    assert issubclass(passwords.PoliteHasher, PBKDF2PasswordHasher)
