"""What a person sees of the work on a submission: one row of a list, in words.

Page, push and poll are made from the same rows; reading them costs a handful of queries however many rows there are.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import User
from django.db.models import Max, Prefetch, QuerySet, Sum
from django.utils.timezone import localtime

from evaluations import errors
from evaluations.models import Submission
from queueing import pipelines
from queueing.models import Breaker, Event, Pause, Phase, Task, Worker
from queueing.models.phase import SYSTEM
from queueing.states import LIVE, PhaseName, Stage, State, Step

SILENT_SECONDS: Final = 30  # a worker that was not heard of for so long is said to be away
_DOING: Final = {PhaseName.STT: "transcribing", PhaseName.EVAL: "filling in forms and rating"}


@dataclass(frozen=True, slots=True)
class Queue:
    """The line as it is right now."""

    positions: dict[int, int]
    phases: tuple[Phase, ...]
    workers: frozenset[uuid.UUID]  # heard of lately
    nodes: frozenset[str]  # theirs
    pauses: tuple[Pause, ...]
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
            return "No worker is running at the moment. Videos are safe and wait."
        working = [_phase_words(phase) for phase in self.phases if self._goes_on(phase)]
        if not self.positions:
            working = [] if self.pauses else ["The GPU is waiting for work."]
        return " ".join([*_pauses_words(self.pauses), *self._server_words(), *working])

    @property
    def counts(self) -> str:
        """How many are in line, in one sentence."""
        if not self.positions:
            return "Nobody is waiting."
        return f"{self.running} being worked on, {self.waiting} waiting."

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

    def serves(self, phase: PhaseName) -> bool:
        return any(row.name == phase and row.step == Step.ACTIVE for row in self.phases)


@dataclass(frozen=True, slots=True)
class StageMark:
    """One of the stages a submission goes through: `done`, `current` or `ahead`."""

    label: str
    mark: str


@dataclass(frozen=True, slots=True)
class Row:
    """One submission and where it is."""

    submission: Submission
    task: Task
    queue: Queue

    @property
    def position(self) -> int | None:
        """0 = being worked on, n = n-th in line, None = nothing is going on."""
        return self.queue.positions.get(self.task.pk)

    @property
    def is_live(self) -> bool:
        return self.task.state in LIVE

    @property
    def place(self) -> str:
        """Where in the line it is, in words; empty when it isn't in it."""
        if self.position is None:
            return ""
        return f"{ordinal(self.position)} in line of {self.queue.waiting}" if self.position else "being worked on"

    @property
    def why(self) -> str:
        """Why it waits, or what is odd about the work on it; empty when there is nothing to say."""
        if self.task.state == State.RUNNING:
            silent = self.task.worker_id not in self.queue.workers
            return (
                "The worker has not been heard of for a while; another one takes over if it stays away."
                if silent
                else ""
            )
        return _why_it_waits(self.task, self.queue, self.position) if self.task.state == State.QUEUED else ""

    @property
    def stages(self) -> list[StageMark]:
        names = [Stage(stage.name) for stage in pipelines.get(self.task.pipeline).stages]
        here = len(names) if self.task.state == State.DONE else names.index(Stage(self.task.stage))
        marks = ["done"] * here + ["current"] + ["ahead"] * len(names)
        return [StageMark(str(name.label), mark) for name, mark in zip(names, marks, strict=False)]

    @property
    def has_progress(self) -> bool:
        return self.task.state == State.RUNNING and self.task.progress_total > 0

    @property
    def error(self) -> errors.Explanation | None:
        """Why it failed, or why it is tried again."""
        return errors.explain(self.task.error_code) if self.task.error_code else None

    @property
    def error_id(self) -> str:
        """What a student can read out to a teacher, who finds the task by it."""
        return f"{self.task.pk}-{self.task.sequence}"

    @property
    def can_retry(self) -> bool:
        return self.task.state in (State.FAILED, State.CANCELLED)

    @property
    def kept(self) -> str:
        """What earlier stages already found, so that a failure is not taken for a loss."""
        return {Stage.EXTRACT: "The transcript is ready.", Stage.RATE: "The transcript and the form are ready."}.get(
            Stage(self.task.stage), ""
        )


def read_queue() -> Queue:
    """The line, the phases and the workers, read once for any number of rows."""
    workers = dict(Worker.alive(SILENT_SECONDS).values_list("pk", "node"))
    return Queue(
        positions=Task.objects.positions(),
        phases=tuple(Phase.objects.order_by("node")),
        workers=frozenset(workers),
        nodes=frozenset(workers.values()),
        pauses=tuple(Pause.objects.active().order_by("since")),
        silent_servers=tuple(Breaker.objects.open()),
    )


def of_student(user: User, queue: Queue) -> list[Row]:
    """All of a student's submissions, the newest first."""
    return of(Submission.objects.of_student(user), queue)


def moving(user: User, queue: Queue, known: Mapping[int, int]) -> list[Row]:
    """Those of a student's rows that may have changed: live ones, and tasks whose sequence is not the `known` one.

    A live row moves without its own sequence: by its progress and by its place in the line.
    """
    mine = Task.objects.filter(submission__student=user).values_list("submission", "pk", "sequence", "state")
    changed = {row for row, pk, sequence, state in mine if state in LIVE or known.get(pk) != sequence}
    return of(Submission.objects.filter(pk__in=changed), queue)


def gone(user: User, known: Collection[int]) -> set[int]:
    """Those of the `known` tasks of a student that were deleted."""
    return set(known) - set(Task.objects.filter(submission__student=user).values_list("pk", flat=True))


def of(submissions: QuerySet[Submission], queue: Queue) -> list[Row]:
    """Rows for `submissions`, in their order. A submission without a task yet is not a row yet."""
    newest = Task.objects.filter(pipeline="evaluation").select_related("batch", "worker").order_by("-pk")
    found = submissions.select_related("classroom", "student").prefetch_related(Prefetch("tasks", queryset=newest))
    return list(_rows(found, queue))


def _rows(submissions: Iterable[Submission], queue: Queue) -> Iterable[Row]:
    for submission in submissions:
        tasks = list(submission.tasks.all())
        if tasks:
            yield Row(submission, tasks[0], queue)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, … 11th, 12th, 13th, … 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def last_change() -> tuple[int, float, int]:
    """A value that differs whenever something in the queue moved: an event, running work, a pause that ran out."""
    newest = Event.objects.aggregate(pk=Max("pk"))["pk"] or 0
    progress = Task.objects.filter(state=State.RUNNING).aggregate(done=Sum("progress_done"))["done"] or 0.0
    return newest, progress, Pause.objects.active().count()


def _phase_words(phase: Phase) -> str:
    now = _DOING.get(PhaseName(phase.name), "working") if phase.name else "working"
    coming = _DOING.get(PhaseName(phase.target), "working") if phase.target else now
    return {
        Step.IDLE: "The GPU is waiting for work.",
        Step.LOADING: f"The GPU is getting ready for {coming}.",
        Step.ACTIVE: f"The GPU is {now}.",
        Step.DRAINING: f"The GPU is finishing what it has begun, before it goes on with {coming}.",
        Step.UNLOADING: f"The GPU is changing over to {coming}.",
        Step.VERIFYING: f"The GPU is changing over to {coming}.",
        Step.BLOCKED: "The GPU is stuck at the moment; it tries again by itself.",
    }[Step(phase.step)]


def _pauses_words(pauses: Sequence[Pause]) -> list[str]:
    """Sentences on what rests, and that it costs nobody anything."""
    return [*map(_pause_words, pauses), *(["Videos are safe and keep their place."] if pauses else [])]


def _pause_words(pause: Pause) -> str:
    """What rests, why and until when; a machine's own reasons are for the admin."""
    what = {Pause.What.STT: "Transcription", Pause.What.EVAL: "Rating"}.get(Pause.What(pause.what), "All work")
    if pause.by == SYSTEM:
        return f"{what} rests for a moment, because the machine has a problem of its own; it goes on by itself."
    until = f" until {localtime(pause.until):%H:%M}" if pause.until else ""
    where = f" on {pause.node}" if pause.node else ""
    return f"{what}{where} is paused{until}: {pause.reason.rstrip('.')}."


def _silent_words(servers: Sequence[Breaker]) -> str:
    """Where it is and what it said is for the admin."""
    if any(server.given_up for server in servers):
        return (
            "The language model does not answer, and restarting it did not help: please tell whoever looks after the"
            " machine. Videos are safe; work goes on by itself when it is back."
        )
    return "The language model does not answer at the moment; work goes on by itself when it is back."


def _why_it_waits(task: Task, queue: Queue, position: int | None) -> str:
    if not queue.workers:
        return "No worker is running at the moment; it goes on as soon as one does."
    needed = pipelines.get(task.pipeline).stage(task.stage).phase
    if pause := queue.pause_of(needed):
        return " ".join(_pauses_words([pause]))
    if queue.silent_servers and needed == PhaseName.EVAL:
        return _silent_words(queue.silent_servers)
    if task.error_code:
        return "It did not work this time and is tried again in a moment."
    if any(phase.step == Step.BLOCKED for phase in queue.phases):
        return "The GPU is stuck at the moment; it tries again by itself."
    if queue.serves(needed):
        return "It is next." if position == 1 else "Others are before it."
    return f"The GPU does one kind of work at a time; {_DOING[needed]} comes next."
