"""This app's upkeep, done when a worker of the queue does its own (signal `upkeep_due`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from evaluations import actions
from evaluations.uploads import audit, intake

log = structlog.get_logger()


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


def report_faulty_files() -> None:
    """Log how many stored files are missing or incomplete, by their names and sizes, which is quick."""
    if faults := audit.alarming():
        log.error("stored videos are lost", **faults, fix="manage.py verify_store")


DUTIES = (
    Duty(intake.expire_uploads, every_seconds=300.0),
    Duty(actions.remove_files_of_deleted, every_seconds=20.0),
    Duty(report_faulty_files, every_seconds=3600.0),
)


def tidy(**_: object) -> None:
    """Do what is due. `queue_recover` shows it under this function's name."""
    for duty in DUTIES:
        duty()
