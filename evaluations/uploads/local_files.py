"""Evaluating files of this machine, without a browser: submit them, wait, return the result of each."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User

from evaluations import actions
from evaluations.errors import catalogue
from evaluations.media import kinds
from evaluations.models import Classroom, Rubric, Submission
from evaluations.models.privacy import KEPT
from evaluations.models.results import SubmissionResults
from evaluations.uploads.local_results import described, in_unicode, refusal
from queueing.exceptions import Permanent, StageError
from queueing.models import Attempt, Task
from queueing.states import LIVE, State, Status

CLASSROOM = "Command line"
USERNAME = "command-line"


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file by the name given (bytes that are no Unicode are replaced); its submission, or why it was refused."""

    name: str
    submission: Submission | None = None
    refused: str = ""

    @property
    def task(self) -> Task | None:
        return self.submission.evaluation_task if self.submission else None

    @property
    def completed(self) -> bool:
        task = self.task
        return task is not None and task.state == State.DONE


def hand_in(names: Sequence[str]) -> list[LocalFile]:
    """Submit each file; one that failed before is retried. Unreadable files are refused, the others submitted."""
    student, _ = User.objects.get_or_create(username=USERNAME, defaults={"is_active": False})
    classroom, _ = Classroom.objects.get_or_create(
        name=CLASSROOM, defaults={"rubric": Rubric.default(), "release": Classroom.Release.AT_ONCE, **KEPT}
    )
    return [_hand_in(name, classroom, student) for name in names]


def _hand_in(name: str, classroom: Classroom, student: User) -> LocalFile:
    try:
        return LocalFile(in_unicode(name), _submit(Path(name), classroom, student))
    except StageError as error:
        return LocalFile(in_unicode(name), refused=error.code)
    except OSError as error:
        return LocalFile(in_unicode(name), refused=refusal(error))


def _submit(path: Path, classroom: Classroom, student: User) -> Submission:
    if not path.is_file():
        raise Permanent(code="no_such_file")
    if path.stat().st_size > settings.UPLOAD_MAX_BYTES:
        raise Permanent(code="too_large")
    staged = settings.UPLOADS_DIR / f"local-{uuid.uuid4().hex}"
    staged.parent.mkdir(parents=True, exist_ok=True)
    original_name = in_unicode(path.name)
    try:
        shutil.copyfile(path, staged)
        with staged.open("rb") as copy:
            refused = kinds.refusal(copy.read(kinds.HEAD_BYTES), staged.stat().st_size)
        if refused:
            raise Permanent(code=refused)
        submission, new = actions.submit(
            classroom=classroom, student=student, staged=staged, original_name=original_name
        )
    finally:
        staged.unlink(missing_ok=True)
    if not new:
        actions.retry(submission=submission, by=student)
    return submission


def all_ended(files: Sequence[LocalFile]) -> bool:
    ids = [file.submission.pk for file in files if file.submission]
    return not Task.objects.filter(submission__in=ids, state__in=LIVE).exists()


def result(file: LocalFile) -> dict[str, Any]:
    """Everything that is known of one file, as plain values."""
    task = file.task
    if task is None or file.submission is None:
        return described(file.name, Status.FAILED.value, code=file.refused)
    file.submission.refresh_from_db()
    return described_submission(file.name, file.submission, task, file.submission.results())


def described_submission(name: str, found: Submission, task: Task, results: SubmissionResults) -> dict[str, Any]:
    """What is known of a submission and its task, as plain values."""
    attempts = [_attempt(row) for row in task.attempts.all()]
    heard = results.transcript
    detail = catalogue.detail(
        task.error_code,
        max_seconds=found.classroom.max_duration_seconds,
        language=heard.language if heard else "",
        probability=heard.language_probability if heard else 0.0,
    )
    return described(
        name,
        task.status.value,
        results,
        code=task.error_code,
        detail=detail,
        damage=catalogue.of_damage(found.damaged_at, ends_early=found.ends_early),
        timings=_timings(attempts),
        attempts=attempts,
    )


def _attempt(row: Attempt) -> dict[str, Any]:
    return {
        "stage": row.stage,
        "outcome": row.outcome,
        "error_code": row.error_code,
        "compute_seconds": row.compute_seconds,
    }


def _timings(attempts: list[dict[str, Any]]) -> dict[str, float]:
    """Stage → seconds its last successful attempt computed."""
    return {row["stage"]: round(row["compute_seconds"], 3) for row in attempts if row["outcome"] == "succeeded"}
