from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evaluations.actions import trail
from evaluations.management.classrooms import named
from evaluations.models import Submission
from evaluations.pages.board import export
from evaluations.uploads import result_files
from queueing.checks import RUNTIME
from queueing.management.base import usage


class Command(BaseCommand):
    help = (
        "Write a class as a table for spreadsheets: one row per student, with what counts of each rating. Or, for"
        " submissions, what came of each as JSON, as Markdown, and the checksums of both."
    )
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "what", metavar="CLASS|RESULT", nargs="+", help="a class, by name or number; or the ids of submissions"
        )
        parser.add_argument("--format", choices=list(export.MIME_TYPES), help="default: by FILE's name, else csv")
        parser.add_argument("--results", action="store_true", help="of all submissions of the class")
        parser.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="replaced if it is there (default: print it); of results, the folder (default: DATA_DIR/results)",
        )

    def handle(self, *args: Any, what: list[str], results: bool, output: Path | None, **options: Any) -> None:
        if ids := [UUID(each) for each in what if _is_id(each)]:
            if len(ids) < len(what):
                raise usage("Either submissions, or one class.")
            self._write_results(ids, output)
            return
        if len(what) > 1:
            raise usage("One class at a time; quote a name with blanks in it.")
        classroom = named(what[0])
        if results:
            self._write_results(list(classroom.submissions.order_by("pk").values_list("pk", flat=True)), output)
            return
        kind = options["format"] or (output.suffix.removeprefix(".").lower() if output else "csv")
        if kind not in export.MIME_TYPES:
            raise CommandError(f"{output} says no format: name one with --format.")
        if output is None and kind != "csv":
            raise CommandError("A workbook can't be printed: name a file with --output.")
        trail.record(trail.Verb.EXPORTED, classroom, what=kind)
        file = export.table(classroom).as_format(kind)
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

    def _write_results(self, ids: list[UUID], output: Path | None) -> None:
        found = Submission.objects.filter(pk__in=ids)
        known = {one.pk for one in found}
        if missing := [str(pk) for pk in ids if pk not in known]:
            raise usage(f"There is no submission {', '.join(missing)}.")
        trail.record(trail.Verb.EXPORTED, *found, what="results")
        try:
            written = [result_files.write(pk, root=output) for pk in ids]
        except OSError as error:
            raise CommandError(f"{output or result_files.folder_of_results()} can't be written: {error}") from error
        for path in filter(None, written):
            self.stdout.write(str(path))


def _is_id(text: str) -> bool:
    try:
        return bool(UUID(text)) and "-" in text
    except ValueError:
        return False
