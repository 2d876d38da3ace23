from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from pytest_django import Settings

from evaluations import demo
from evaluations.models import Classroom, Submission
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
