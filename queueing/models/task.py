"""The work on a submission. `TaskManager.move` is the one writer of `state`.

Every verb returns whether it moved the row, or raises `ClaimLost`: nothing moved means that someone else was first, and
the caller drops what it holds.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Self

from django.db import connections, models, transaction
from django.db.models import Case, F, Max, Min, Q, When
from django.db.models.functions import Coalesce, Now

from queueing import pipelines
from queueing.exceptions import ClaimLost, Crashed, StageError
from queueing.failpoints import failpoint
from queueing.models import statements
from queueing.models.batch import Batch
from queueing.models.history import Event
from queueing.models.phase import Pause
from queueing.models.statements import NOW, Sql, from_now, plus_one
from queueing.models.worker import Worker
from queueing.policy import Demand, Snapshot
from queueing.signals import task_changed
from queueing.states import ENDED, LIVE, TRANSITIONS, PhaseName, Stage, State, Status, status_of

Claim = tuple[int, int]
"""A task's id, and the epoch at which it was claimed."""


class TaskQuerySet(models.QuerySet["Task"]):
    def live(self) -> Self:
        return self.filter(state__in=LIVE)

    def due(self) -> Self:
        return self.filter(state=State.QUEUED, not_before__lte=Now())

    def expired(self) -> Self:
        return self.filter(state=State.RUNNING, lease_until__lt=Now())

    def unbatched(self) -> Self:
        return self.filter(stage=Stage.TRANSCRIBE, batch=None)

    def in_turn(self) -> Self:
        """The order of service: batch by batch, stage by stage, and round-robin by owner within a stage.

        By stage, so that a server with room for one language model changes it once per batch, and a prompt's beginning
        stays in its cache.
        """
        stages = (When(stage=stage, then=rank) for rank, stage in enumerate(Stage))
        rank = Case(*stages, default=len(Stage))
        return self.order_by(F("batch_id").asc(nulls_last=True), rank, "turn", "pk")

    def extend_leases(self, worker: Worker, held: Collection[int], seconds: float) -> set[int]:
        """Prolong those of `held` that `worker` still owns; returns their ids. An expired lease stays expired.

        A claim that the worker does not know of, because its commit was lost on the way back, is left to expire.
        """
        with transaction.atomic():
            owned = self.filter(pk__in=held, worker=worker, state=State.RUNNING, lease_until__gte=Now())
            ids = set(owned.order_by("pk").select_for_update().values_list("pk", flat=True))
            self.filter(pk__in=ids).update(lease_until=Now() + timedelta(seconds=seconds))
        return ids

    def positions(self) -> dict[int, int]:
        """Each live task's place in line: 0 = being worked on, n = n-th of those that wait."""
        places: dict[int, int] = {}
        waiting = 0
        for pk, state in self.live().in_turn().values_list("pk", "state"):
            waiting += state == State.QUEUED
            places[pk] = waiting if state == State.QUEUED else 0
        return places


_Manager = models.Manager.from_queryset(TaskQuerySet)


class TaskManager(_Manager["Task"]):
    """What concerns the whole queue. On the manager, since none of it heeds a filter."""

    def enqueue(self, *, submission_id: uuid.UUID, pipeline: str, owner_key: str) -> Task:
        """A new task at its pipeline's first stage."""
        with transaction.atomic():
            task: Task = self.create(
                submission_id=submission_id,
                pipeline=pipeline,
                stage=pipelines.get(pipeline).stages[0].name,
                owner_key=owner_key,
                turn=self.next_turn(owner_key),
            )
            Event.objects.create(task=task, sequence=1, kind="submit", stage=task.stage, state=State.QUEUED)
            task._publish()
        return task

    def next_turn(self, owner_key: str) -> int:
        """Start-time fair queueing: one turn after the owner's last, and not before whoever is first in line.

        So whoever hands in two hundred at once, or has them retried, waits behind everybody else's first.
        """
        first = self.live().filter(state=State.QUEUED).aggregate(turn=Coalesce(Min("turn"), 0))["turn"]
        last = self.live().filter(owner_key=owner_key).aggregate(turn=Coalesce(Max("turn"), -1))["turn"]
        return max(int(first), int(last) + 1)

    def claim(
        self,
        *,
        worker: Worker,
        stages: Sequence[str],
        lease_seconds: float,
        limit: int = 1,
        batch: Batch | None = None,
        beside: Collection[int] = (),
    ) -> list[Task]:
        """Take up to `limit` due tasks for `worker`: in one transaction, lock first, then update by key.

        `beside` are the ids of the tasks that the worker computes already. They are not taken again while the old
        computation still stops, and a task that a worker died on is taken only when nothing else would die with it.
        """
        failpoint("claim")
        with transaction.atomic():
            picked = self._rows(
                statements.pick(stages=stages, limit=limit, batch=batch.pk if batch else None, beside=beside)
            )
            ids = [pk for pk, crashes in picked if not crashes]
            if picked and picked[0][1]:
                ids = [picked[0][0]]
            if not ids:
                return []
            failpoint("claim.locked")
            claimed = self.take(ids, worker=worker, lease_seconds=lease_seconds)
            failpoint("claim.written")
        failpoint("claim.committed")
        return claimed

    def take(self, ids: Sequence[int], *, worker: Worker, lease_seconds: float) -> list[Task]:
        """Claim these tasks, as far as they still wait; they should be locked."""
        text, params = statements.claim(ids, worker=worker.pk, lease_seconds=lease_seconds)
        taken = sorted(self.raw(text, params, using=self.db), key=lambda task: ids.index(task.pk))
        for task in taken:
            task._publish()
        return taken

    def advance(self, tasks: Sequence[Task], *, took: Sequence[float]) -> set[int]:
        """Tasks of one pipeline and stage succeeded: on to the next stage, or done. Returns the ids that moved.

        Those that did not belong to someone else by now: roll their results back. `took` is in seconds.
        """
        following = pipelines.get(tasks[0].pipeline).after(tasks[0].stage)
        if following is None:
            return self.move(tasks, "finish", took=took)
        changes = {"stage": following.name, "staged_at": NOW, "not_before": NOW, **_FRESH}
        return self.move(tasks, "advance", took=took, changes=changes)

    def fill_batch(self, node: str, size: int) -> Batch | None:
        """Put waiting uploads into the node's open batch, up to `size`, opening one if there is need. None: no work."""
        with transaction.atomic():
            # Locked: another node's upkeep may be closing it, and nobody may join a closed batch.
            batch = Batch.objects.select_for_update().filter(node=node, phase=PhaseName.STT).first()
            taken, live = batch.places() if batch else (0, 0)
            if batch and taken >= size and not live:
                # Full, with nobody left to transcribe: what failed keeps its place, and must not block those after it.
                batch.close_transcription()
                batch, taken = None, 0
            room = size - taken
            waiting = self.due().unbatched().in_turn().select_for_update(skip_locked=True, of=("self",))
            tasks = list(waiting[: max(room, 0)])
            if tasks:
                batch = batch or Batch.objects.create(node=node)
                self.move(tasks, "join", changes={"batch_id": batch.pk})
        return batch

    def snapshot(self, node: str, worker: Worker | None = None) -> Snapshot:
        """What there is to do and to heed, for `policy.next_phase` and the worker, in one statement."""
        query = statements.look(
            node=node,
            worker=worker.pk if worker else None,
            stt=pipelines.stages_of(PhaseName.STT),
            evaluation=pipelines.stages_of(PhaseName.EVAL),
        )
        ((*figures, expired, live, owned, pauses, wanted),) = self._rows(query)
        unbatched, batch, evaluation = (Demand(*figures[at : at + 3]) for at in (0, 3, 6))
        standing = {tuple(pause.split(":")) for pause in pauses}
        what = {what for what, _ in standing}
        return Snapshot(
            unbatched=unbatched,
            batch=batch,
            evaluation=evaluation,
            expired=expired,
            live=live,
            owned=frozenset(owned),
            paused=frozenset(phase for phase in PhaseName if {phase, Pause.What.EVERYTHING} & what),
            drained=any(drain == "true" for _, drain in standing),
            wanted=PhaseName(wanted) if wanted else None,
        )

    def move(
        self,
        tasks: Sequence[Task],
        verb: str,
        error: StageError | None = None,
        *,
        guard: Sql | None = None,
        took: Sequence[float | None] = (),
        changes: dict[str, Any] | None = None,
        **detail: str,
    ) -> set[int]:
        """The one writer of `state`: compare-and-set on each task's epoch, with companion fields, event and news.

        Returns the ids that moved; the others are somebody else's by now.
        """
        sources, target = TRANSITIONS[verb]
        companions: dict[str, Any] = {"state": str(target)}
        if verb != "join":
            companions |= {"worker_id": None, "lease_until": None, "finished_at": NOW if target in ENDED else None}
            companions |= {"error_code": error.code if error else "", "error_detail": str(error) if error else ""}
        query = statements.move(
            [task.pk for task in tasks],
            [task.epoch for task in tasks],
            verb=verb,
            sources=sources,
            changes=companions | (changes or {}),
            guard=guard,
            error=error,
            took=took,
            detail=detail,
        )
        moved = {pk for (pk,) in self._rows(query)}
        for task in tasks:
            if task.pk in moved:
                task._publish()
        return moved

    def _rows(self, query: statements.Query) -> list[tuple[Any, ...]]:
        with connections[self.db].cursor() as cursor:
            cursor.execute(*query)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


class Task(models.Model):
    """The work on a submission: a submission's way through a pipeline of stages."""

    submission = models.ForeignKey("evaluations.Submission", on_delete=models.CASCADE, related_name="tasks")
    owner_key = models.CharField(max_length=64, help_text="Whose turn it takes; served round-robin.")
    pipeline = models.CharField(max_length=30)
    stage = models.CharField(max_length=30)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    turn = models.BigIntegerField()
    batch = models.ForeignKey(Batch, null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks")

    failures = models.PositiveSmallIntegerField(default=0, help_text="Failed tries of the current stage.")
    crashes = models.PositiveSmallIntegerField(default=0, help_text="Workers that died on the current stage.")
    retried = models.BooleanField(default=False, help_text="A person asked for the current stage again.")
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.TextField(blank=True)

    epoch = models.PositiveBigIntegerField(default=0)
    worker = models.ForeignKey(Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks")
    lease_until = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(db_default=Now())
    progress_done = models.FloatField(default=0, help_text="Seconds of audio.")
    progress_total = models.FloatField(default=0, help_text="Seconds of audio; 0 while unknown.")

    sequence = models.PositiveBigIntegerField(default=1, help_text="Grows with every change; orders its news.")
    created_at = models.DateTimeField(db_default=Now())
    staged_at = models.DateTimeField(db_default=Now(), help_text="When it entered the current stage.")
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TaskManager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("submission", "pipeline"), condition=Q(state__in=LIVE), name="one_live_task_per_pipeline"
            ),
            models.CheckConstraint(condition=Q(state__in=State.values), name="state_is_known"),
            models.CheckConstraint(
                condition=Q(state=State.RUNNING, lease_until__isnull=False)
                | (~Q(state=State.RUNNING) & Q(lease_until__isnull=True)),
                name="running_means_leased",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ENDED, finished_at__isnull=False) | Q(state__in=LIVE, finished_at__isnull=True),
                name="ended_means_finished_at",
            ),
            models.CheckConstraint(
                condition=~Q(state=State.FAILED, error_code="") & ~Q(~Q(error_code=""), state=State.DONE),
                name="failed_means_error_code",
            ),
        )
        indexes = (
            # The order of a claim for one stage.
            models.Index(
                fields=("stage", "batch", "turn", "id"), condition=Q(state=State.QUEUED), name="queued_in_turn"
            ),
            # Of a claim for several: without it the planner walks the batches of all tasks there ever were.
            models.Index(fields=("batch", "turn", "id"), condition=Q(state=State.QUEUED), name="queued_by_batch"),
            models.Index(fields=("lease_until",), condition=Q(state=State.RUNNING), name="running_by_lease"),
        )

    def __str__(self) -> str:
        return f"task {self.pk}: {self.stage} {self.state}"

    @property
    def status(self) -> Status:
        return status_of(
            self.stage,
            self.state,
            tried=self.failures > 0 or self.crashes > 0 or self.retried,
            batch_phase=self.batch.phase if self.batch else None,
        )

    # The worker's verbs. Each is a compare-and-set on (id, epoch, running); `took` is the time spent computing.

    def advance(self, *, took: float) -> None:
        """The stage succeeded: on to the next one, or done.

        Raises:
            ClaimLost: it belongs to someone else by now; roll the result back.
        """
        if not Task.objects.advance([self], took=[took]):
            raise ClaimLost

    def fail(self, error: StageError, *, took: float) -> None:
        """It ends here."""
        self._own("fail", error, took=took)

    def retry_later(self, error: StageError, delay_seconds: float, *, took: float) -> None:
        """A failure that counts, with tries left."""
        burned = "crashes" if isinstance(error, Crashed) else "failures"
        changes = {"not_before": from_now(delay_seconds), burned: plus_one(burned), **self._leave_batch()}
        self._own("retry_later", error, took=took, **changes)

    def hand_back(self, error: StageError, delay_seconds: float = 0, *, took: float) -> None:
        """Not its fault: as if it had not been tried."""
        self._own("hand_back", error, took=took, not_before=from_now(delay_seconds), **self._leave_batch())

    def note_progress(self, done: float, total: float) -> None:
        """Publish how far the current stage is; that the claim is lost shows at the next look."""
        owned = Task.objects.filter(pk=self.pk, epoch=self.epoch, state=State.RUNNING)
        if owned.update(progress_done=done, progress_total=total):
            self._publish()

    # Upkeep's and people's verbs. They return whether the task moved.

    def rescue(self, error: StageError) -> bool:
        """Its lease ran out: back into the queue. Counts if it `Crashed`. Guarded by the epoch that was seen."""
        changes = self._leave_batch() | ({"crashes": plus_one("crashes")} if isinstance(error, Crashed) else {})
        return self._moved("rescue", error, guard=statements.EXPIRED, **changes)

    def give_up(self, error: StageError) -> bool:
        """Its lease ran out once too often."""
        return self._moved("fail", error, guard=statements.EXPIRED)

    def retry(self, *, by: str, reason: str = "") -> bool:
        """A person asks for the failed stage again: fresh counters; earlier results and the history stay."""
        turn = Task.objects.next_turn(self.owner_key)
        changes = {**_FRESH, "retried": True, "turn": turn, "not_before": NOW, "staged_at": NOW, **self._leave_batch()}
        return self._moved("retry", by=by, reason=reason, **changes)

    def requeue(self, *, by: str, reason: str = "") -> bool:
        """A person puts a live task back into the line, due at once: taken from its worker, or from its pause."""
        return self._moved("requeue", by=by, reason=reason, not_before=NOW, **self._leave_batch())

    def cancel(self, *, by: str, reason: str = "") -> bool:
        """A person stops it, waiting or running; a running one stops at its worker's next look."""
        return self._moved("cancel", by=by, reason=reason)

    def _leave_batch(self) -> dict[str, Any]:
        """A transcription that comes back later takes a place in a later batch: the others don't wait for it."""
        return {"batch_id": None} if self.stage == Stage.TRANSCRIBE else {}

    def _own(self, verb: str, error: StageError, *, took: float, **changes: Any) -> None:
        """A move that only the claim's owner may make; `ClaimLost` when that is someone else by now."""
        if not Task.objects.move([self], verb, error, took=[took], changes=changes):
            raise ClaimLost

    def _moved(
        self,
        verb: str,
        error: StageError | None = None,
        *,
        guard: Sql | None = None,
        by: str = "",
        reason: str = "",
        **changes: Any,
    ) -> bool:
        return bool(Task.objects.move([self], verb, error, guard=guard, changes=changes, by=by, reason=reason))

    def _publish(self) -> None:
        # Robust: whoever listens must not be able to undo, in the worker's eyes, what is committed.
        news = partial(task_changed.send_robust, sender=Task, task_id=self.pk, owner_key=self.owner_key)
        transaction.on_commit(news)


_FRESH: dict[str, Any] = {"failures": 0, "crashes": 0, "retried": False, "progress_done": 0.0, "progress_total": 0.0}
