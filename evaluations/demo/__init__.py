"""The demo class: a teacher, its students, and the videos they hand in."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import Q, QuerySet

from evaluations import actions
from evaluations.access import roles
from evaluations.access.passwords import PUBLIC
from evaluations.models import Classroom, Rubric
from evaluations.models.privacy import KEPT

HERE = Path(__file__).parent
CLASSROOM = "Demo class"
PASSWORD = PUBLIC
LOGINS = (("teacher", "teacher", PASSWORD), ("student", "anna", PASSWORD))


class AccountTakenError(Exception):
    """An account with this name exists and is not of the demo class."""


@dataclass(frozen=True, slots=True)
class DemoClip:
    """One sample video and the text that is spoken in it."""

    file: str
    student: str  # first and last name
    words: str | None  # the reference text; None when nothing can be heard
    expect: str  # "completed", or the error code it must end with

    @property
    def path(self) -> Path:
        return HERE / "clips" / self.file

    @property
    def username(self) -> str:
        return self.student.split()[0].lower()


def clips() -> list[DemoClip]:
    return [DemoClip(**row) for row in json.loads((HERE / "scripts.json").read_text())]


def load() -> tuple[Classroom, int]:
    """Create the class and submit every clip; what exists stays. Returns the class and the number of new submissions.

    Raises:
        AccountTakenError: somebody else has one of the demo's user names. Nothing was created.
    """
    with transaction.atomic():
        classroom, _ = Classroom.objects.get_or_create(
            name=CLASSROOM, defaults={"rubric": Rubric.default(), "release": Classroom.Release.AT_ONCE, **KEPT}
        )
        classroom.teachers.add(_teacher(classroom))
        students = [_student(classroom, clip) for clip in clips()]
    return classroom, sum(_hand_in(classroom, *each) for each in zip(students, clips(), strict=True))


def _teacher(classroom: Classroom) -> User:
    teacher = _user("teacher", "Tess Teacher", classroom.teachers.all())
    if not teacher.is_staff:
        teacher.is_staff = True
        teacher.save(update_fields=["is_staff"])
    roles.ensure_groups()
    teacher.groups.add(Group.objects.get(name=roles.TEACHERS))
    return teacher


def _student(classroom: Classroom, clip: DemoClip) -> User:
    student = _user(clip.username, clip.student, classroom.students.all())
    classroom.students.add(student)
    return student


def _user(username: str, full_name: str, ours: QuerySet[User]) -> User:
    """The demo's user with that name. Other accounts are never used: the demo's password is public."""
    first, last = full_name.split(maxsplit=1)
    user, created = User.objects.get_or_create(username=username, defaults={"first_name": first, "last_name": last})
    if created:
        user.set_password(PASSWORD)
        user.save(update_fields=["password"])
    elif not ours.contains(user):
        raise AccountTakenError(f"The user {username!r} was not made by the demo class; rename that account first.")
    elif not user.has_usable_password():  # `end_public_passwords`
        user.set_password(PASSWORD)
        user.save(update_fields=["password"])
    return user


def end_public_passwords() -> int:
    """Make the demo's password unusable for whoever of the demo class has it; `load` gives it back. Returns how many.

    Called before the site listens to a network. Their sessions end with it.
    """
    ended = 0
    for user in User.objects.filter(Q(classes_taught__name=CLASSROOM) | Q(classes_attended__name=CLASSROOM)).distinct():
        if user.has_usable_password() and user.check_password(PASSWORD):
            user.set_unusable_password()
            user.save(update_fields=["password"])
            ended += 1
    return ended


def _hand_in(classroom: Classroom, student: User, clip: DemoClip) -> bool:
    staged = settings.UPLOADS_DIR / f"demo-{clip.file}"
    staged.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(clip.path, staged)
    _, created = actions.submit(classroom=classroom, student=student, staged=staged, original_name=clip.file)
    return created
