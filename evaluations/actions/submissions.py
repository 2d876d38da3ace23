"""Handing in, and the verbs on what was handed in. Side effects wait for the commit."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

import queueing.actions
from evaluations.actions.trail import Verb, record_for_others
from evaluations.errors import catalogue
from evaluations.media import store
from evaluations.models import EVALUATION, Classroom, Deletion, Submission, Upload
from queueing.actions import Report
from queueing.exceptions import Infrastructure, Permanent
from queueing.models import Task
from queueing.models.connections import give_back
from queueing.states import State

log = structlog.get_logger(__name__)

UPKEEP: Final = "upkeep"  # in the place of a person


def submit(
    *, classroom: Classroom, student: User, staged: Path, original_name: str, submission_id: uuid.UUID | None = None
) -> tuple[Submission, bool]:
    """Store a complete file and enqueue its evaluation. Returns the submission and whether it is new.

    Acknowledge only what this returned: the bytes are fsynced and renamed before the row and its task are committed
    together. The same file of the same student in the same class is one submission, however often it arrives; one whose
    stored file was lost or damaged meanwhile gets it back, and is tried again.

    Args:
        submission_id: pass it to make the call repeatable after a crash: a file that was stored already is then found.

    Raises:
        queueing.exceptions.Infrastructure: the disk is full or read-only (code `disk_full`), or fails or is not mounted
            (`disk_failed`); `staged` is still there.
        FileNotFoundError: there is neither a staged file nor one that was stored under `submission_id`.
    """
    if staged.exists():
        give_back()
        sha256 = store.digest(staged)
        known = Submission.objects.filter(classroom=classroom, student=student, sha256=sha256).first()
        if known is not None and _accept_again(known, staged, student):
            return known, False
    if Submission.objects.exists():
        store.require_there()  # what is kept under a mount point is hidden, and lost, once its disk is mounted
    submission_id = submission_id or uuid.uuid4()
    give_back()
    stored = store.keep(staged, submission_id)
    with transaction.atomic():
        submission, created = Submission.objects.get_or_create(
            classroom=classroom,
            student=student,
            sha256=stored.sha256,
            defaults={"id": submission_id, "original_name": original_name, "path": stored.path, "size": stored.size},
        )
        if created:
            Task.objects.enqueue(submission_id=submission.pk, pipeline=EVALUATION, owner_key=str(student.pk))
    if not created and submission.pk != submission_id:
        # The same bytes were submitted concurrently: these must not stay without a row for ever.
        if not _accept_again(submission, store.locate(stored.path), student):
            return submit(
                classroom=classroom,
                student=student,
                staged=staged,
                original_name=original_name,
                submission_id=submission_id,
            )
        store.remove(submission_id)
    return submission, created


def _accept_again(known: Submission, staged: Path, student: User) -> bool:
    """Use the bytes of a known submission that arrived again: to replace its file if that is lost, else not at all.

    Returns whether the submission still exists; deleted concurrently, the bytes have to be submitted as new.
    """
    give_back()
    if _is_whole(known):
        is_there = Submission.objects.filter(pk=known.pk).exists()
        if is_there:
            staged.unlink(missing_ok=True)
        return is_there
    with transaction.atomic():
        # One at a time: two arrivals must not move each other's good file aside. This is rare, so it may be slow.
        if not Submission.objects.select_for_update(no_key=True).filter(pk=known.pk).exists():
            return False
        if _is_whole(known):
            staged.unlink(missing_ok=True)
        else:
            store.replace(staged, known.pk)
            retry(submission=known, by=student)
    return True


def _is_whole(known: Submission) -> bool:
    """Whether its stored file is what was handed in, or needed no more; reads all of it."""
    if known.video_gone_at:
        return True
    try:
        store.verify(known.path, known.sha256)
    except Permanent:
        return False
    return True


def retry(*, submission: Submission, by: User) -> bool:
    """Retry the failed stage of a submission; False when it neither failed nor was cancelled."""
    moved = submission.evaluation_task.retry(by=str(by.pk))
    if moved:
        record_for_others(Verb.MOVED, submission, by=by, what="retry")
    return moved


def retry_all(*, submissions: QuerySet[Submission], by: str) -> Report:
    """Retry each of them that failed or was cancelled; the others are skipped. `by` as events name a person."""
    newest = Task.objects.filter(pipeline=EVALUATION, submission__in=submissions.order_by())
    tasks = newest.order_by("submission_id", "-pk").distinct("submission_id")
    return queueing.actions.retry(tasks=tasks, by=by)


def retry_at_sign_in(*, student: User) -> tuple[int, int]:
    """Retry what failed through no fault of the file, where the class wants that; each submission once at most.

    Returns how many are tried again, and how many their student could still have tried again.
    """
    newest = Task.objects.filter(pipeline=EVALUATION, submission__student=student)
    newest = newest.order_by("submission_id", "-pk").distinct("submission_id")
    failed = Task.objects.filter(pk__in=newest.values("pk"), state=State.FAILED)
    failed = failed.exclude(error_code__in=catalogue.OF_THE_FILE | catalogue.LOST)
    wanted = failed.filter(submission__classroom__retries_at_sign_in=True, retried=False)
    retried = sum(task.retry(by=str(student.pk), reason="at sign-in") for task in wanted)
    return retried, failed.count()


def cancel(*, submission: Submission, by: User) -> bool:
    """Stop the work on a submission, waiting or running; the video stays. False when the work has ended."""
    moved = submission.evaluation_task.cancel(by=str(by.pk))
    if moved:
        record_for_others(Verb.MOVED, submission, by=by, what="cancel")
    return moved


def delete(*, submission: Submission, by: User | None) -> bool:
    """Delete a submission for good: video, results, and the work on it, even while that runs.

    Returns whether it was still there. Rows first, files once that is committed; should this process die in between,
    `remove_files_of_deleted` finishes it. `by`: who wants it; None: its time is over.
    """
    with transaction.atomic():
        was_refused = _was_refused(submission.pk)
        # In the order in which workers lock them: the task, then what it is about.
        Task.objects.forget(submission.pk, by=str(by.pk) if by else UPKEEP)
        found = Submission.objects.select_for_update().filter(pk=submission.pk).first()
        if found is None:
            return False
        Upload.objects.filter(submission=found).delete()  # else it would look complete, and not handed in yet
        Deletion.objects.create(
            id=found.pk,
            classroom=found.classroom,
            student=found.student,
            handed_in_at=found.created_at,
            was_refused=was_refused,
            by=by,
        )
        found.delete()
        transaction.on_commit(lambda: _remove_files(submission.pk), robust=True)
    log.info("submission_deleted", submission=str(submission.pk), by=by.pk if by else UPKEEP)
    return True


def _was_refused(submission_id: uuid.UUID) -> bool:
    tasks = Task.objects.filter(submission=submission_id, pipeline=EVALUATION)
    return tasks.filter(state=State.FAILED, error_code__in=catalogue.REFUSED).exists()


def remove_files_of_deleted() -> int:
    """Remove files of deleted submissions that a crash, or a disk that was away or read-only, left behind.

    Returns how many it tried. One whose files can't be removed does not hold up the others.
    """
    left = list(Deletion.objects.filter(files_gone_at=None).values_list("pk", flat=True))
    for submission_id in left:
        _remove_files(submission_id)
    return len(left)


def _remove_files(submission_id: uuid.UUID) -> None:
    give_back()
    try:
        store.remove(submission_id)
    except (Infrastructure, Permanent) as error:
        log.warning("files_not_removed", submission=str(submission_id), error=str(error))
    else:
        Deletion.objects.filter(pk=submission_id).update(files_gone_at=Now())
