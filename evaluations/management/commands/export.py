from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evaluations.management.classrooms import named
from evaluations.pages.board import export
from queueing.checks import RUNTIME


class Command(BaseCommand):
    help = "Write a class as a table for spreadsheets: one row per student, with what counts of each rating."
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("classroom", metavar="CLASS", help="its name or its number")
        parser.add_argument("--format", choices=list(export.MIME_TYPES), help="default: by FILE's name, else csv")
        parser.add_argument("--output", type=Path, metavar="FILE", help="replaced if it is there (default: print it)")

    def handle(self, *args: Any, classroom: str, output: Path | None, **options: Any) -> None:
        kind = options["format"] or (output.suffix.removeprefix(".").lower() if output else "csv")
        if kind not in export.MIME_TYPES:
            raise CommandError(f"{output} says no format: name one with --format.")
        if output is None and kind != "csv":
            raise CommandError("A workbook can't be printed: name a file with --output.")
        file = export.table(named(classroom)).as_format(kind)
        if output is None:
            self.stdout.write(file.decode(), ending="")
            return
        # Written beside it first: nobody opens half a file, and a full disk leaves the old one.
        partial = output.with_name(f".{output.name}.{os.getpid()}")
        try:
            partial.write_bytes(file)
            partial.replace(output)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise CommandError(f"{output} could not be written: {error}") from error
