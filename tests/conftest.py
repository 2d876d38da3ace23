"""The named cast, and what every test shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import pytest
from django.conf import settings
from django.contrib.auth import hashers
from django.contrib.auth.models import User
from django.utils import crypto, timezone, translation

from evaluations.access.lockout import failed_names
from evaluations.access.passwords import PoliteHasher
from evaluations.models import Classroom, Rubric
from evaluations.uploads import upkeep
from introeval.backup.age import backup_age
from tests import flush

flush.install()
# The same password with the same salt has the same hash: a third of a second of a core at each sign-in of the cast.
setattr(hashers, "pbkdf2", cache(crypto.pbkdf2))  # noqa: B010 - mypy refuses the assignment
# In this process models are scripted. A test of one that can't judge says so; processes go by their own settings.
settings.LLM_CAN_JUDGE = True

PASSWORD = "a-long-passphrase"


@pytest.fixture(autouse=True)
def _what_a_fresh_process_knows() -> None:
    """What the last test left behind goes: this thread's language and zone, and what it saw when it looked."""
    translation.deactivate()
    timezone.deactivate()
    for state in (upkeep.stored_videos, backup_age, failed_names):
        vars(state).update(vars(type(state)()))
    for duty in upkeep.DUTIES:
        duty.next_at = 0.0


@cache
def _password_hash() -> str:
    """Of the site's own hasher, whichever the first test that asks goes by. Slow on purpose, so once for all."""
    return PoliteHasher().encode(PASSWORD, "a-salt")


@dataclass(frozen=True)
class Cast:
    """A teacher, two students of her class, and a student of another teacher's class."""

    teacher: User
    ada: User
    bo: User
    other_teacher: User
    outsider: User
    classroom: Classroom
    other_classroom: Classroom


@pytest.fixture
def cast(db: None) -> Cast:
    teacher, ada, bo, other_teacher, outsider = (
        User.objects.create(username=name, password=_password_hash())
        for name in ("teacher", "ada", "bo", "other_teacher", "outsider")
    )
    rubric = Rubric.default()
    at_once = Classroom.Release.AT_ONCE
    classroom = Classroom.objects.create(name="Group of Ms Teacher", rubric=rubric, release=at_once)
    classroom.teachers.add(teacher)
    classroom.students.add(ada, bo)
    other = Classroom.objects.create(name="Group of somebody else", rubric=rubric, release=at_once)
    other.teachers.add(other_teacher)
    other.students.add(outsider)
    return Cast(teacher, ada, bo, other_teacher, outsider, classroom, other)
