"""A first class in one step."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from evaluations.models import Classroom

pytestmark = pytest.mark.django_db


def create(*arguments: str) -> str:
    said = StringIO()
    call_command("create_class", *arguments, "--no-input", stdout=said)
    return said.getvalue()


def test_a_class_and_its_teacher_are_there_and_the_password_works() -> None:
    said = create("9b", "--teacher", "frau-a")
    classroom, teacher = Classroom.objects.get(), User.objects.get()
    assert (classroom.name, [*classroom.teachers.all()], classroom.release) == ("9b", [teacher], "after_review")
    assert (classroom.rubric.language, classroom.prompt[:8]) == ("en", "Introduc")
    assert classroom.asks_consent, "nothing is handed in for it before a student has agreed"
    assert (teacher.is_staff, teacher.is_superuser) == (True, False)
    password = said.split("Password of frau-a: ")[1].strip()
    browser = Client()
    answer = browser.post("/login/", {"username": "frau-a", "password": password}, follow=True)
    assert answer.redirect_chain[-1][0] == "/classes/"
    assert browser.get(f"/classes/{classroom.pk}/").status_code == 200
    assert browser.get("/admin/evaluations/classroom/").status_code == 200


def test_in_german_rubric_and_task_are_german() -> None:
    create("9b", "--teacher", "frau-a", "--language", "de")
    classroom = Classroom.objects.get()
    assert (classroom.rubric.language, classroom.prompt[:9]) == ("de", "Stell dic")


def test_a_teacher_who_is_there_keeps_password_and_rights() -> None:
    user = User.objects.create_superuser("frau-a", password="a-long-passphrase")
    assert "Password" not in create("9b", "--teacher", "frau-a")
    assert create("9c", "--teacher", "frau-a", "--superuser")
    user.refresh_from_db()
    assert user.check_password("a-long-passphrase")
    assert user.is_superuser
    assert user.classes_taught.count() == 2


@pytest.mark.parametrize(
    ("name", "teacher", "says"),
    [("9b", "frau-a", "already exists"), ("9c", "a b", "valid username"), ("", "x", "blank")],
)
def test_what_can_not_be_made_is_told_and_leaves_nothing(name: str, teacher: str, says: str) -> None:
    create("9b", "--teacher", "herr-b")
    with pytest.raises(CommandError, match=says):
        create(name, "--teacher", teacher)
    assert Classroom.objects.count() == User.objects.count() == 1
