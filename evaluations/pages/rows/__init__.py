"""What a person sees of the work on a submission: one row of a list, in words.

Page, push and poll are made from the same rows; reading them costs a handful of queries however many rows there are.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import ordinal
from django.db.models import F, OuterRef, Prefetch, QuerySet, Subquery
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from evaluations.errors import catalogue
from evaluations.models import EVALUATION, ReviewDecision, Submission
from evaluations.pages import progress
from evaluations.pages.rows.queue_view import QueueView
from evaluations.stages.names import Stage
from queueing import pipelines
from queueing.forecast.published import Estimate
from queueing.models import Breaker, Forecast, Pause, Phase, Task, Worker
from queueing.models.nodes import holding_up_work
from queueing.report import estimates
from queueing.states import LIVE, State

_LONG: Final = ("transcript__text", "transcript__segments")  # of a transcript rows show its language alone
HELD: Final = gettext_lazy("Your teacher looks at it first.")


@dataclass(frozen=True, slots=True)
class StageMark:
    """One of the stages a submission goes through: `done`, `current` or `ahead`."""

    label: str
    mark: str


@dataclass(frozen=True, slots=True)
class RatingMark:
    """What a row needs to know of the rating that counts."""

    is_there: bool
    is_released: bool
    decided: int  # the newest decision on the submission: what people decide changes a row as its task does; 0: none


@dataclass(frozen=True, slots=True)
class SubmissionRow:
    """One submission and where it is."""

    submission: Submission
    task: Task
    queue: QueueView
    rating: RatingMark
    score: str = ""  # of a rating that its student may see, with the change since the last one; see `_with_scores`

    @property
    def position(self) -> int | None:
        """0 = its last stage is being worked on, n = n-th to get its result, None = not in line."""
        # The line was read before the task, which may have ended in between.
        return self.queue.line.positions.get(self.task.pk) if self.is_live else None

    @property
    def is_live(self) -> bool:
        return self.task.state in LIVE

    @property
    def place(self) -> str:
        """Its place in the line, in words; empty when it isn't in the line."""
        if self.position is None:
            return ""
        if self.position:
            places = {"place": ordinal(self.position), "waiting": self.queue.line.length()}
            return _("%(place)s of %(waiting)s") % places
        return _("started, on hold") if self.is_on_hold else _("being worked on")

    @property
    def is_on_hold(self) -> bool:
        """Whether the worker that claimed it is no longer alive: nothing is done until another one claims it."""
        return self.task.state == State.RUNNING and self.task.worker_id not in self.queue.workers

    @property
    def estimate(self) -> Estimate | None:
        """How long until its result is there; None: not known, or it has ended."""
        return self.queue.forecast.of(self.task.pk) if self.is_live and self.queue.can_estimate else None

    @property
    def estimated_completion(self) -> datetime | None:
        """When its result is expected: the middle of the estimate."""
        found = self.estimate
        if found is None:
            return None
        at = self.queue.forecast.made_at + timedelta(seconds=(found.low_seconds + found.high_seconds) / 2)
        return at.replace(microsecond=0)

    @property
    def percent(self) -> int | None:
        """How much of its whole way is done, by the forecast; it never shrinks. None: it ended without a result."""
        if self.is_live:
            return int(100 * self.queue.forecast.share_of(self.task.pk))
        return 100 if self.task.state == State.DONE else None

    @property
    def time_left(self) -> str:
        """The same in words; empty when it has ended or the work is stopped."""
        return estimates.spoken(self.estimate) if self.is_live and self.queue.can_estimate else ""

    @property
    def situation(self) -> str:
        """What happens to it, or why it waits, in a sentence; empty when it has ended."""
        return self.queue.situation(self.task) if self.is_live else ""

    @property
    def put_ahead(self) -> str:
        """Why its place may have risen; empty when it can't have."""
        return self.queue.put_ahead(self.task.pk) if self.position else ""

    @property
    def why(self) -> str:
        """Why it waits, or why the work on it or its release is on hold; empty while it makes progress or has ended."""
        if self.is_held:
            return str(HELD)
        waits = self.task.state == State.QUEUED or self.is_on_hold
        return " ".join(filter(None, [self.situation, self.put_ahead])) if waits else ""

    @property
    def step(self) -> str:
        """Which of its steps it is in, in words."""
        marks = [stage.mark for stage in self.stages]
        return _("step %(number)s of %(count)s") % {"number": marks.index("current") + 1, "count": len(marks)}

    @property
    def stages(self) -> list[StageMark]:
        specs = pipelines.get(self.task.pipeline).stages
        names = [spec.name for spec in specs]
        here = len(names) if self.task.state == State.DONE else names.index(self.task.stage)
        marks = ["done"] * here + ["current"] + ["ahead"] * len(names)
        return [StageMark(str(spec.verbose_name), mark) for spec, mark in zip(specs, marks, strict=False)]

    @property
    def has_progress(self) -> bool:
        return self.task.state == State.RUNNING and self.task.progress_total > 0 and not self.is_on_hold

    @property
    def error(self) -> catalogue.Explanation | None:
        """Why it failed, or why it is tried again; with what is special about the case."""
        if not self.task.error_code:
            return None
        found = catalogue.explain(self.task.error_code)
        return replace(found, what=f"{found.what} {self.detail}".rstrip())

    @property
    def detail(self) -> str:
        """A sentence on its very error: the limit that it passed, or the language that it was heard to be in."""
        transcript = getattr(self.submission, "transcript", None)
        return catalogue.detail(
            self.task.error_code,
            max_seconds=self.submission.classroom.max_duration_seconds,
            language=transcript.language if transcript else "",
            probability=transcript.language_probability if transcript else 0.0,
        )

    @property
    def error_id(self) -> str:
        """The number that a student gives a teacher, who finds the task by it."""
        return f"{self.task.pk}-{self.task.sequence}"

    @property
    def version(self) -> str:
        """Differs whenever what there is to see of the submission does: by its task, or by what people decided."""
        return f"{self.task.sequence}-{self.rating.decided}"

    @property
    def is_held(self) -> bool:
        """Whether it is done, and a person has yet to look before the student sees its scores."""
        return self.task.state == State.DONE and self.rating.is_there and not self.rating.is_released

    @property
    def words(self) -> str:
        """Its name and status, as they are announced."""
        words = f"{self.submission.original_name}: {self.task.status.label}"
        return f"{words}. {HELD}" if self.is_held else words

    @property
    def toast(self) -> str:
        """What a page says when the work on it has ended; empty before, and when it was cancelled."""
        name = {"name": self.submission.original_name}
        if self.task.state == State.FAILED and self.error and not self.is_safe:
            return _("%(name)s could not be finished. %(reason)s.") % {**name, "reason": self.error.title}
        if self.task.state == State.FAILED:
            return _("%(name)s could not be finished. The video is safe.") % name
        if self.task.state != State.DONE:
            return ""
        if self.is_held:
            return _("%(name)s is rated. Your teacher looks at it first.") % name
        return _("The result of %(name)s is ready.") % name

    @property
    def can_retry(self) -> bool:
        return self.task.state in (State.FAILED, State.CANCELLED)

    @property
    def needs_another(self) -> bool:
        """Whether the file is at fault, so that retrying it is of little use."""
        return self.task.state == State.FAILED and self.task.error_code in catalogue.OF_THE_FILE

    @property
    def is_safe(self) -> bool:
        """Whether there is a recording that is kept; unknown until it has been read, and assumed until then."""
        return self.task.error_code not in catalogue.OF_THE_FILE | catalogue.LOST

    @property
    def kept(self) -> str:
        """What earlier stages produced, so that a failure is not taken for a loss."""
        found = {Stage.EXTRACT: _("The transcript is ready."), Stage.RATE: _("The transcript and the form are ready.")}
        return found.get(Stage(self.task.stage), "")


def read_queue() -> QueueView:
    """The line, the phases and the workers, read once for any number of rows."""
    workers = list(Worker.objects.with_silence())
    alive = {worker.pk: worker.node for worker in workers if worker.is_alive}
    whole = Task.objects.line()
    return QueueView(
        line=whole.of(EVALUATION),
        whole=whole,
        phases=tuple(Phase.objects.order_by("node")),
        workers=alive,
        silences={worker.pk: worker.silence.total_seconds() for worker in workers if not worker.is_alive},
        forecast=Forecast.objects.current(),
        pauses=tuple(Pause.objects.active().filter(holding_up_work()).order_by("since")),
        silent_servers=tuple(Breaker.objects.open()),
    )


def of_student(user: User, queue: QueueView) -> list[SubmissionRow]:
    """All of a student's submissions, the newest first."""
    return of(Submission.objects.of_student(user), queue)


Known = set[tuple[int, int, int]]  # tasks' keys, each with its sequence and `RatingMark.decided` when last read


@dataclass(frozen=True, slots=True)
class StudentRows:
    """A student's tasks, and the rows of those that may have changed."""

    tasks: frozenset[int]  # the keys of all of them
    changed: tuple[SubmissionRow, ...]  # those that may look different by now, the newest first


def read_students(known: Mapping[int, Known], queue: QueueView) -> dict[int, StudentRows]:
    """The rows of each student in `known` that changed since then, by a few statements for all of them together.

    A live row is always among the changed: it moves without its own sequence, by its progress and its place in line.
    """
    tasks = Task.objects.filter(pipeline=EVALUATION, submission__student__in=known).order_by("pk")
    owned: dict[int, set[int]] = defaultdict(set)
    moved: dict[uuid.UUID, int] = {}  # a submission's newest task represents it
    ratings: dict[uuid.UUID, RatingMark] = {}
    fields = ("submission__student", "submission", "pk", "sequence", "state")
    rating_fields = ("submission__evaluation", "submission__evaluation__released_at", "decided")
    read = tasks.annotate(decided=_newest("submission")).values_list(*fields, *rating_fields)
    for student, submission, pk, sequence, state, *rating in read:
        owned[student].add(pk)
        moved.pop(submission, None)
        ratings[submission] = _mark(*rating)
        if state in LIVE or (pk, sequence, ratings[submission].decided) not in known[student]:
            moved[submission] = pk
    found: list[SubmissionRow] = []
    # One statement with everything: for three hundred rows a prefetch costs more than the statement.
    shown = Task.objects.filter(pk__in=moved.values()).select_related("submission__classroom", "batch", "worker")
    shown = shown.select_related("submission__transcript").defer(*(f"submission__{name}" for name in _LONG))
    for task in shown.order_by("-submission__created_at", "-submission"):
        found.append(SubmissionRow(task.submission, task, queue, ratings[task.submission.pk]))
    changed: dict[int, list[SubmissionRow]] = defaultdict(list)
    for row in _with_scores(found):
        changed[row.submission.student_id].append(row)
    return {student: StudentRows(frozenset(owned[student]), tuple(changed[student])) for student in known}


def of(submissions: QuerySet[Submission], queue: QueueView, *, whole: bool = False) -> list[SubmissionRow]:
    """Rows for `submissions`, in their order; none for a submission that has no task yet. `whole`: with transcripts."""
    newest = Task.objects.filter(pipeline=EVALUATION).select_related("batch", "worker").order_by("-pk")
    found = submissions.select_related("classroom", "student", "transcript")
    found = found if whole else found.defer(*_LONG)
    found = found.prefetch_related(Prefetch("tasks", queryset=newest))
    annotated = found.annotate(released_at=F("evaluation__released_at"), decided=_newest("pk"))
    return _with_scores(list(_rows(annotated, queue)))


def one(submission: Submission) -> SubmissionRow:
    """Its row as it is now.

    Raises:
        Submission.DoesNotExist: it was deleted meanwhile.
    """
    for row in of(Submission.objects.filter(pk=submission.pk), read_queue()):
        return row
    raise Submission.DoesNotExist


def render(row: SubmissionRow, *, theirs: bool = False) -> str:
    """The HTML that page, push and poll share; `theirs` when the reader is not the submission's student."""
    return render_to_string("evaluations/_submission_row.html", {"row": row, "theirs": theirs})


def _rows(submissions: Iterable[Any], queue: QueueView) -> Iterable[SubmissionRow]:
    """Of submissions with their tasks and the annotations that `of` adds."""
    for submission in submissions:
        tasks = list(submission.tasks.all())
        if tasks:
            mark = _mark(submission.evaluation_id, submission.released_at, submission.decided)
            yield SubmissionRow(submission, tasks[0], queue, mark)


def _with_scores(rows: list[SubmissionRow]) -> list[SubmissionRow]:
    """The rows, those with a released rating with their scores; by two queries, if there are any such rows."""
    released = [row.submission for row in rows if row.task.state == State.DONE and row.rating.is_released]
    if not released:
        return rows
    scores = progress.scores_of(released)
    return [replace(row, score=scores.get(row.submission.pk, "")) for row in rows]


def _newest(submission: str) -> Subquery:
    """The newest decision on the submission that the field `submission` names."""
    return Subquery(ReviewDecision.objects.filter(submission=OuterRef(submission)).order_by("-pk").values("pk")[:1])


def _mark(evaluation: int | None, released_at: datetime | None, decided: int | None) -> RatingMark:
    return RatingMark(evaluation is not None, released_at is not None, decided or 0)
