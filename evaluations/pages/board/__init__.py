"""A class as its teachers see it: one row per student, those who are missing too, in a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from django.contrib.auth.models import User
from django.http import QueryDict
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy

from evaluations.actions.decisions import Standing, standings
from evaluations.models import Classroom, Evaluation, ReviewDecision, Submission, shown_name
from evaluations.pages import rows
from evaluations.pages.rows import SubmissionRow
from evaluations.pages.rows.queue_view import QueueView
from evaluations.rating.reviewing import Reviewed
from queueing.states import LIVE, State

ALL: Final = "all"
APPEAL: Final = "appeal"
_UNSHOWN: Final = ("evaluation__provenance", "evaluation__speech")  # long, and nothing here shows them
_ORDER_OF_STATES: Final = (State.FAILED, None, State.QUEUED, State.RUNNING, State.CANCELLED, State.DONE)
"""By which `?sort=status` goes: first what a teacher can do something about; None is a student who is missing."""
_FLAGS: Final = {
    APPEAL: gettext_lazy("asks for another look"),
    "off_topic": gettext_lazy("off topic"),
    "spoken_instructions": gettext_lazy("talks to the rater"),
    "uncertain": pgettext_lazy("of a rating", "uncertain"),
    "doubtful": gettext_lazy("hard to hear"),
    "damaged": gettext_lazy("file damaged"),
}


@dataclass(frozen=True, slots=True)
class StudentRow:
    """One student, with the newest submission in front."""

    student: User
    shown: SubmissionRow | None  # None: nothing is handed in
    others: tuple[SubmissionRow, ...] = ()
    standing: Standing = field(default_factory=Standing)
    appeals: bool = False  # and nobody has answered yet

    @property
    def name(self) -> str:
        return shown_name(self.student)

    @property
    def state(self) -> State | None:
        return State(self.shown.task.state) if self.shown else None

    @property
    def evaluation(self) -> Evaluation | None:
        return self.shown.submission.evaluation if self.shown else None

    @property
    def reviewed(self) -> Reviewed | None:
        """The rating as it counts: with the decisions of people on top."""
        return self.standing.of(self.evaluation) if self.evaluation else None

    @property
    def score(self) -> float | None:
        return self.reviewed.overall if self.reviewed else None

    @property
    def by_person(self) -> bool:
        """Whether a person has decided anything about the score."""
        return bool(self.standing.items) or self.standing.overall is not None

    @property
    def flags(self) -> list[str]:
        """For the teacher, in few words; without the program's once somebody has reviewed it."""
        found = [APPEAL] if self.appeals else []
        if self.evaluation and not self.standing.is_reviewed:
            found += self.evaluation.flags
        return [str(_FLAGS[flag]) for flag in found]

    @property
    def is_released(self) -> bool:
        return self.evaluation is not None and self.evaluation.released_at is not None

    @property
    def is_to_review(self) -> bool:
        return self.appeals or (self.evaluation is not None and not self.standing.is_reviewed)


_FILTERS: Final[dict[str, tuple[Any, Callable[[StudentRow], bool]]]] = {
    ALL: (pgettext_lazy("students of a class", "All"), lambda row: True),
    "missing": (gettext_lazy("Missing"), lambda row: row.shown is None),
    "working": (pgettext_lazy("videos of a class", "Waiting or running"), lambda row: row.state in LIVE),
    "failed": (gettext_lazy("Failed"), lambda row: row.state == State.FAILED),
    "to-review": (gettext_lazy("To review"), lambda row: row.is_to_review),
    "unreleased": (
        gettext_lazy("Not released"),
        lambda row: row.evaluation is not None and not row.is_released,
    ),
    "done": (gettext_lazy("Done"), lambda row: row.state == State.DONE),
}
_SORTS: Final[dict[str, Callable[[StudentRow], Any]]] = {
    "name": lambda row: (row.name.casefold(), row.student.pk),
    # The lowest first, the newest first: what a teacher looks for. Who has none comes last.
    "score": lambda row: (row.score is None, row.score or 0.0),
    "handed-in": lambda row: -row.shown.submission.created_at.timestamp() if row.shown else 0.0,
    "status": lambda row: _ORDER_OF_STATES.index(row.state),
}


_DEFAULTS: Final = {"show": ALL, "sort": "name", "q": ""}


@dataclass(frozen=True, slots=True)
class Choice:
    """What the address asks to see; whatever can't be understood is left out."""

    show: str = ALL
    sort: str = "name"
    search: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> Choice:
        show, sort = query.get("show", ""), query.get("sort", "")
        # A database's text has no NUL, and a name is short.
        search = query.get("q", "").replace("\0", "").strip()[:100]
        return cls(show if show in _FILTERS else ALL, sort if sort in _SORTS else "name", search)

    def query(self, **changes: str) -> str:
        """The address's query for this choice with `changes`, as short as it can be."""
        wanted = replace(self, **changes)
        made = QueryDict(mutable=True)
        for key, value, default in (
            ("show", wanted.show, ALL),
            ("sort", wanted.sort, "name"),
            ("q", wanted.search, ""),
        ):
            if value != default:
                made[key] = value
        return f"?{made.urlencode()}"

    def finds(self, row: StudentRow) -> bool:
        words = self.search.casefold().split()
        name = f"{row.student.get_full_name()} {row.student.username}".casefold()
        return _FILTERS[self.show][1](row) and all(word in name for word in words)


@dataclass(frozen=True, slots=True)
class Filter:
    """One of the filters, with how many rows it has."""

    key: str
    label: str
    count: int
    query: str
    is_current: bool


@dataclass(frozen=True)
class Board:
    """All rows of a class, and those that somebody chose to see."""

    classroom: Classroom
    students: Sequence[StudentRow]
    queue: QueueView
    choice: Choice

    @cached_property
    def rows(self) -> list[StudentRow]:
        found = sorted(filter(self.choice.finds, self.students), key=_SORTS["name"])
        return sorted(found, key=_SORTS[self.choice.sort])

    @property
    def filters(self) -> list[Filter]:
        return [
            Filter(key, str(label), sum(map(fits, self.students)), self.choice.query(show=key), key == self.choice.show)
            for key, (label, fits) in _FILTERS.items()
        ]

    @property
    def sorts(self) -> dict[str, str]:
        """The address's query that sorts by each of them, in a template's words."""
        return {key.replace("-", "_"): self.choice.query(sort=key) for key in _SORTS}

    @property
    def failed(self) -> list[StudentRow]:
        return [row for row in self.students if row.state == State.FAILED]

    @property
    def summary(self) -> str:
        """“22 done · 4 failed · 4 missing · ready about 10:14”."""
        states = [row.state for row in self.students]
        live = sum(state in LIVE for state in states)
        done, failed, missing, cancelled = map(states.count, (State.DONE, State.FAILED, None, State.CANCELLED))
        counted = [
            (done, ngettext("%(count)s done", "%(count)s done", done)),
            (live, ngettext("%(count)s waiting or running", "%(count)s waiting or running", live)),
            (failed, ngettext("%(count)s failed", "%(count)s failed", failed)),
            (cancelled, ngettext("%(count)s cancelled", "%(count)s cancelled", cancelled)),
            (missing, ngettext("%(count)s missing", "%(count)s missing", missing)),
        ]
        # That nothing is done is a fact that is looked for; that nothing failed goes without saying.
        parts = [words % {"count": count} for place, (count, words) in enumerate(counted) if count or not place]
        if self.ready_at:
            parts.append(_("ready about %(time)s") % {"time": f"{localtime(self.ready_at):%H:%M}"})
        return " · ".join(parts)

    @property
    def ready_at(self) -> datetime | None:
        """When the last one of the class is rated, by the forecast; None: nothing is going on, or it is not known."""
        live = [each for row in self.students for each in (row.shown, *row.others) if each and each.is_live]
        ranges = [each.estimate for each in live]
        if not live or None in ranges:
            return None
        last = max(found.high_seconds for found in ranges if found)
        return self.queue.forecast.made_at + timedelta(seconds=last)

    @property
    def empty(self) -> str:
        """Why there is nothing, or nobody's video, to be seen; empty when there is."""
        if not self.students:
            return _("Nobody is in this class yet. Add students from a list, under “Students” above.")
        if not self.rows:
            return _("No student fits what you chose.")
        if not any(row.shown for row in self.students):
            return _("Nobody has handed in a video yet.")
        return ""


def of(classroom: Classroom, choice: Choice) -> Board:
    queue = rows.read_queue()
    return Board(classroom, students(classroom, queue), queue, choice)


def students(classroom: Classroom, queue: QueueView, *, whole: bool = False) -> list[StudentRow]:
    """Each student of the class, and whoever left it after handing in; by name.

    Args:
        whole: with the form and the whole transcript of each submission, for whoever shows more than a row.
    """
    handed_in = Submission.objects.filter(classroom=classroom).select_related("evaluation__rubric").defer(*_UNSHOWN)
    if whole:
        handed_in = handed_in.select_related("form")
    by_student: dict[int, list[SubmissionRow]] = defaultdict(list)
    for row in rows.of(handed_in, queue, whole=whole):
        by_student[row.submission.student_id].append(row)
    # Two lists by key: either or both, joined in one statement, would go through every account of the school.
    attending = classroom.students.filter(is_active=True).values_list("pk", flat=True)
    members = User.objects.filter(pk__in={*attending, *by_student})
    return sorted(_in_rows(members, by_student), key=_SORTS["name"])


def _in_rows(members: Iterable[User], by_student: Mapping[int, list[SubmissionRow]]) -> Iterable[StudentRow]:
    newest = [found[0].submission for found in by_student.values()]
    stand = standings([each.evaluation_id for each in newest if each.evaluation_id])
    appealing = _appealing(newest)
    for student in members:
        first, *others = by_student.get(student.pk, [None])
        if first is None:
            yield StudentRow(student, None)
            continue
        submission = first.submission
        standing = stand[submission.evaluation_id] if submission.evaluation_id else Standing()
        yield StudentRow(
            student, first, tuple(other for other in others if other), standing, submission.pk in appealing
        )


def _appealing(submissions: Sequence[Submission]) -> set[Any]:
    """Those whose student asked for another look that nobody has answered."""
    kinds = (ReviewDecision.Kind.APPEAL, ReviewDecision.Kind.ANSWER)
    found = ReviewDecision.objects.filter(submission__in=submissions, kind__in=kinds).order_by("pk")
    last = dict(found.values_list("submission", "kind"))
    return {submission for submission, kind in last.items() if kind == ReviewDecision.Kind.APPEAL}
