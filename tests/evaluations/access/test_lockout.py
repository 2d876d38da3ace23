"""Guesses at passwords, at one name or at many, and what a class notices of them: nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.conf import settings as current
from django.test import Client
from django.utils.timezone import now
from pytest_django import Settings
from structlog.testing import capture_logs

from evaluations.access import lockout, passwords
from evaluations.access.limits import Buckets
from evaluations.access.lockout import MAX_NAMES, REMEMBERED_SECONDS, SLOW_PER_SECOND, FailedNames
from evaluations.access.passwords import BURST, PER_SECOND, PUBLIC
from evaluations.models import UserSession
from tests.conftest import PASSWORD, Cast
from tests.evaluations.views.conftest import disk, signed_in

__all__ = ["disk"]

HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """With limits of its own, and hashing that costs nothing."""
    fresh = FailedNames()
    monkeypatch.setattr(lockout, "failed_names", fresh)
    monkeypatch.setattr(passwords, "failed_names", fresh)
    monkeypatch.setattr(passwords, "tries", Buckets(BURST, PER_SECOND))
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.MD5PasswordHasher",
        "evaluations.access.passwords.PoliteHasher",
    ]


def sign_in(username: str, password: str, at: str = HERE) -> Any:
    return Client(REMOTE_ADDR=at).post("/login/", {"username": username, "password": password})


def sprayed(names: int) -> FailedNames:
    found = FailedNames()
    for number in range(names):
        found.failed(HERE, f"name{number}", 0.0)
    return found


# One name


def test_attempts_during_a_lock_do_not_prolong_it_right_or_wrong(cast: Cast) -> None:
    for _ in range(current.AXES_FAILURE_LIMIT):
        sign_in("ada", "wrong")
    assert sign_in("ada", PASSWORD).status_code == 429
    almost_over = now() - timedelta(hours=current.AXES_COOLOFF_TIME) + timedelta(seconds=30)
    AccessAttempt.objects.update(attempt_time=almost_over)
    for password in ("wrong", PASSWORD):
        assert sign_in("ada", password).status_code == 429
    assert set(AccessAttempt.objects.values_list("attempt_time", flat=True)) == {almost_over}
    AccessAttempt.objects.update(attempt_time=almost_over - timedelta(seconds=31))
    assert sign_in("ada", PASSWORD).status_code == 302


def test_a_lock_concerns_that_name_at_that_address_alone(cast: Cast) -> None:
    for _ in range(current.AXES_FAILURE_LIMIT):
        sign_in("ada", "wrong")
    assert sign_in("bo", PASSWORD).status_code == 302
    assert sign_in("ada", PASSWORD, at=ELSEWHERE).status_code == 302


# Many names


def test_a_class_at_the_start_of_a_lesson_does_not_meet_the_limit() -> None:
    """Thirty names, each wrong twice, ten of them mistyped as well; then they come in."""
    names = FailedNames()
    for number in range(30):
        for name in (f"name{number}", f"name{number}", *([f"nmae{number}"] if number < 9 else [])):
            names.failed(HERE, name, 0.0)
            assert names.wait(HERE, 0.0) == 0
    for number in range(30):
        names.came_in(HERE, f"name{number}")
    assert names.count(HERE, 0.0) == 9


def test_sixty_names_from_one_address_are_slowed_down_and_other_addresses_are_not() -> None:
    names = sprayed(MAX_NAMES)
    assert names.wait(HERE, 0.0) == 0  # a slow one
    assert names.wait(HERE, 0.0) == pytest.approx(1 / SLOW_PER_SECOND)
    assert names.wait(HERE, 1 / SLOW_PER_SECOND) == 0
    assert names.wait(ELSEWHERE, 0.0) == 0
    assert names.wait(HERE, REMEMBERED_SECONDS) == names.wait(HERE, REMEMBERED_SECONDS) == 0


def test_spraying_over_the_site_is_refused_and_whoever_comes_in_counts_no_more(cast: Cast) -> None:
    assert sign_in("ada", "wrong").status_code == 200
    sign_in("ada", PASSWORD)
    answers = [sign_in(f"name{number}", "winter2026").status_code for number in range(60)]
    assert answers[: MAX_NAMES + 1] == [200] * (MAX_NAMES + 1)
    assert set(answers[MAX_NAMES + 1 :]) == {429}
    assert sign_in("bo", PASSWORD, at=ELSEWHERE).status_code == 302


def test_a_teacher_lifts_it(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(MAX_NAMES + 5):
        sign_in(f"name{number}", "x")
    assert sign_in("ada", PASSWORD).status_code == 429
    teacher = signed_in(cast.teacher)
    form = {"action": "unlock", "student": [cast.ada.pk]}
    teacher.post(f"/classes/{cast.classroom.pk}/members/act", form, REMOTE_ADDR=HERE)
    assert sign_in("ada", PASSWORD).status_code == 302


def test_it_remembers_a_bounded_number_of_names_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockout, "MAX_KEYS", 5)
    names = FailedNames()
    for number in range(9):
        for name in range(3 * MAX_NAMES):
            names.failed(str(number), str(name), 0.0)
    assert len(names._of) == 5
    assert max(map(len, names._of.values())) == 2 * MAX_NAMES


# What is said of it


def test_a_failed_login_is_logged_without_names_and_passwords(cast: Cast) -> None:
    with capture_logs() as lines:
        sign_in("ada", "my-secret")
        sign_in("my-secret", "ada")  # the wrong way round
        Client(REMOTE_ADDR=HERE).post("/card/", {"code": "ABCDEFGH2"})
    failed = [line for line in lines if line["event"] == "login_failed"]
    assert [line["user"] for line in failed[:2]] == [cast.ada.pk, None]
    assert {line["address"] for line in failed} == {HERE}
    assert "my-secret" not in str(lines)
    assert "'ada'" not in str(lines)


# The demo's password


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("127.0.0.1", "localhost:8000", 302),
        ("::1", "[::1]:8000", 302),
        ("192.168.1.9", "localhost:8000", 200),
        ("127.0.0.1", "testserver", 200),  # through a proxy
        ("", "localhost", 200),
    ],
)
@pytest.mark.parametrize("path", ["/login/", "/admin/login/"])
def test_the_demos_password_opens_nothing_over_a_network(
    cast: Cast, address: str, host: str, status: int, path: str
) -> None:
    cast.teacher.set_password(PUBLIC)
    cast.teacher.is_staff = True
    cast.teacher.save()
    fields = {"username": "teacher", "password": PUBLIC, "next": "/"}
    assert Client(REMOTE_ADDR=address).post(path, fields, headers={"host": host}).status_code == status


def test_nobody_chooses_the_demos_password(cast: Cast) -> None:
    cast.ada.set_unusable_password()
    cast.ada.save()
    answer = signed_in(cast.ada).post("/account/", {"new_password1": PUBLIC, "new_password2": PUBLIC})
    assert answer.status_code == 400
    assert "Everybody knows this password" in answer.content.decode()


# Sessions


def test_a_session_ends_with_the_browser_and_a_students_with_the_lesson(cast: Cast, settings: Settings) -> None:
    student = Client()
    answer = student.post("/login/", {"username": "ada", "password": PASSWORD})
    assert answer.cookies["sessionid"]["max-age"] == ""
    end = UserSession.objects.get(user_id=cast.ada.pk).expire_date - now()
    assert timedelta(minutes=119) < end <= timedelta(minutes=120)
    teacher = Client()
    teacher.post("/login/", {"username": "teacher", "password": PASSWORD})
    assert UserSession.objects.get(user_id=cast.teacher.pk).expire_date - now() > timedelta(hours=7)


def test_a_session_that_may_outlive_the_browser_still_ends_with_the_lesson(cast: Cast, settings: Settings) -> None:
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = False
    answer = Client().post("/login/", {"username": "ada", "password": PASSWORD})
    assert 119 * 60 < answer.cookies["sessionid"]["max-age"] <= 120 * 60


def test_what_a_student_does_does_not_prolong_their_session(cast: Cast) -> None:
    client = signed_in(cast.ada)
    before = UserSession.objects.get(user_id=cast.ada.pk).expire_date
    session = client.session
    session["something"] = 1
    session.save()
    assert UserSession.objects.get(user_id=cast.ada.pk).expire_date == before
