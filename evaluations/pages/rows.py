"""What a person sees of the work on a submission: one row of a list, in words.

Page, push and poll are made from the same rows; reading them costs a handful of queries however many rows there are.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import ordinal
from django.db.models import F, OuterRef, Prefetch, QuerySet, Subquery
from django.template.loader import render_to_string
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from evaluations.errors import catalogue
from evaluations.models import EVALUATION, ReviewDecision, Submission
from evaluations.pages import progress
from evaluations.stages.names import Stage
from queueing import pipelines
from queueing.forecast.published import Estimate
from queueing.models import Breaker, Forecast, Pause, Phase, Task, Worker
from queueing.models.nodes import holding_up_work
from queueing.models.phase import SYSTEM
from queueing.report import estimates
from queueing.report.durations import spoken
from queueing.states import LIVE, PhaseName, PhaseStep, State

_DOING: Final = {
    "": pgettext_lazy("what a machine does", "working"),
    PhaseName.STT: pgettext_lazy("what a machine does", "transcribing"),
    PhaseName.EVAL: pgettext_lazy("what a machine does", "filling in forms and rating"),
}
_LONG: Final = ("transcript__text", "transcript__segments")  # of a transcript rows show its language alone
_PAUSED: Final = {
    Pause.What.EVERYTHING: gettext_lazy("All work"),
    Pause.What.STT: gettext_lazy("Transcription"),
    Pause.What.EVAL: gettext_lazy("Rating"),
}
HELD: Final = gettext_lazy("Your teacher looks at it first.")


@dataclass(frozen=True, slots=True)
class QueueView:
    """The line as it is right now."""

    positions: dict[int, int]
    phases: tuple[Phase, ...]
    workers: frozenset[uuid.UUID]  # alive, by their heartbeats
    nodes: frozenset[str]  # theirs
    silences: Mapping[uuid.UUID, float]  # of those that neither are nor stopped: seconds since then
    pauses: tuple[Pause, ...]
    forecast: Forecast
    silent_servers: tuple[Breaker, ...]  # of language models, with an open breaker

    @property
    def waiting(self) -> int:
        return sum(place > 0 for place in self.positions.values())

    @property
    def running(self) -> int:
        return len(self.positions) - self.waiting

    @property
    def activity(self) -> str:
        """What the machines are doing, in sentences."""
        if not self.workers:
            return " ".join([self.absence, _("Videos are safe and wait.")])
        working = [f"{capfirst(words)}." for words in self._working()]
        if not self.positions:
            working = [] if self.pauses else [_("The GPU is waiting for work.")]
        return " ".join([*_pauses_words(self.pauses), *self._server_words(), *working])

    @property
    def absence(self) -> str:
        """That no worker is alive, in one sentence."""
        if not self.silences:
            return _("The computer that does the work is not running at the moment.")
        return _silence_words(min(self.silences.values()))

    @property
    def doing(self) -> str:
        """What the machines are doing, as a phrase to be shown beside a place in the line."""
        return ", ".join(self._working())

    def _working(self) -> list[str]:
        """Of machines with a live worker only: the phase of another one is what it did last, not what it does."""
        return [_phase_words(phase) for phase in self.phases if phase.node in self.nodes and self._is_working(phase)]

    @property
    def counts(self) -> str:
        """How many are in line, in one sentence."""
        if not self.positions:
            return _("Nobody is waiting.")
        figures = {"running": self.running, "waiting": self.waiting}
        if self.workers:
            return _("%(running)s being worked on, %(waiting)s waiting.") % figures
        return _("%(running)s started, %(waiting)s waiting.") % figures

    def _server_words(self) -> list[str]:
        return [_silent_words(self.silent_servers)] if self.silent_servers else []

    def pause_of(self, phase: PhaseName) -> Pause | None:
        """The pause, if any, that keeps every node from starting work of `phase`."""
        here = {pause.node: pause for pause in self.pauses if pause.what in (phase, Pause.What.EVERYTHING)}
        everywhere = here.get("")
        return everywhere or (next(iter(here.values())) if here and self.nodes <= here.keys() else None)

    def _is_working(self, phase: Phase) -> bool:
        """Whether work of the phase can still be done: a paused phase finishes what runs."""
        return not phase.name or self.running > 0 or self.pause_of(PhaseName(phase.name)) is None

    @property
    def can_estimate(self) -> bool:
        """Whether nothing stops the work, so that its duration can be estimated. Else pages show what stops it."""
        stuck = any(phase.step == PhaseStep.BLOCKED for phase in self.phases if phase.node in self.nodes)
        return bool(self.workers) and not (self.pauses or self.silent_servers or stuck)

    def serves(self, phase: PhaseName) -> bool:
        return any(row.name == phase and row.step == PhaseStep.ACTIVE for row in self.phases if row.node in self.nodes)


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
        """0 = being worked on, n = n-th in line, None = not in line."""
        # The line was read before the task, which may have ended in between.
        return self.queue.positions.get(self.task.pk) if self.is_live else None

    @property
    def is_live(self) -> bool:
        return self.task.state in LIVE

    @property
    def place(self) -> str:
        """Its place in the line, in words; empty when it isn't in the line."""
        if self.position is None:
            return ""
        if self.position:
            return _("%(place)s of %(waiting)s") % {"place": ordinal(self.position), "waiting": self.queue.waiting}
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
    def time_left(self) -> str:
        """The same in words; empty when it has ended or the work is stopped."""
        return estimates.spoken(self.estimate) if self.is_live and self.queue.can_estimate else ""

    @property
    def why(self) -> str:
        """Why it waits, or why the work on it or its release is on hold; empty while it makes progress or has ended."""
        if self.is_on_hold:
            silence = _silence_words(self.queue.silences.get(self.task.worker_id) if self.task.worker_id else None)
            safe = _("Your video is safe: work on it goes on when it is back, or another one takes over.")
            return f"{silence} {safe}"
        if self.is_held:
            return str(HELD)
        return _why_it_waits(self.task, self.queue, self.position) if self.task.state == State.QUEUED else ""

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
    return QueueView(
        positions=Task.objects.filter(pipeline=EVALUATION).positions(),
        phases=tuple(Phase.objects.order_by("node")),
        workers=frozenset(alive),
        nodes=frozenset(alive.values()),
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


def _phase_words(phase: Phase) -> str:
    changing = _("the GPU is changing over to %(coming)s")
    words = {
        PhaseStep.IDLE: _("the GPU is waiting for work"),
        PhaseStep.LOADING: _("the GPU is getting ready for %(coming)s"),
        PhaseStep.ACTIVE: _("the GPU is %(now)s"),
        PhaseStep.DRAINING: _("the GPU is finishing what it has begun, before it goes on with %(coming)s"),
        PhaseStep.UNLOADING: changing,
        PhaseStep.VERIFYING: changing,
        PhaseStep.BLOCKED: _("the GPU is stuck at the moment; it tries again by itself"),
    }[PhaseStep(phase.step)]
    return words % {"now": _DOING[phase.name], "coming": _DOING[phase.target or phase.name]}


def _silence_words(seconds: float | None) -> str:
    """How long the worker has sent no heartbeat, rounded so that the text seldom changes; None: not known."""
    if seconds is None:
        return _("The computer that does the work has not been heard of for a while.")
    if seconds >= 7200:
        return _("The computer that does the work has not been heard of for hours.")
    long = _("%(count)s s") % {"count": int(seconds // 10) * 10} if seconds < 120 else spoken(seconds // 60 * 60)
    return _("The computer that does the work has not been heard of for %(long)s.") % {"long": long}


def _pauses_words(pauses: Sequence[Pause]) -> list[str]:
    """Sentences on what is paused, and that nobody loses their place by it."""
    return [*map(_pause_words, pauses), *([_("Videos are safe and keep their place.")] if pauses else [])]


def _pause_words(pause: Pause) -> str:
    """What is paused, why and until when; the technical reasons of automatic pauses are for the admin."""
    facts = {"what": _PAUSED[Pause.What(pause.what)], "node": pause.node, "reason": pause.reason.rstrip(".")}
    if pause.by == SYSTEM:
        words = _("%(what)s rests for a moment, because the machine has a problem of its own; it goes on by itself.")
        return words % facts
    if pause.until is None:
        words = _("%(what)s on %(node)s is paused: %(reason)s.") if pause.node else _("%(what)s is paused: %(reason)s.")
        return words % facts
    words = _("%(what)s is paused until %(time)s: %(reason)s.")
    if pause.node:
        words = _("%(what)s on %(node)s is paused until %(time)s: %(reason)s.")
    return words % (facts | {"time": f"{localtime(pause.until):%H:%M}"})


def _silent_words(servers: Sequence[Breaker]) -> str:
    """That a language model's server is down; its address and error are for the admin."""
    if any(server.given_up for server in servers):
        return _(
            "The language model does not answer, and restarting it did not help: please tell whoever looks after the"
            " machine. Videos are safe; work goes on by itself when it is back."
        )
    return _("The language model does not answer at the moment; work goes on by itself when it is back.")


def _why_it_waits(task: Task, queue: QueueView, position: int | None) -> str:
    if not queue.workers:
        return " ".join([queue.absence, _("Your video is safe: work on it goes on by itself.")])
    needed = pipelines.get(task.pipeline).stage(task.stage).phase
    if pause := queue.pause_of(needed):
        return " ".join(_pauses_words([pause]))
    if queue.silent_servers and needed == PhaseName.EVAL:
        return _silent_words(queue.silent_servers)
    if task.error_code:
        return _("It did not work this time and is tried again in a moment.")
    if any(phase.step == PhaseStep.BLOCKED for phase in queue.phases):
        return _("The GPU is stuck at the moment; it tries again by itself.")
    if queue.serves(needed):
        return _("It is next.") if position == 1 else _("Others are ahead of you.")
    return _("The GPU does one kind of work at a time; %(coming)s comes next.") % {"coming": _DOING[needed]}
