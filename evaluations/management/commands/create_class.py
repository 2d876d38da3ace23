"""A first class without the admin: its teacher's account, its rubric and its task, in one step."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils.crypto import get_random_string

from evaluations.access import roles
from evaluations.models import Classroom, Rubric
from evaluations.models.classroom import PROMPTS
from queueing.checks import RUNTIME

READABLE = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that looks like something else on paper
TRIES = 3


class Command(BaseCommand):
    help = "Make a class with the default rubric and task, and its teacher's account unless there is one."
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="of the class, for example '9b'")
        parser.add_argument("--teacher", required=True, metavar="USER", help="user name of the teacher")
        parser.add_argument(
            "--language", choices=sorted(PROMPTS), default="en", help="of rubric and task (default: en)"
        )
        parser.add_argument("--superuser", action="store_true", help="the teacher may do everything in the admin, too")
        parser.add_argument("--no-input", action="store_true", help="ask for no password: make one and show it")

    def handle(
        self, *args: Any, name: str, teacher: str, language: str, superuser: bool, no_input: bool, **options: Any
    ) -> str | None:
        password = ""
        if not User.objects.filter(username=teacher).exists():
            ask = not no_input and sys.stdin.isatty()
            password = self._ask_password(teacher) if ask else _made_password()
        with transaction.atomic():
            user = User.objects.filter(username=teacher).first() or _create(teacher, password)
            user.is_staff, user.is_superuser = True, user.is_superuser or superuser
            user.save(update_fields=["is_staff", "is_superuser"])
            roles.ensure_groups()
            user.groups.add(Group.objects.get(name=roles.TEACHERS))
            rubric = Rubric.default(language)
            classroom = Classroom(name=name, rubric=rubric, prompt=PROMPTS[language], asks_consent=True)
            try:
                classroom.full_clean()
            except ValidationError as error:
                raise CommandError(f"No class was made: {' '.join(error.messages)}") from error
            classroom.save()
            classroom.teachers.add(user)
        self.stdout.write(f"The class {classroom.name!r} of {teacher} is there; its students come next, on its page.")
        if password and (no_input or not sys.stdin.isatty()):
            return f"Password of {teacher}: {password}"
        return None

    def _ask_password(self, teacher: str) -> str:
        for _ in range(TRIES):
            password = getpass.getpass(f"Password for {teacher}: ")
            if password != getpass.getpass("The same again: "):
                self.stderr.write("The two differ.")
                continue
            try:
                validate_password(password, User(username=teacher))
            except ValidationError as error:
                self.stderr.write(" ".join(error.messages))
                continue
            return password
        raise CommandError("No class was made.")


def _create(username: str, password: str) -> User:
    user = User(username=username)
    user.set_password(password)
    try:
        user.full_clean()
    except ValidationError as error:
        raise CommandError(f"No class was made: {' '.join(error.messages)}") from error
    user.save()
    return user


def _made_password() -> str:
    return "-".join(get_random_string(4, READABLE) for _ in range(4))
