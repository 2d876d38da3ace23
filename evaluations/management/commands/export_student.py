from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evaluations.actions import trail
from evaluations.management.people import named
from evaluations.uploads.privacy import exporting
from queueing.checks import RUNTIME


class Command(BaseCommand):
    help = "Write everything that is kept of a student as a zip: a page to read, data.json, and the videos."
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("student", metavar="NAME|ID", help="user name or number of the account")
        parser.add_argument("--output", type=Path, metavar="FILE", help="default: introeval-<number>.zip, here")

    def handle(self, *args: Any, student: str, output: Path | None, **options: Any) -> str:
        found = named(student)
        output = output or Path(exporting.file_name(found))
        # Written beside it first: nobody opens half a file, and a full disk leaves the old one.
        partial = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            with open(partial, "wb", opener=_private) as file:
                file.writelines(exporting.pieces(exporting.members(found)))
            partial.replace(output)
        except OSError as error:
            raise CommandError(f"{output} could not be written: {error}") from error
        finally:
            partial.unlink(missing_ok=True)
        trail.record(trail.Verb.EXPORTED, found, what="everything")
        return str(output)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
