from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django import Settings

from evaluations import demo
from evaluations.models import Classroom, Submission
from introeval.management.commands import up
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def disk(settings: Settings, tmp_path: Path) -> None:
    settings.UPLOADS_DIR, settings.MEDIA_ROOT = tmp_path / "uploads", tmp_path / "media"


def test_making_the_demo_class_again_adds_nothing() -> None:
    classroom, new = demo.load()
    assert new == len(demo.clips()) == Submission.objects.count()
    people = set(User.objects.all())
    assert demo.load() == (classroom, 0)
    assert set(User.objects.all()) == people


@pytest.mark.parametrize("username", ["teacher", "henry"])
def test_somebodys_account_of_a_demo_name_is_left_alone_and_named(username: str) -> None:
    somebody = User.objects.create_user(username, password=PASSWORD)
    with pytest.raises(CommandError, match=f"'{username}' was not made by the demo"):
        call_command("load_demo")
    somebody.refresh_from_db()
    assert not somebody.is_staff
    assert not somebody.groups.exists()
    assert list(User.objects.all()) == [somebody]
    assert not Classroom.objects.exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.20", "lab.school.example"])  # noqa: S104 - refused
def test_with_public_passwords_the_site_listens_to_no_network(host: str) -> None:
    with pytest.raises(CommandError, match="password that everybody knows"):
        call_command("up", demo=True, host=host)
    assert not User.objects.exists()


def test_passwords_of_the_demo_end_before_a_lab_goes_on_with_its_data(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    demo.load()
    own = User.objects.get(username="anna")
    own.set_password(PASSWORD)
    own.save()
    outsider = User.objects.create_user("outsider", password=demo.PASSWORD)
    said: list[str] = []
    command = up.Command()
    monkeypatch.setattr(command, "_say", said.append)
    command._end_demo()
    others = User.objects.exclude(pk__in=[own.pk, outsider.pk])
    assert not [user for user in others if user.has_usable_password()]
    assert [line.split(maxsplit=1)[0] for line in said] == [str(others.count())]
    own.refresh_from_db()
    assert own.check_password(PASSWORD)
    command._end_demo()
    assert len(said) == 1
    demo.load()
    assert User.objects.get(username="teacher").check_password(demo.PASSWORD)
    own.refresh_from_db()
    assert own.check_password(PASSWORD)
