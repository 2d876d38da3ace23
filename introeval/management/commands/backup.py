from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from evaluations.actions import trail
from introeval.backup import age, making
from introeval.backup.making import FinishedBackup
from introeval.backup.manifest import BackupError
from queueing.management.base import QueueCommand, who
from queueing.models import schema


class Command(QueueCommand):
    help = "Copy everything that must survive to a new folder, while the lab works: database, videos, secret key."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path, metavar="DIR", help="made by this; best on another disk")
        parser.add_argument(
            "--against",
            type=Path,
            metavar="EARLIER",
            help="a backup on the same disk: what is in it already is linked to and takes no room again",
        )

    def handle(self, *args: Any, folder: Path, against: Path | None, json: bool, **options: Any) -> None:
        began = time.monotonic()
        try:
            done = making.make(folder, against=against)
        except BackupError as error:
            raise CommandError(str(error)) from error
        if not schema.lacking():  # before an update's migrations its rows can't be written
            age.note_made(done.made.made_at, folder=str(done.folder), by=who())
            trail.record_kind(trail.Verb.EXPORTED, "backup", missing=len(done.made.missing))
        for pk in done.made.missing:
            self.stderr.write(f"The video of submission {pk} was not there any more (manage.py verify_store).")
        for pk in done.made.damaged:
            self.stderr.write(f"The video of submission {pk} is not what was handed in; it was copied as it is.")
        seconds = time.monotonic() - began
        self.print_result(_facts(done, seconds), _words(done, seconds), as_json=json)


def _facts(done: FinishedBackup, seconds: float) -> dict[str, Any]:
    return {
        "folder": str(done.folder),
        "made_at": done.made.made_at.isoformat(),
        "files": len(done.made.files),
        "bytes": done.made.bytes,
        "linked": done.linked,
        "copied_bytes": done.copied_bytes,
        "missing": list(done.made.missing),
        "damaged": list(done.made.damaged),
        "seconds": round(seconds, 1),
    }


def _words(done: FinishedBackup, seconds: float) -> str:
    size, copied = (number / 1024**2 for number in (done.made.bytes, done.copied_bytes))
    text = f"{done.folder}: {len(done.made.files)} files, {size:,.1f} MB ({copied:,.1f} MB copied), in {seconds:.0f} s"
    if making.shares_the_disk(done.folder):
        text += "\nIt is on the disk of DATA_DIR: it helps against mistakes, not when that disk fails."
    return text + f"\nBack with: {Path(sys.argv[0]).name} restore {done.folder}"
