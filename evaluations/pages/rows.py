"""What a person sees of the work on a submission: one row of a list, in words.

Page, push and poll are made from the same rows; reading them costs a handful of queries however many rows there are.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User
from django.contrib.humanize.templatetags.humanize import ordinal
from django.db.models import Prefetch, QuerySet
from django.template.loader import render_to_string
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from evaluations.errors import catalogue
from evaluations.models import Submission
from evaluations.stages.names import EVALUATION, Stage
from queueing import pipelines
from queueing.forecast.published import Estimate
from queueing.models import Breaker, Forecast, Pause, Phase, Task, Worker
from queueing.models.phase import SYSTEM
from queueing.report import estimates
from queueing.report.durations import spoken
from queueing.states import LIVE, PhaseName, PhaseStep, State

_DOING: Final = {
    "": pgettext_lazy("what a machine does", "working"),
    PhaseName.STT: pgettext_lazy("what a machine does", "transcribing"),
    PhaseName.EVAL: pgettext_lazy("what a machine does", "filling in forms and rating"),
}
_PAUSED: Final = {
    Pause.What.EVERYTHING: gettext_lazy("All work"),
    Pause.What.STT: gettext_lazy("Transcription"),
    Pause.What.EVAL: gettext_lazy("Rating"),
}


@dataclass(frozen=True, slots=True)
class QueueView:
    """The line as it is right now."""

    positions: dict[int, int]
    phases: tuple[Phase, ...]
    workers: frozenset[uuid.UUID]  # heard of lately
    nodes: frozenset[str]  # theirs
    silences: Mapping[uuid.UUID, float]  # seconds since others were heard of that have not said goodbye
    pauses: tuple[Pause, ...]
    forecast: Forecast
    silent_servers: tuple[Breaker, ...]  # of language models, that no task may call for now

    @property
    def waiting(self) -> int:
        return sum(place > 0 for place in self.positions.values())

    @property
    def running(self) -> int:
        return len(self.positions) - self.waiting

    @property
    def news(self) -> str:
        """What the machine is doing, in one sentence."""
        if not self.workers:
            return " ".join([self.absence, _("Videos are safe and wait.")])
        working = [f"{capfirst(words)}." for words in self._working()]
        if not self.positions:
            working = [] if self.pauses else [_("The GPU is waiting for work.")]
        return " ".join([*_pauses_words(self.pauses), *self._server_words(), *working])

    @property
    def absence(self) -> str:
        """That nobody does the work, in one sentence."""
        if not self.silences:
            return _("The computer that does the work is not running at the moment.")
        return _silence_words(min(self.silences.values()))

    @property
    def doing(self) -> str:
        """What the machines are at, to be said beside a place in the line: no sentence."""
        return ", ".join(self._working())

    def _working(self) -> list[str]:
        """A phase of a machine that is not heard of says what it did, not what it does."""
        return [_phase_words(phase) for phase in self.phases if phase.node in self.nodes and self._goes_on(phase)]

    @property
    def counts(self) -> str:
        """How many are in line, in one sentence."""
        if not self.positions:
            return _("Nobody is waiting.")
        figures = {"running": self.running, "waiting": self.waiting}
        if self.workers:
            return _("%(running)s being worked on, %(waiting)s waiting.") % figures
        return _("%(running)s begun, %(waiting)s waiting.") % figures

    def _server_words(self) -> list[str]:
        return [_silent_words(self.silent_servers)] if self.silent_servers else []

    def pause_of(self, phase: PhaseName) -> Pause | None:
        """What keeps every node from beginning such work."""
        here = {pause.node: pause for pause in self.pauses if pause.what in (phase, Pause.What.EVERYTHING)}
        everywhere = here.get("")
        return everywhere or (next(iter(here.values())) if here and self.nodes <= here.keys() else None)

    def _goes_on(self, phase: Phase) -> bool:
        """Not all at a standstill: a paused phase still finishes what runs."""
        return not phase.name or self.running > 0 or self.pause_of(PhaseName(phase.name)) is None

    @property
    def can_tell(self) -> bool:
        """Whether work goes on, so that how long it takes can be told. Pages say what stands in the way."""
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
class SubmissionRow:
    """One submission and where it is."""

    submission: Submission
    task: Task
    queue: QueueView

    @property
    def position(self) -> int | None:
        """0 = being worked on, n = n-th in line, None = nothing is going on."""
        # The line was read before the task, which may have ended in between.
        return self.queue.positions.get(self.task.pk) if self.is_live else None

    @property
    def is_live(self) -> bool:
        return self.task.state in LIVE

    @property
    def place(self) -> str:
        """Where in the line it is, in words; empty when it isn't in it."""
        if self.position is None:
            return ""
        if self.position:
            return _("%(place)s of %(waiting)s") % {"place": ordinal(self.position), "waiting": self.queue.waiting}
        return _("begun, not going on") if self.is_left_alone else _("being worked on")

    @property
    def is_left_alone(self) -> bool:
        """Whether the worker that has it has not been heard of for too long to believe that it goes on."""
        return self.task.state == State.RUNNING and self.task.worker_id not in self.queue.workers

    @property
    def estimate(self) -> Estimate | None:
        """How long until its result is there; None: not known, or it has ended."""
        return self.queue.forecast.of(self.task.pk) if self.is_live and self.queue.can_tell else None

    @property
    def time_left(self) -> str:
        """The same in words; empty when nothing goes on."""
        return estimates.spoken(self.estimate) if self.is_live and self.queue.can_tell else ""

    @property
    def why(self) -> str:
        """Why it waits, or what is odd about the work on it; empty when there is nothing to say."""
        if self.is_left_alone:
            silence = _silence_words(self.queue.silences.get(self.task.worker_id) if self.task.worker_id else None)
            safe = _("Your video is safe: work on it goes on when it is back, or another one takes over.")
            return f"{silence} {safe}"
        return _why_it_waits(self.task, self.queue, self.position) if self.task.state == State.QUEUED else ""

    @property
    def stages(self) -> list[StageMark]:
        specs = pipelines.get(self.task.pipeline).stages
        names = [spec.name for spec in specs]
        here = len(names) if self.task.state == State.DONE else names.index(self.task.stage)
        marks = ["done"] * here + ["current"] + ["ahead"] * len(names)
        return [StageMark(str(spec.words), mark) for spec, mark in zip(specs, marks, strict=False)]

    @property
    def has_progress(self) -> bool:
        return self.task.state == State.RUNNING and self.task.progress_total > 0 and not self.is_left_alone

    @property
    def error(self) -> catalogue.Explanation | None:
        """Why it failed, or why it is tried again."""
        return catalogue.explain(self.task.error_code) if self.task.error_code else None

    @property
    def error_id(self) -> str:
        """What a student can read out to a teacher, who finds the task by it."""
        return f"{self.task.pk}-{self.task.sequence}"

    @property
    def can_retry(self) -> bool:
        return self.task.state in (State.FAILED, State.CANCELLED)

    @property
    def needs_another(self) -> bool:
        """Whether trying the same file again is of little use."""
        return self.task.state == State.FAILED and self.task.error_code in catalogue.OF_THE_FILE

    @property
    def kept(self) -> str:
        """What earlier stages already found, so that a failure is not taken for a loss."""
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
        pauses=tuple(Pause.objects.active().order_by("since")),
        silent_servers=tuple(Breaker.objects.open()),
    )


def of_student(user: User, queue: QueueView) -> list[SubmissionRow]:
    """All of a student's submissions, the newest first."""
    return of(Submission.objects.of_student(user), queue)


Known = set[tuple[int, int]]  # tasks' keys, each with the sequence at which it was looked at last


@dataclass(frozen=True, slots=True)
class StudentRows:
    """What a student has."""

    tasks: frozenset[int]  # the keys of all of them
    changed: tuple[SubmissionRow, ...]  # those that may look different by now, the newest first


def standings(known: Mapping[int, Known], queue: QueueView) -> dict[int, StudentRows]:
    """How each student stands to whom something is known, by a few statements for all of them together.

    A live row is always among the changed: it moves without its own sequence, by its progress and its place in line.
    """
    tasks = Task.objects.filter(pipeline=EVALUATION, submission__student__in=known).order_by("pk")
    owned: dict[int, set[int]] = defaultdict(set)
    moved: dict[uuid.UUID, int] = {}  # a submission's newest task stands for it
    for student, submission, pk, sequence, state in tasks.values_list(
        "submission__student", "submission", "pk", "sequence", "state"
    ):
        owned[student].add(pk)
        moved.pop(submission, None)
        if state in LIVE or (pk, sequence) not in known[student]:
            moved[submission] = pk
    changed: dict[int, list[SubmissionRow]] = defaultdict(list)
    # One statement with everything: for three hundred rows a prefetch costs more than the statement.
    shown = Task.objects.filter(pk__in=moved.values()).select_related("submission__classroom", "batch", "worker")
    for task in shown.order_by("-submission__created_at", "-submission"):
        changed[task.submission.student_id].append(SubmissionRow(task.submission, task, queue))
    return {student: StudentRows(frozenset(owned[student]), tuple(changed[student])) for student in known}


def of(submissions: QuerySet[Submission], queue: QueueView) -> list[SubmissionRow]:
    """Rows for `submissions`, in their order. A submission without a task yet is not a row yet."""
    newest = Task.objects.filter(pipeline=EVALUATION).select_related("batch", "worker").order_by("-pk")
    found = submissions.select_related("classroom", "student").prefetch_related(Prefetch("tasks", queryset=newest))
    return list(_rows(found, queue))


def one(submission: Submission) -> SubmissionRow:
    """Its row as it is now.

    Raises:
        Submission.DoesNotExist: it was deleted meanwhile.
    """
    for row in of(Submission.objects.filter(pk=submission.pk), read_queue()):
        return row
    raise Submission.DoesNotExist


def render(row: SubmissionRow, *, theirs: bool = False) -> str:
    """The fragment that page, push and poll share; `theirs` if it is shown to somebody else than its student."""
    return render_to_string("evaluations/_submission_row.html", {"row": row, "theirs": theirs})


def _rows(submissions: Iterable[Submission], queue: QueueView) -> Iterable[SubmissionRow]:
    for submission in submissions:
        tasks = list(submission.tasks.all())
        if tasks:
            yield SubmissionRow(submission, tasks[0], queue)


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
    """How long the worker has been silent, in steps that don't tick; None if it was given up long ago."""
    if seconds is None:
        return _("The computer that does the work has not been heard of for a while.")
    if seconds >= 7200:
        return _("The computer that does the work has not been heard of for hours.")
    long = _("%(count)s s") % {"count": int(seconds // 10) * 10} if seconds < 120 else spoken(seconds // 60 * 60)
    return _("The computer that does the work has not been heard of for %(long)s.") % {"long": long}


def _pauses_words(pauses: Sequence[Pause]) -> list[str]:
    """Sentences on what rests, and that it costs nobody anything."""
    return [*map(_pause_words, pauses), *([_("Videos are safe and keep their place.")] if pauses else [])]


def _pause_words(pause: Pause) -> str:
    """What rests, why and until when; a machine's own reasons are for the admin."""
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
    """Where it is and what it said is for the admin."""
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
        return _("It is next.") if position == 1 else _("Others are before it.")
    return _("The GPU does one kind of work at a time; %(coming)s comes next.") % {"coming": _DOING[needed]}
