"""The stored files compared with the submissions, in both directions: lost, damaged and unexpected files. And results
compared with their checksums.

A file is durable before its row exists, so a row without its file is a loss, and a file without a row comes from a
crash, or from a submission that is being stored right now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath
from typing import Final
from uuid import UUID

from evaluations.media import store
from evaluations.models import Deletion, Evaluation, Form, Submission, Transcript
from evaluations.models.checksum import is_altered
from evaluations.uploads import intake
from queueing.exceptions import Permanent

CHUNK: Final = 500  # submissions at fault, looked at once more by one statement


@dataclass(frozen=True, slots=True)
class Audit:
    """Submissions by their id, files by their path in the store."""

    submissions: int
    missing: frozenset[UUID]  # their file is not there
    damaged: frozenset[UUID]  # their file is not what was handed in
    arriving: frozenset[str]  # without a row, but with a complete upload: the next upkeep hands it in
    leaving: frozenset[str]  # of submissions that were deleted; the next upkeep removes them
    orphaned: frozenset[str]  # without a row, for good; kept, since it may be the only copy
    copies: frozenset[str]  # for players, made of the submissions' files; can be made again
    strays: frozenset[str]  # not a submission's file at all
    altered: frozenset[str] = frozenset()  # results that are not what was written; only a deep audit looks at them

    @property
    def sound(self) -> bool:
        """Whether nothing that was acknowledged is lost."""
        return not (self.missing or self.damaged or self.altered)


def audit(*, deep: bool = False) -> Audit:
    """Compare every row with its file. `deep` reads all bytes and results; otherwise a file of the right size is whole.

    Raises:
        queueing.exceptions.Infrastructure: the store can't be read, or is not there.
    """
    # Rows before files: a row that was read has its file. For files stored meanwhile the rows are read again.
    rows = set(Submission.objects.values_list("path", flat=True))
    faults = list(faulty(deep=deep))
    found = store.contents()
    unknown = found.originals - rows
    unknown -= set(Submission.objects.filter(path__in=unknown).values_list("path", flat=True))
    deleted = set(map(str, Deletion.objects.filter(files_gone_at=None).values_list("pk", flat=True)))
    everything = found.originals | found.copies | found.strays
    leaving = frozenset(path for path in everything if PurePath(path).parent.name in deleted)
    complete = {str(upload_id) for upload_id in intake.complete_but_not_handed_in()}
    arriving = frozenset(path for path in unknown if PurePath(path).parent.name in complete)
    return Audit(
        submissions=len(rows),
        missing=frozenset(pk for pk, code in faults if code == "file_missing"),
        damaged=frozenset(pk for pk, code in faults if code == "file_damaged"),
        arriving=arriving,
        leaving=leaving,
        orphaned=unknown - arriving - leaving,
        copies=found.copies - leaving,
        strays=found.strays - leaving,
        altered=frozenset(altered()) if deep else frozenset(),
    )


def faulty(*, deep: bool = False) -> Iterator[tuple[UUID, str]]:
    """The submissions whose file is at fault, with `file_missing` or `file_damaged`.

    Raises:
        queueing.exceptions.Infrastructure: as `audit`.
    """
    at_fault = _at_fault(deep=deep)
    while some := dict(islice(at_fault, CHUNK)):
        # The others were deleted meanwhile, file and all.
        there = Submission.objects.filter(pk__in=some).values_list("pk", flat=True)
        yield from ((pk, some[pk]) for pk in there)


def _at_fault(*, deep: bool) -> Iterator[tuple[UUID, str]]:
    rows = Submission.objects.filter(video_gone_at=None).order_by().values_list("pk", "path", "size", "sha256")
    for pk, path, size, sha256 in rows.iterator():
        try:
            store.verify(path, sha256) if deep else store.verify_size(path, size)
        except Permanent as fault:
            yield pk, fault.code


def altered() -> Iterator[str]:
    """The transcripts, forms and ratings whose checksum is another one than when they were written."""
    for model in (Transcript, Form, Evaluation):
        for row in model.objects.order_by().iterator(chunk_size=100):
            if is_altered(row):
                yield f"{row} (number {row.pk})"


def alarming() -> Counter[str]:
    """How many files are at fault by code, without those that nobody misses: of work that was made up by an engine.

    Raises:
        queueing.exceptions.Infrastructure: as `audit`.
    """
    faults = dict(faulty())
    made_up = Transcript.objects.filter(submission__in=faults, simulated=True).values_list("submission", flat=True)
    for pk in made_up:
        if faults[pk] == "file_missing":
            del faults[pk]
    return Counter(faults.values())
