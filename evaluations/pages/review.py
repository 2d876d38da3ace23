"""The desk at which a teacher reviews a class: in which order, and what there is to decide on one submission."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User

from evaluations.actions import decisions
from evaluations.actions.appeals import Appeal
from evaluations.actions.decisions import Kind, Standing
from evaluations.models import Classroom, Evaluation, ReviewDecision, Submission, Transcript, corrected
from evaluations.pages import history, result
from evaluations.stages import rate

URGENT_FLAGS = (rate.SPOKEN_INSTRUCTIONS, rate.OFF_TOPIC, rate.UNCERTAIN, rate.DAMAGED, rate.DOUBTFUL)  # worst first


@dataclass(frozen=True, slots=True)
class ReviewEntry:
    """One rated submission in the line of those to be reviewed."""

    submission: Submission
    rating: Evaluation  # as it counts
    by_program: float | None  # its overall score
    standing: Standing
    appeal: Appeal | None
    unsupported: int  # claims of its form that the transcript doesn't say

    @property
    def is_appealed(self) -> bool:
        return self.appeal is not None and self.appeal.is_open

    @property
    def is_waiting(self) -> bool:
        """Whether a person has yet to look at it."""
        return self.is_appealed or not self.standing.is_reviewed

    @property
    def order(self) -> tuple[object, ...]:
        """Appeals, then what is not reviewed, then the rest; the worst first in each."""
        flags = tuple(flag not in self.rating.flags for flag in URGENT_FLAGS)
        score = 0.0 if self.rating.overall is None else self.rating.overall
        begun = self.submission.created_at
        waiting = (not self.is_appealed, not self.is_waiting)
        return (*waiting, *flags, -self.unsupported, score, begun, self.submission.pk)


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """The rated submissions of a class, in the order in which they are to be reviewed."""

    entries: tuple[ReviewEntry, ...]

    @property
    def reviewed(self) -> int:
        return sum(entry.standing.is_reviewed for entry in self.entries)

    @property
    def unreleased(self) -> int:
        return sum(entry.rating.released_at is None for entry in self.entries)

    def place(self, submission_id: uuid.UUID) -> int:
        """From 0.

        Raises:
            Submission.DoesNotExist: it isn't among them.
        """
        for place, entry in enumerate(self.entries):
            if entry.submission.pk == submission_id:
                return place
        raise Submission.DoesNotExist

    def at(self, place: int) -> ReviewEntry | None:
        return self.entries[place] if 0 <= place < len(self.entries) else None

    def waiting_after(self, submission_id: uuid.UUID) -> ReviewEntry | None:
        """The next one that waits for a person, from the beginning again after the last."""
        place = self.place(submission_id)
        rest = (*self.entries[place + 1 :], *self.entries[:place])
        return next((entry for entry in rest if entry.is_waiting), None)


def queue(classroom: Classroom) -> ReviewQueue:
    """By a constant number of queries."""
    rated = Submission.objects.filter(classroom=classroom, evaluation__isnull=False)
    found = list(rated.select_related("student", "evaluation", "form").defer("evaluation__provenance"))
    ratings = {one.pk: one.evaluation for one in found if one.evaluation}
    standing = decisions.standings(rating.pk for rating in ratings.values())
    asked: dict[uuid.UUID, list[ReviewDecision]] = defaultdict(list)
    for made in ReviewDecision.objects.filter(submission__in=found, kind__in=(Kind.APPEAL, Kind.ANSWER)):
        asked[made.submission_id].append(made)
    entries = [
        ReviewEntry(
            submission=one,
            rating=decisions.as_it_counts(ratings[one.pk], standing[ratings[one.pk].pk]),
            by_program=ratings[one.pk].overall,
            standing=standing[ratings[one.pk].pk],
            appeal=Appeal.after(asked[one.pk]),
            unsupported=len(one.form.unsupported) if hasattr(one, "form") else 0,
        )
        for one in found
    ]
    return ReviewQueue(tuple(sorted(entries, key=lambda entry: entry.order)))


def of(found: Submission, viewer: User) -> dict[str, Any]:
    """The context of `_review.html`.

    Raises:
        Submission.DoesNotExist: it isn't rated.
    """
    decided = list(found.decisions.select_related("by"))  # first: what is shown is at least as new as `seen` says
    line = queue(found.classroom)
    place = line.place(found.pk)
    entry = line.entries[place]
    transcript = Transcript.objects.filter(submission=found).first()
    return {
        "submission": found,
        "classroom": found.classroom,
        "transcript": transcript and corrected(transcript, decided),
        "entry": entry,
        "evaluation": entry.rating,
        "by_program": entry.by_program if entry.standing.overall is not None else None,
        "scores": result.scores(entry.rating),
        "standing": entry.standing,
        "seen": decided[-1].pk if decided else 0,
        "asked": entry.appeal,
        "place": place + 1,
        "count": len(line.entries),
        "unreleased": line.unreleased,
        "reviewed": line.reviewed,
        "previous": line.at(place - 1),
        "next": line.at(place + 1),
        "decisions": history.lines(found, viewer, decided),
    }
