from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from evaluations.errors.refusals import RefusedError
from evaluations.management.people import named
from evaluations.models import Submission
from evaluations.uploads.privacy import erasing
from evaluations.uploads.privacy.erasing import NotErasedError
from queueing.management.base import QueueCommand, usage


class Command(QueueCommand):
    help = (
        "Erase a student for good: the account, the videos, and all that came of them. A receipt without a name stays."
        " Backups that were made before have everything until they are deleted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("student", metavar="NAME|ID", help="user name or number of the account")
        parser.add_argument("--yes", action="store_true", help="don't ask")

    def handle(self, *args: Any, student: str, yes: bool, json: bool, **options: Any) -> None:
        found = named(student)
        count = Submission.objects.filter(student=found).count()
        if not yes and not self._confirmed(f"Erase account {found.pk} with {count} videos for good? [y/N] "):
            self.print_result({"receipt": None}, "Nothing was done.", as_json=json, done=False)
            return
        try:
            receipt = erasing.erase(student=found, by=None)
        except NotErasedError:
            raise usage("This account is no student's: its owner teaches, or looks after the site.") from None
        except RefusedError as refused:
            raise CommandError("Something is being handed in at this moment: try again.") from refused
        left = erasing.files_left()
        text = f"Account {receipt.whose} is erased: {receipt.size} bytes, receipt {receipt.pk}."
        if left:
            text += f" Files of {left} deleted videos are still there: the disk refused; the worker removes them."
        facts = {"receipt": receipt.pk, "account": receipt.whose, "bytes": receipt.size, "files_left": left}
        self.print_result(facts, text, as_json=json)

    def _confirmed(self, question: str) -> bool:
        return sys.stdin.isatty() and input(question).strip().lower() in ("y", "yes")
