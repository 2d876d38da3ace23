from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from introeval.backup import restoring
from introeval.backup.manifest import BackupError
from introeval.backup.restoring import FinishedRestore
from queueing.management.base import QueueCommand


class Command(QueueCommand):
    help = (
        "Bring a backup back, into an empty DATA_DIR and database. All of it is compared with its checksums first; one"
        " of an older version is brought up to date. Interrupted, the same command goes on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path, metavar="DIR", help="what `manage.py backup` made")
        parser.add_argument(
            "--partial", action="store_true", help="restore what is whole, though other files are missing or damaged"
        )

    def handle(self, *args: Any, folder: Path, partial: bool, json: bool, **options: Any) -> None:
        try:
            done = restoring.restore(folder, partial=partial)
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.print_result(_facts(done), "\n".join(_words(done)), as_json=json)


def _facts(done: FinishedRestore) -> dict[str, Any]:
    found = done.restored
    return {
        "made_at": found.made_at.isoformat(),
        "files": len(found.files) - len(done.left_out),
        "bytes": found.bytes,
        "migrated": done.migrated,
        "left_out": list(done.left_out),
        "missing": list(found.missing),
        "damaged": list(found.damaged),
    }


def _words(done: FinishedRestore) -> list[str]:
    found = done.restored
    count = len(found.files) - len(done.left_out)
    lines = [f"Restored as of {found.made_at:%d %b %Y, %H:%M:%S} UTC: {count} files, {found.bytes / 1024**2:,.1f} MB."]
    if done.migrated:
        lines.append(f"It was of an older version: {done.migrated} migrations applied.")
    lines += [f"Left out, at fault in the backup: {path}" for path in done.left_out]
    lines += [f"Missing already when it was made: the video of submission {pk}" for pk in found.missing]
    lines += [f"Damaged already when it was made: the video of submission {pk}" for pk in found.damaged]
    return [*lines, "Start the lab: work goes on where it was."]
