"""What is known of a file of this machine, as plain values: of a recording that was evaluated, or a text."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from evaluations.errors import catalogue
from evaluations.media.store import DISK_FULL
from evaluations.models.results import SubmissionResults

FIELDS: Final = (
    "file",
    "status",
    "error",
    "damage",
    "transcript",
    "language",
    "form",
    "scores",
    "flags",
    "overall",
    "method",
    "feedback",
    "suggestions",
    "speech",
    "timings",
    "attempts",
)
NOTHING: Final = SubmissionResults(None, None, None)
_REFUSED: Final = {
    errno.ENOENT: "no_such_file",
    errno.EISDIR: "no_such_file",
    errno.ENAMETOOLONG: "no_such_file",
    errno.EACCES: "no_permission",
    errno.EPERM: "no_permission",
    **dict.fromkeys(DISK_FULL, "disk_full"),
}


def in_unicode(name: str) -> str:
    """A file's name may hold any bytes; the database and JSON take text only."""
    return os.fsencode(name).decode(errors="replace")


def refusal(error: OSError) -> str:
    """The code of the catalogue for a file that could not be read or copied."""
    return _REFUSED.get(error.errno or 0, "unreadable")


def described(
    file: str,
    status: str,
    results: SubmissionResults = NOTHING,
    *,
    code: str = "",
    detail: str = "",
    damage: str = "",
    timings: Mapping[str, float] | None = None,
    attempts: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """One value for each of FIELDS; None for what there isn't.

    `code`: of the error that it ended with, `detail`: a sentence on this very case. `damage`: what is
    missing of the recording. `timings`: stage → seconds.
    """
    transcript, form, evaluation = results.transcript, results.form, results.evaluation
    known: dict[str, Any] = {"file": file, "status": status, "timings": timings, "attempts": attempts}
    if damage:
        known["damage"] = damage
    if code:
        known["error"] = _error(code, detail)
    if transcript:
        known |= {"transcript": transcript.text, "language": transcript.language}
    if form:
        known["form"] = form.answers()
    if evaluation:
        plain = ("scores", "flags", "overall", "method", "feedback", "suggestions")
        known |= {field: getattr(evaluation, field) for field in plain}
        known["speech"] = evaluation.speech or None
    return {field: known.get(field) for field in FIELDS}


def _error(code: str, detail: str) -> dict[str, str]:
    words = asdict(catalogue.explain(code))
    return {"code": code, **words, "what": f"{words['what']} {detail}".rstrip()}
