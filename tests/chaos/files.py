"""Scenario: students hand files in, and the machine dies at any step of it: the process alone, or with a power cut."""

from __future__ import annotations

import hashlib
import random
import tempfile
import uuid
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.contrib.auth.models import User
from django.test import override_settings

from evaluations import actions
from evaluations.media import store
from evaluations.models import Classroom, Submission
from queueing.exceptions import Infrastructure, Permanent
from queueing.models import Task
from tests.chaos.disk import Disk
from tests.chaos.scheduler import Killed, Scheduler
from tests.chaos.world import NAME, ScheduleWorld, enter

MAX_CRASHES = 6


class Student:
    """Sends one file until it is acknowledged."""

    def __init__(self, chance: random.Random, user: User, classroom: Classroom, folder: Path) -> None:
        self.user, self.classroom, self.id = user, classroom, uuid.UUID(int=chance.getrandbits(128), version=4)
        self.content = chance.randbytes(chance.randint(1, 5000))
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.staged = folder / "uploads" / str(self.id)
        self.acknowledged = False

    def send(self, disk: Disk) -> None:
        """The bytes, as far as they are not there any more, and then the word that it is complete."""
        there = [self.staged, settings.MEDIA_ROOT / store._relative(self.id)]
        if not any(path.is_file() for path in there) or (
            self.staged.is_file() and store.digest(self.staged) != self.sha256
        ):
            self.staged.write_bytes(self.content)
            if disk.scheduler.chance.random() < 0.5:
                disk.unwritten.add(self.staged)
        with disk.watched():
            actions.submit(
                classroom=self.classroom,
                student=self.user,
                staged=self.staged,
                original_name="me.webm",
                submission_id=self.id,
            )
            disk.step("acknowledge")
        self.acknowledged = True


def play(scheduler: Scheduler, submissions: list[Any]) -> ScheduleWorld:
    """One schedule, with a check after each crash."""
    world = enter(ScheduleWorld(scheduler, submissions))
    chance = scheduler.chance
    disk = Disk(scheduler, chance.choice((0.05, 0.15, 0.3)))
    with (
        tempfile.TemporaryDirectory(prefix="introeval-files-") as name,
        patch("evaluations.actions.submissions.EVALUATION", NAME),
    ):
        folder = Path(name).resolve() / "data"
        (folder / "uploads").mkdir(parents=True)
        (folder / "media" / "lost+found").mkdir(
            parents=True
        )  # a disk that is mounted: an empty folder is not taken for one
        with override_settings(MEDIA_ROOT=folder / "media"):
            known = submissions[0]
            students = [Student(chance, known.student, known.classroom, folder) for _ in range(2)]
            for student in students:
                _until_acknowledged(student, disk, world, students)
    Submission.objects.filter(pk__in=[student.id for student in students]).delete()
    return world


def _until_acknowledged(student: Student, disk: Disk, world: ScheduleWorld, students: list[Student]) -> None:
    for crash in range(MAX_CRASHES + 1):
        try:
            student.send(disk)
        except Killed:
            disk.scheduler.kills += 1
            disk.crash_chance = disk.crash_chance if crash < MAX_CRASHES - 1 else 0.0
            if disk.scheduler.chance.random() < 0.5:
                disk.scheduler.trace.append("--- power cut")
                disk.cut_power()
            else:
                disk.scheduler.trace.append("--- killed")
        except Exception as error:
            world.scheduler.report(f"handing in raised {type(error).__name__}: {error}")
        _check(world, students)
        if student.acknowledged or world.scheduler.problems:
            return
    world.scheduler.report("a file that was never acknowledged")


def _check(world: ScheduleWorld, students: list[Student]) -> None:
    """What is on record is whole, what has its final name is whole, what was acknowledged is on record."""
    report = world.scheduler.report
    rows = {row.pk: row for row in Submission.objects.filter(pk__in=[student.id for student in students])}
    for row in rows.values():
        try:
            store.verify(row.path, row.sha256)
        except (Permanent, Infrastructure) as error:
            report(f"a submission is on record whose file is not whole: {error.code}")
    whole = {student.sha256 for student in students}
    for original in store.contents().originals:
        if store.digest(settings.MEDIA_ROOT / original) not in whole:
            report("a torn file has its final name")
    for student in students:
        if student.acknowledged and student.id not in rows:
            report("an acknowledged upload is lost")
        if Task.objects.filter(submission_id=student.id).count() != (student.id in rows):
            report("a submission without its one task")
    world.counts["acknowledged"] = sum(student.acknowledged for student in students)
