from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from evaluations.models import EVALUATION
from evaluations.uploads import audit
from queueing.checks import RUNTIME
from queueing.exceptions import Infrastructure
from queueing.management.lesson_report import SHAPES
from queueing.report import durations, lesson
from queueing.report.lesson import Lesson


class Command(BaseCommand):
    help = (
        "A lesson in figures: what was handed in and what came of it, waits, stages, errors, and the lab's targets. "
        "Without --since it is the last lesson: up to the newest video, from the last half hour without any."
    )
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--since", type=moment, metavar="WHEN", help="90m, 2h, 7d, or 2026-11-30T09:00")
        which.add_argument("--last", action="store_true", help="the report that was kept when the last lesson ended")
        shape = parser.add_mutually_exclusive_group()
        for name in SHAPES:
            shape.add_argument(f"--{name}", action="store_const", const=name, dest="shape")
        parser.set_defaults(shape="text")

    def handle(self, *args: Any, since: datetime | None, last: bool, shape: str, **options: Any) -> None:
        found = kept() if last else read(since)
        self.stdout.write(SHAPES[shape](found))


def kept() -> Lesson:
    """
    Raises:
        CommandError: there is none.
    """
    found = lesson.last_kept(EVALUATION)
    if found is None:
        raise CommandError("no lesson has ended yet; a worker keeps its report when nothing waits any more")
    return found


def read(since: datetime | None) -> Lesson:
    """
    Raises:
        CommandError: there is nothing to tell of.
    """
    since = since or lesson.last_began(EVALUATION)
    if since is None:
        raise CommandError("nothing has been handed in yet")
    return lesson.read(EVALUATION, since, lost=lost())


def moment(text: str) -> datetime:
    """A point in time, or a length of time before now.

    Raises:
        ValueError: it is neither.
    """
    try:
        return timezone.now() - timedelta(seconds=durations.parse(text))
    except ValueError:
        at = parse_datetime(text)
    if at is None:
        raise ValueError(text)
    return at if timezone.is_aware(at) else timezone.make_aware(at)


def lost() -> int | None:
    """Stored videos that are missing or damaged; None: the store is not there to be looked at."""
    try:
        return sum(audit.alarming().values())
    except Infrastructure:
        return None
