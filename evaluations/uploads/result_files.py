"""What was handed in and what came of it, as files beside the database: a folder alone tells it, without this program.

    DATA_DIR/results/class-<number>/<submission>.json     everything, for programs
    DATA_DIR/results/class-<number>/<submission>.md       the same for people
    DATA_DIR/results/class-<number>/<submission>.sha256   of both, for `sha256sum --check`

With RESULT_FILES they are written once the work has ended, again whenever a person decides something, and removed with
the submission. What a crash or a full disk kept from that, the upkeep does.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.db.models.signals import post_save
from django.utils.translation import override

from evaluations.actions import decisions
from evaluations.media.store import sync_folder
from evaluations.models import EVALUATION, Deletion, ReviewDecision, Submission, corrected
from evaluations.models.results import SubmissionResults
from evaluations.uploads import local_files
from queueing.models import Task
from queueing.signals import task_changed
from queueing.states import LIVE

log = structlog.get_logger(__name__)

LOOK_BACK: Final = timedelta(days=1)  # what changed earlier was looked at before
ENDINGS: Final = ("json", "md", "sha256")
_MARKED_UP: Final = re.compile(r"([\\`*_{}\[\]<>#|])")


def folder_of_results() -> Path:
    return Path(settings.DATA_DIR) / "results"


def write(submission_id: UUID, *, root: Path | None = None) -> Path | None:
    """Write its files as things are now, each whole or not at all; returns the JSON, or None if it is gone by now.

    Raises:
        OSError: the disk is full, or not there.
    """
    root = root or folder_of_results()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(root):  # or an earlier state could be written over a later one
        found = Submission.objects.select_related("classroom", "student").filter(pk=submission_id).first()
        if found is None:
            return None
        place = root / f"class-{found.classroom_id}" / str(submission_id)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        with override("en"):
            row = describe(found)
        texts = {"json": json.dumps(row, indent=1, ensure_ascii=False, default=str) + "\n", "md": as_markdown(row)}
        sums = [f"{_sha256(text)}  {place.name}.{ending}\n" for ending, text in texts.items()]
        for ending, text in {**texts, "sha256": "".join(sums)}.items():
            _replace(place.with_name(f"{place.name}.{ending}"), text)
        sync_folder(place.parent)
    return place.with_name(f"{place.name}.json")


def remove(submission_id: UUID, *, root: Path | None = None) -> None:
    """Remove its files, if there are any."""
    root = root or folder_of_results()
    if not root.is_dir():
        return
    with _alone(root):
        for path in root.glob(f"class-*/{submission_id}.*"):
            path.unlink(missing_ok=True)


def describe(found: Submission) -> dict[str, Any]:
    """As `evaluate --json` has it, as it counts after what people decided; and whose it is, with all checksums."""
    results = found.results()
    rating, transcript = results.evaluation, results.transcript and corrected(results.transcript)
    counts = decisions.as_it_counts(rating, decisions.standing(rating)) if rating else None
    shown = SubmissionResults(transcript, results.form, counts)
    task = found.evaluation_task
    return {
        "submission": str(found.pk),
        "version": version(task.sequence, _newest_decision(found.pk)),
        "class": found.classroom.name,
        "student": {"username": found.student.username, "name": found.student.get_full_name()},
        "handed_in_at": found.created_at.isoformat(),
        "size_bytes": found.size,
        "released_at": rating.released_at.isoformat() if rating and rating.released_at else None,
        "sha256": {
            "video": found.sha256,
            "transcript": results.transcript and results.transcript.sha256,
            "form": results.form and results.form.sha256,
            "rating": rating and rating.sha256,
        },
        **local_files.described_submission(found.original_name, found, task, shown),
    }


def as_markdown(row: Mapping[str, Any]) -> str:
    """The same for people; nothing that was said or written counts as mark-up."""
    name = row["student"]["name"] or row["student"]["username"]
    lines = [f"# {_plain(row['file'])}", "", f"{_plain(name)}, {_plain(row['class'])}, handed in {row['handed_in_at']}"]
    lines += ["", f"Status: {_plain(row['status'])}", f"sha256 of the video: {row['sha256']['video']}"]
    if row["error"]:
        lines += ["", f"{_plain(row['error']['title'])}. {_plain(row['error']['what'])}"]
    if row["scores"]:
        lines += ["", "| criterion | score |", "|---|---|"]
        lines += [f"| {_plain(score['title'])} | {score['score']} |" for score in row["scores"]]
    if row["overall"] is not None:
        lines += [f"| **Overall** | **{row['overall']}** |"]
    if row["feedback"]:
        lines += ["", "## Feedback", "", _plain(row["feedback"]), ""]
        lines += [f"- {_plain(each)}" for each in row["suggestions"]]
    if row["form"]:
        lines += ["", "## Form", ""]
        lines += [f"- {key.replace('_', ' ')}: {_plain(_said(value))}" for key, value in row["form"].items()]
    if row["transcript"]:
        lines += ["", "## Transcript", "", _plain(row["transcript"])]
    return "\n".join(lines) + "\n"


def version(sequence: int, decided: int) -> str:
    """Differs whenever the files do: by the task, or by what people decided."""
    return f"{sequence}-{decided}"


def connect() -> None:
    """Write and remove them after what changes them is committed."""
    task_changed.connect(_task_changed, dispatch_uid="evaluations.results")
    post_save.connect(_decided, sender=ReviewDecision, dispatch_uid="evaluations.results")
    post_save.connect(_deleted, sender=Deletion, dispatch_uid="evaluations.results")


def catch_up() -> int:
    """Write what changed lately and is not written, and remove what is of no submission. Returns how many."""
    if not settings.RESULT_FILES:
        return 0
    ended = Task.objects.filter(pipeline=EVALUATION).exclude(state__in=LIVE)
    if folder_of_results().exists():  # else there are none: after a restore, or when the setting is new
        decided = Exists(ReviewDecision.objects.filter(submission=OuterRef("submission"), at__gt=Now() - LOOK_BACK))
        ended = ended.filter(Q(finished_at__gt=Now() - LOOK_BACK) | decided)
    newest = ended.order_by("submission", "-pk").distinct("submission")
    stale = [pk for pk, sequence in newest.values_list("submission", "sequence") if _is_stale(pk, sequence)]
    there = {path.stem for path in folder_of_results().glob("class-*/*.json")}
    gone = there - {str(pk) for pk in Submission.objects.filter(pk__in=there).values_list("pk", flat=True)}
    for pk in stale:
        _try(write, pk)
    for name in gone:
        _try(remove, UUID(name))
    return len(stale) + len(gone)


def _is_stale(pk: UUID, sequence: int) -> bool:
    found = next(folder_of_results().glob(f"class-*/{pk}.json"), None)
    try:
        written = json.loads(found.read_text())["version"] if found else None
    except (OSError, ValueError, KeyError):
        written = None
    return bool(written != version(sequence, _newest_decision(pk)))


def _newest_decision(pk: UUID) -> int:
    return ReviewDecision.objects.filter(submission=pk).order_by("-pk").values_list("pk", flat=True).first() or 0


def _task_changed(*, task_id: int, **_: object) -> None:
    if settings.RESULT_FILES:
        ended = Task.objects.filter(pk=task_id, pipeline=EVALUATION).exclude(state__in=LIVE)
        for pk in ended.values_list("submission", flat=True):
            _try(write, pk)


def _decided(*, instance: ReviewDecision, **_: object) -> None:
    if settings.RESULT_FILES:
        transaction.on_commit(lambda: _try(write, instance.submission_id), robust=True)


def _deleted(*, instance: Deletion, **_: object) -> None:
    # Also where none are written any more: there may be some of an earlier time.
    transaction.on_commit(lambda: _try(remove, instance.pk), robust=True)


def _try(work: Any, pk: UUID) -> None:
    """The database is the truth: what can't be written now is written by the upkeep."""
    try:
        work(pk)
    except OSError as error:
        log.warning("result_file_not_written", submission=str(pk), error=str(error))


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    descriptor = os.open(root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        with open(part, "w", encoding="utf-8", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _said(value: object) -> str:
    if value is None:
        return "not said"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _plain(text: str) -> str:
    return _MARKED_UP.sub(r"\\\1", " ".join(str(text).split()))
