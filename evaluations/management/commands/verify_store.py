from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from evaluations.uploads.audit import Audit, audit
from queueing.checks import RUNTIME
from queueing.exceptions import Infrastructure

GROUPS = {
    "missing": "submissions whose file is not there",
    "damaged": "submissions whose file is not what was handed in",
    "arriving": "files that a crash left without a row; they are handed in by themselves",
    "leaving": "files of submissions that were deleted; they are removed by themselves",
    "orphaned": "files without a submission; kept",
    "copies": "copies that players can seek in; made again when they are gone",
    "strays": "files that are no submission's",
    "altered": "transcripts, forms and ratings that are not what was written",
}
FIX_ALTERED = (
    "Somebody or something has changed the database by itself: a backup has them as they were (manage.py restore)."
)
FIX = "Handing the same video in again, as the same student in the same class, puts it back."


class Command(BaseCommand):
    help = "Compare the stored videos with the submissions, in both directions. Changes nothing."
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--deep", action="store_true", help="read every byte and every result, and compare their sha256"
        )
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: Any, deep: bool, json: bool, **options: Any) -> None:
        try:
            found = audit(deep=deep)
        except Infrastructure as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_as_json(found) if json else "\n".join(_as_table(found)))
        if not found.sound:
            raise SystemExit(1)


def _as_json(found: Audit) -> str:
    groups = {name: sorted(map(str, getattr(found, name))) for name in GROUPS}
    return json.dumps({"ok": found.sound, "submissions": found.submissions, **groups}, indent=2)


def _as_table(found: Audit) -> Iterable[str]:
    yield f"{found.submissions:>6} submissions"
    for name, words in GROUPS.items():
        members = sorted(map(str, getattr(found, name)))
        yield f"{len(members):>6} {words}"
        yield from (f"       {name:<9} {member}" for member in members)
    if found.missing or found.damaged:
        yield FIX
    if found.altered:
        yield FIX_ALTERED
