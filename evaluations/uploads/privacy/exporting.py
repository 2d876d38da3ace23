"""Everything that is kept of a student as one zip: JSON for programs, a page for people, the videos.

    index.html     to be read in a browser
    data.json      the same, and more
    videos/        as they were handed in

Made while it is sent, so no video is held in memory or copied on the disk.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.template.loader import render_to_string

from evaluations.access import permissions
from evaluations.actions import decisions
from evaluations.media import store
from evaluations.models import (
    JoinRequest,
    LoginCard,
    MailAddress,
    MindMap,
    Receipt,
    StudentAllowance,
    Submission,
    Summary,
    UserSession,
    corrected,
)
from evaluations.models.results import SubmissionResults
from evaluations.uploads import limits, local_files
from evaluations.uploads.privacy import retention
from queueing.exceptions import Permanent

PIECE_BYTES: Final = 1024 * 1024
_ENDING: Final = re.compile(r"\.[a-z0-9]{1,5}")
_OF_OPERATIONS: Final = ("engine", "model", "created_at")


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file of the zip: a text, or a file of the store."""

    name: str
    text: str = ""
    source: Path | None = None


def members(student: User, viewer: User | None = None) -> list[ZipMember]:
    """What the zip has in it, read now but for the videos.

    Args:
        viewer: who gets it: the student, or a teacher, of whose classes it is then; None: whoever runs the command.
            A rating that the viewer may not see yet is left out, and said to be.
    """
    rows = _submissions(student, viewer)
    data = describe(student, rows, viewer)
    page = render_to_string("evaluations/privacy/index.html", {"data": data})
    text = json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n"
    videos = [ZipMember(name, source=path) for each in rows if (path := _file(each)) and (name := _name(each))]
    return [ZipMember("index.html", page), ZipMember("data.json", text), *videos]


def pieces(found: list[ZipMember]) -> Iterator[bytes]:
    """The zip, piece by piece. A file that is gone by now is left out."""
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_DEFLATED) as archive:
        for member in found:
            if member.source is None:
                archive.writestr(member.name, member.text)
                yield sink.take()
            else:
                yield from _stored(archive, sink, member.name, member.source)
    yield sink.take()


async def pieces_async(found: list[ZipMember]) -> AsyncIterator[bytes]:
    """The same for an ASGI server, which would read a synchronous iterator to its end before it sends anything."""
    made = pieces(found)
    while (piece := await asyncio.to_thread(next, made, None)) is not None:
        yield piece


def file_name(student: User) -> str:
    """By number: downloads are seen by others, too."""
    return f"introeval-{student.pk}.zip"


def describe(student: User, rows: QuerySet[Submission], viewer: User | None = None) -> dict[str, Any]:
    """Everything but the videos, as plain values."""
    own = viewer is None or viewer.pk == student.pk
    here = _of_classes_seen(student, viewer)
    receipts = Receipt.objects.filter(here("classroom"), whose=student.pk)
    return {
        "account": {
            "number": student.pk,
            "username": student.username,
            "first_name": student.first_name,
            "last_name": student.last_name,
            "email": student.email,
            "since": student.date_joined,
            "last_login": student.last_login,
            "active": student.is_active,
            "classes": list(student.classes_attended.filter(here("pk")).values_list("name", flat=True)),
        },
        "consents": [
            {
                "class": each.text.classroom.name,
                "version": each.text.version,
                "text": each.text.text,
                "text_sha256": each.text_sha256,
                "agreed_at": each.agreed_at,
                "withdrawn_at": each.withdrawn_at,
            }
            for each in student.consents.filter(here("text__classroom")).select_related("text__classroom")
        ],
        "submissions": [_described(each, viewer) for each in rows],
        "unfinished_uploads": [
            {"name": each.original_name, "bytes": each.offset, "begun_at": each.created_at}
            for each in limits.unfinished().filter(here("classroom"), student=student)
        ],
        "deleted": [
            *student.deletions.filter(here("classroom")).values("id", "classroom__name", "handed_in_at", "deleted_at"),
            *receipts.values("what", "submission", "why", "size", "at"),
        ],
        **(_of_account(student) if own else {}),
    }


def _of_account(student: User) -> dict[str, Any]:
    """How they came in, and what they are allowed: of all classes."""
    tried = AccessAttempt.objects.filter(username__iexact=student.username)
    return {
        "mail": list(MailAddress.objects.filter(user=student).values("address", "language", "site", "confirmed_at")),
        "allowances": list(
            StudentAllowance.objects.filter(student=student).values("classroom__name", "more_submissions", "deadline")
        ),
        "cards": list(
            LoginCard.objects.filter(student=student).values("classroom__name", "made_at", "expires_at", "used_at")
        ),
        "join_requests": list(
            JoinRequest.objects.filter(student=student).values("classroom__name", "name", "state", "asked_at")
        ),
        "failed_logins": list(tried.values("ip_address", "user_agent", "attempt_time", "failures_since_start")),
        "open_sessions": UserSession.objects.filter(user_id=student.pk).count(),
    }


def _submissions(student: User, viewer: User | None) -> QuerySet[Submission]:
    rows = Submission.objects.of_student(student).filter(_of_classes_seen(student, viewer)("classroom"))
    return rows.select_related("classroom", "student").order_by("created_at")


def _of_classes_seen(student: User, viewer: User | None) -> Callable[[str], Q]:
    """By the name of a column a condition: a teacher sees nothing of other teachers' classes."""
    if viewer is None or viewer.pk == student.pk:
        return lambda column: Q()
    taught = list(permissions.classrooms_taught(viewer).values_list("pk", flat=True))
    return lambda column: Q(**{f"{column}__in": taught})


def _described(found: Submission, viewer: User | None) -> dict[str, Any]:
    results = found.results()
    transcript = results.transcript and corrected(results.transcript)
    rating = results.evaluation
    kept = retention.of(found, rating.released_at if rating else None)
    shown = rating if rating and (viewer is None or permissions.may_see(viewer, rating, found.classroom)) else None
    counts = decisions.as_it_counts(shown, decisions.standing(shown)) if shown else None
    task = found.evaluation_task
    decided = found.decisions.filter(Q(kind__in=("word", "appeal")) | Q(evaluation=shown)) if shown else None
    return {
        "submission": str(found.pk),
        "class": found.classroom.name,
        "handed_in_at": found.created_at,
        "video": _name(found) if _file(found) else None,
        "video_removed_at": found.video_gone_at,
        "video_kept_until": kept.video,
        "kept_until": kept.everything,
        "size_bytes": found.size,
        "sha256": found.sha256,
        "duration_seconds": found.duration,
        "rating_not_released_yet": rating is not None and shown is None,
        **local_files.described_submission(
            found.original_name, found, task, SubmissionResults(transcript, results.form, counts)
        ),
        "comment": decisions.standing(shown).comment if shown else "",
        "models": {
            name: {"engine": row.engine, "model": row.model, "made_at": row.created_at}
            for name, row in (("transcript", transcript), ("form", results.form), ("rating", shown))
            if row
        },
        "spoken": transcript.segments if transcript else [],
        "decisions": list(decided.values("kind", "key", "value", "reason", "at")) if decided is not None else [],
        "questions": list(found.questions.values("text", "answer", "end", "model", "asked_at")),
        "summary": Summary.objects.filter(submission=found).values("sentences", "key_points", *_OF_OPERATIONS).first(),
        "mind_map": MindMap.objects.filter(submission=found).values("branches", *_OF_OPERATIONS).first(),
    }


def _file(found: Submission) -> Path | None:
    try:
        return store.locate(found.path)
    except Permanent:
        return None


def _name(found: Submission) -> str:
    """Nothing of the student's own name for it but an ending that is one."""
    ending = PurePath(found.original_name).suffix.lower()
    return f"videos/{found.pk}{ending if _ENDING.fullmatch(ending) else ''}"


class _Sink(io.RawIOBase):
    """What was written since it was last taken; it can't be sought in, so the zip is made from front to back."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._written += piece
        return len(piece)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken


def _stored(archive: ZipFile, sink: _Sink, name: str, source: Path) -> Iterator[bytes]:
    try:
        file = source.open("rb")
    except OSError:
        return
    info = ZipInfo.from_file(source, name)
    info.compress_type = ZIP_STORED  # a video is compressed already
    with file, archive.open(info, "w", force_zip64=True) as target:
        while piece := file.read(PIECE_BYTES):
            target.write(piece)
            yield sink.take()
