from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from evaluations import demo
from queueing.checks import RUNTIME


class Command(BaseCommand):
    help = "Make the demo class: a teacher, eight students and their sample videos. Running it again adds nothing."
    requires_system_checks = (RUNTIME,)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            classroom, new = demo.load()
        except demo.AccountTakenError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{classroom.name}: {new} videos handed in, {classroom.submissions.count()} in all")
