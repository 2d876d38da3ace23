"""This app's upkeep, done when a worker of the queue does its own (signal `upkeep_due`)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog
from django.conf import settings

from evaluations import actions
from evaluations.actions import mails
from evaluations.models import EVALUATION, TrailEntry
from evaluations.uploads import audit, intake, result_files
from evaluations.uploads.privacy import retention
from queueing.exceptions import Infrastructure
from queueing.policy.alerts import FiringAlert, Severity
from queueing.report import lesson

log = structlog.get_logger()

SOUND_SECONDS: Final = 3600.0  # between two looks at a store in which all is there


@dataclass
class Duty:
    """Work that is done at most once in `every_seconds` by this process."""

    work: Callable[[], object]
    every_seconds: float
    next_at: float = 0.0

    def __call__(self) -> None:
        if time.monotonic() >= self.next_at:
            self.next_at = time.monotonic() + self.every_seconds
            self.work()


@dataclass
class StoredVideos:
    """Whether stored files are missing or incomplete, by their names and sizes. While some are, it looks often: a tenth
    of the time at most."""

    faults: Counter[str] | None = None  # None: this process has not looked yet
    rest_until: float = 0.0

    def look(self) -> None:
        if (began := time.monotonic()) < self.rest_until:
            return
        self.rest_until = began + SOUND_SECONDS  # if the store can't be read
        self.faults = audit.alarming()
        ended = time.monotonic()
        self.rest_until = ended + (9 * (ended - began) if self.faults else SOUND_SECONDS)

    def alert(self, **_: object) -> dict[str, list[FiringAlert]]:
        """What the last look found, to whoever raises alerts."""
        if self.faults is None:
            return {}
        missing, damaged = self.faults["file_missing"], self.faults["file_damaged"]
        text = f"stored videos: {missing} missing, {damaged} damaged"
        cure = "`manage.py verify_store` names them; is the disk of DATA_DIR mounted?"
        found = FiringAlert("videos_lost", Severity.CRITICAL, text, cure, value=missing + damaged)
        return {"videos_lost": [found] if self.faults else []}


stored_videos = StoredVideos()


def report_lesson() -> None:
    """Keep the report of the lesson that has just ended (`manage.py report --last`)."""
    if not lesson.is_to_be_kept(EVALUATION):
        return
    try:
        lost = sum(audit.alarming().values())
    except Infrastructure:
        lost = None
    if found := lesson.keep(EVALUATION, lost=lost):
        log.info("lesson ended", handed_in=found.handed_in, states=dict(found.states), lost=lost)


def prune_trail() -> None:
    TrailEntry.objects.all().prune(settings.AUDIT_DAYS)


DUTIES = (
    Duty(intake.expire_uploads, every_seconds=300.0),
    Duty(actions.remove_files_of_deleted, every_seconds=20.0),
    Duty(stored_videos.look, every_seconds=20.0),
    Duty(report_lesson, every_seconds=20.0),
    Duty(result_files.catch_up, every_seconds=300.0),
    Duty(mails.make_due, every_seconds=10.0),
    Duty(mails.send_due, every_seconds=5.0),
    Duty(prune_trail, every_seconds=3600.0),
    Duty(retention.prune, every_seconds=300.0),
)


def tidy(**_: object) -> None:
    """Do what is due. `queue_recover` shows it under this function's name."""
    for duty in DUTIES:
        duty()
