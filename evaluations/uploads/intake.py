"""The life of an upload: begin → append … → complete, or discard, or expire.

Whoever appends, completes or discards has the upload alone (`files.alone`), and holds neither a transaction nor a
connection while bytes are written, synced or hashed. A crash between two steps loses nothing: bytes are on the disk
before the offset counts them, and a complete upload that was not handed in yet is handed in by the next request for it,
or by `expire_uploads`.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from evaluations import actions
from evaluations.errors.refusals import RefusedError
from evaluations.media import kinds
from evaluations.models import Classroom, Deletion, Submission, Upload
from evaluations.uploads import files, limits
from queueing.exceptions import Infrastructure
from queueing.models.connections import give_back

log = structlog.get_logger(__name__)


def begin(
    *, student: User, classroom: Classroom, name: str, length: int | None, client_id: uuid.UUID | None = None
) -> Upload:
    """A new, empty upload; or the one begun before with the student's `client_id`, in its current state.

    The upload's id is derived from the student and `client_id`, and the submission gets the upload's id: a repeated
    request can't create a second of either, not even after the upload was removed.

    Raises:
        RefusedError: too large, empty or too many; the class asks for a consent that is not there (403); the lab is
            at capacity, or its disk full, and it may begin later (503); or it was handed in and deleted since (410).
    """
    limits.check_size(length)
    upload_id = uuid.uuid5(client_id, str(student.pk)) if client_id else uuid.uuid4()
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=student.pk)
        if not Upload.objects.filter(pk=upload_id).exists():
            if client_id is None:  # a recording is sent while it is made, and can't wait
                limits.check_turn(student)
            Upload.objects.create(
                id=upload_id,
                student=student,
                classroom=classroom,
                original_name=name,
                expires_at=_expiry(),
                **(_as_handed_in(upload_id) or _as_new(upload_id, student, classroom, length)),
            )
    return Upload.objects.get(pk=upload_id)


def _as_handed_in(upload_id: uuid.UUID) -> dict[str, Any] | None:
    submission = Submission.objects.select_for_update(no_key=True).filter(pk=upload_id).first()
    if submission is None:
        if Deletion.objects.filter(pk=upload_id).exists():
            raise RefusedError(410, "deleted")
        return None
    return {"submission": submission, "length": submission.size, "offset": submission.size}


def _as_new(upload_id: uuid.UUID, student: User, classroom: Classroom, length: int | None) -> dict[str, Any]:
    limits.check_consent(student, classroom)
    limits.check_quota(student, classroom, length)
    limits.check_capacity(length)
    files.create(upload_id)
    return {"length": length}


def declare_length(upload: Upload, length: int) -> None:
    """Set the length that was deferred; once it is known it never changes.

    Raises:
        RefusedError: another one was declared (400), it is too large (413), or the student has no room for it (429).
    """
    limits.check_size(length)
    if upload.length not in (None, length) or length < upload.offset:
        raise RefusedError(400, "bad_request")
    if upload.length is None:
        limits.check_kept(upload.student, length - upload.offset)
    upload.length = length
    upload.save(update_fields=["length"])


def append(upload: Upload, *, offset: int, chunk: bytes) -> None:
    """Add `chunk` to an upload that the caller has alone: to the disk first, then to the row."""
    if offset != upload.offset:
        raise RefusedError(409, "offset_conflict", {"Upload-Offset": str(upload.offset)})
    end = offset + len(chunk)
    if end > (settings.UPLOAD_MAX_BYTES if upload.length is None else upload.length):
        raise RefusedError(413, "too_large", detail=limits.most())
    if not chunk:
        return
    if upload.length is None:  # else it was checked, and reserved, when the length was declared
        limits.check_kept(upload.student, len(chunk))
    limits.check_room(0 if upload.length else len(chunk))
    give_back()
    files.append(upload.pk, offset, chunk)
    if not Upload.objects.filter(pk=upload.pk, offset=offset).update(offset=end, expires_at=_expiry()):
        raise RefusedError(410, "upload_gone")  # its student or class was deleted meanwhile
    upload.refresh_from_db(fields=["offset", "expires_at"])


def refused(upload: Upload, *, since: int) -> str:
    """Discard a locked upload that is no recording, as soon as its first bytes say so; returns the error's code, or "".

    It counts for no limit then. `since`: the offset before the last chunk; what was looked at is not looked at again.
    """
    is_whole = upload.length is not None and upload.offset >= upload.length
    if since >= kinds.HEAD_BYTES or not (is_whole or upload.offset >= kinds.HEAD_BYTES):
        return ""
    code = kinds.refusal(files.head(upload.pk), upload.offset)
    if code:
        discard(upload)
    return code


def complete(upload: Upload) -> bool | None:
    """Hand an upload that the caller has alone in when all its bytes are there.

    Returns whether the submission is new; None while bytes are missing. The submission gets the upload's own id:
    should this process die between moving the bytes and the commit, the next call finds them where they went.

    Raises:
        RefusedError: the disk is full (507), and the bytes stay for the next try; or they are gone (410).
    """
    if upload.submission_id is not None:
        return False
    if upload.length is None or upload.offset < upload.length:
        return None
    try:
        submission, created = actions.submit(
            classroom=upload.classroom,
            student=upload.student,
            staged=files.staged(upload.pk),
            original_name=upload.original_name,
            submission_id=upload.pk,
        )
    except FileNotFoundError as error:
        raise RefusedError(410, "upload_gone") from error
    except Infrastructure as error:
        raise RefusedError(507, error.code) from error
    upload.submission = submission
    upload.save(update_fields=["submission"])  # a row that is gone meanwhile is an error: nothing is acknowledged
    return created


def receive(*, student: User, classroom: Classroom, name: str, content: bytes) -> tuple[Submission, bool]:
    """Hand in a file that is here as a whole. Returns its submission, and whether it is new.

    Raises:
        RefusedError: as `begin`, `append` and `complete`; or it is no recording (415).
    """
    upload = begin(student=student, classroom=classroom, name=name, length=len(content))
    with files.alone(upload.pk):
        append(upload, offset=0, chunk=content)
        if code := refused(upload, since=0):
            raise RefusedError(415, code)
        created = complete(upload)
    assert upload.submission is not None
    return upload.submission, bool(created)


def discard(upload: Upload) -> None:
    """Delete an upload that the caller has alone. A submission made from it stays."""
    upload_id = upload.pk
    upload.delete()
    transaction.on_commit(lambda: files.discard(upload_id))


def expire_uploads() -> int:
    """Remove what was left unfinished for UPLOAD_EXPIRES_HOURS; returns how many. Complete ones are handed in instead.

    An upload that a request works on is skipped: it is in use.
    """
    for upload_id in complete_but_not_handed_in():
        _finish(upload_id)
    expired = list(Upload.objects.filter(expires_at__lt=Now()).values_list("pk", flat=True))
    gone = sum(map(_expire, expired))
    known = Upload.objects.values_list("pk", flat=True)
    for path in files.strays(set(known), settings.UPLOAD_EXPIRES_HOURS * 3600):
        path.unlink(missing_ok=True)
    return gone


def _expire(upload_id: uuid.UUID) -> bool:
    """Whether it was removed: not if somebody works on it, or has done so in between."""
    try:
        with files.alone(upload_id):
            deleted, _ = Upload.objects.filter(pk=upload_id, expires_at__lt=Now()).delete()
            if deleted:
                files.discard(upload_id)
    except RefusedError:
        return False
    return bool(deleted)


def complete_but_not_handed_in() -> list[uuid.UUID]:
    """Uploads that a crash left between their last byte and their submission."""
    return list(Upload.objects.filter(submission=None, offset=F("length")).values_list("pk", flat=True))


def _finish(upload_id: uuid.UUID) -> None:
    try:
        with files.alone(upload_id):
            upload = Upload.objects.select_related("classroom", "student").filter(pk=upload_id).first()
            if upload is not None:
                complete(upload)
    except RefusedError as refused:
        if refused.code == "upload_busy":
            return
        # Its bytes stay: the disk may have room again tomorrow.
        log.warning("upload_not_handed_in", upload=str(upload_id), code=refused.code)
        if refused.code != "upload_gone":
            Upload.objects.filter(pk=upload_id).update(expires_at=_expiry())


def _expiry() -> CombinedExpression:
    return Now() + timedelta(hours=settings.UPLOAD_EXPIRES_HOURS)
