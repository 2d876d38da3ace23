"""The queue's tables, and the verbs that are the only way to change them.

`Task._move` is the one writer of `state`. Every verb returns whether it moved the row: False means that someone else
was first, and the caller drops what it holds.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import Any, Self

from django.db import models, transaction
from django.db.models import Case, Count, F, Max, Min, Q, Subquery, When
from django.db.models.functions import Coalesce, Now

from queueing import pipelines
from queueing.exceptions import ClaimLost, Crashed, StageError
from queueing.policy import Demand, Snapshot
from queueing.signals import phase_changed, task_changed
from queueing.states import ENDED, LIVE, TRANSITIONS, PhaseName, Stage, State, Status, Step, status_of


def in_seconds(seconds: float) -> Any:
    """The database's clock, `seconds` from now: the only clock that leases and delays know."""
    return Now() + timedelta(seconds=seconds)


class Worker(models.Model):
    """One start of one worker process. The id is new at every start, so a restarted worker owns nothing of its past."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.CharField(max_length=100)
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    last_heartbeat_at = models.DateTimeField(db_default=Now())
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-started_at",)

    def __str__(self) -> str:
        return f"{self.node}/{self.pid}"

    @classmethod
    def alive(cls, within_seconds: float) -> models.QuerySet[Worker]:
        """Workers heard of within the last `within_seconds` that have not said goodbye."""
        return cls.objects.filter(stopped_at=None, last_heartbeat_at__gte=in_seconds(-within_seconds))


class Phase(models.Model):
    """What the GPU of one node is for, and where it is in handing over. The row is the intent, never the proof."""

    node = models.CharField(max_length=100, primary_key=True)
    name = models.CharField(max_length=10, choices=PhaseName.choices, blank=True)
    step = models.CharField(max_length=10, choices=Step.choices, default=Step.IDLE)
    target = models.CharField(max_length=10, choices=PhaseName.choices, blank=True)
    reason = models.TextField(blank=True)
    since = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.node}: {self.get_step_display()} {self.name}"

    def enter(self, step: Step, *, name: str = "", target: str = "", reason: str = "") -> None:
        """Write the next step of a hand-over. Only the node's own coordinator calls this; it holds the node's lock."""
        changes: dict[str, Any] = {"step": step, "name": name, "target": target, "reason": reason, "since": Now()}
        with transaction.atomic():
            Phase.objects.update_or_create(node=self.node, defaults=changes)
            Event.objects.create(
                node=self.node, kind=f"phase_{step}", detail={"name": name, "target": target, "reason": reason}
            )
            transaction.on_commit(partial(phase_changed.send_robust, sender=Phase, node=self.node))
        self.refresh_from_db()


class Batch(models.Model):
    """Up to BATCH_SIZE tasks that are transcribed together, then evaluated together, by one node."""

    node = models.CharField(max_length=100)
    phase = models.CharField(max_length=10, choices=PhaseName.choices, default=PhaseName.STT)
    opened_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "batches"
        constraints = (
            models.UniqueConstraint(fields=("node",), condition=Q(phase="stt"), name="one_open_batch_per_node"),
        )

    def __str__(self) -> str:
        return f"batch {self.pk} on {self.node}"

    @classmethod
    def fill(cls, node: str, size: int) -> Batch | None:
        """Put waiting uploads into the node's open batch, up to `size`, opening one if there is need. None: no work."""
        with transaction.atomic():
            # Locked: another node's upkeep may be closing it, and nobody may join a closed batch.
            batch = cls.objects.select_for_update().filter(node=node, phase=PhaseName.STT).first()
            if batch and batch.is_spent(size):
                batch.close_transcription()
                batch = None
            room = size - (batch.tasks.count() if batch else 0)
            waiting = Task.objects.due().unbatched().in_turn()
            ids = [task.pk for task in waiting.select_for_update(skip_locked=True, of=("self",))[: max(room, 0)]]
            if ids:
                batch = batch or cls.objects.create(node=node)
                for task in Task.objects.filter(pk__in=ids):
                    task.join(batch)
        return batch

    def is_spent(self, size: int) -> bool:
        """Full, with nobody left to transcribe: what failed keeps its place, and must not block those after it."""
        live = self.tasks.filter(stage=Stage.TRANSCRIBE, state__in=LIVE)
        return self.tasks.count() >= size and not live.exists()

    def close_transcription(self) -> None:
        """From here on the batch is evaluated; nobody joins it any more; who was left waiting is free for the next."""
        with transaction.atomic():
            Batch.objects.filter(pk=self.pk).update(phase=PhaseName.EVAL)
            self.tasks.filter(stage=Stage.TRANSCRIBE, state=State.QUEUED).update(batch=None)


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

    def enqueue(self, *, submission_id: uuid.UUID, pipeline: str, owner_key: str) -> Task:
        """A new task at its pipeline's first stage.

        `turn` is start-time fair queueing: an owner's next task comes one turn after the owner's last, so whoever hands
        in two hundred at once waits behind everybody else's first.
        """
        floor = self.live().filter(state=State.QUEUED).aggregate(turn=Coalesce(Min("turn"), 0))["turn"]
        last = self.live().filter(owner_key=owner_key).aggregate(turn=Coalesce(Max("turn"), -1))["turn"]
        with transaction.atomic():
            task = self.create(
                submission_id=submission_id,
                pipeline=pipeline,
                stage=pipelines.get(pipeline).stages[0].name,
                owner_key=owner_key,
                turn=max(floor, last + 1),
            )
            task._publish("submit")
        return task

    def claim_next(
        self,
        *,
        worker: Worker,
        stages: Collection[str],
        lease_seconds: float,
        batch: Batch | None = None,
        beside: Collection[int] = (),
    ) -> Task | None:
        """Take the next due task for `worker`: two statements in one transaction, lock first, then update by key.

        `beside` are the ids of the tasks that the worker computes already. They are not taken again while the old
        computation still stops, and a task that a worker died on is taken only when nothing else would die with it.

        A single UPDATE with a locking subquery may claim every row: under another plan PostgreSQL runs it again.
        """
        waiting = self.due().filter(stage__in=stages)
        if batch is not None:
            waiting = waiting.filter(batch=batch)
        if beside:
            waiting = waiting.filter(crashes=0).exclude(pk__in=beside)
        with transaction.atomic():
            task = waiting.in_turn().select_for_update(skip_locked=True, of=("self",)).first()
            if task is None:
                return None
            task._move(
                "claim", epoch=F("epoch") + 1, worker=worker, lease_until=in_seconds(lease_seconds), claimed_at=Now()
            )
            task.refresh_from_db()
            Attempt.objects.create(task=task, stage=task.stage, epoch=task.epoch, worker=worker)
        return task

    def extend_leases(self, worker: Worker, held: Collection[int], seconds: float) -> set[int]:
        """Prolong those of `held` that `worker` still owns; returns their ids. An expired lease stays expired.

        A claim that the worker does not know of, because its commit was lost on the way back, is left to expire.
        """
        with transaction.atomic():
            owned = self.filter(pk__in=held, worker=worker, state=State.RUNNING, lease_until__gte=Now())
            ids = set(owned.select_for_update().values_list("pk", flat=True))
            self.filter(pk__in=ids).update(lease_until=in_seconds(seconds))
        return ids

    def snapshot(self, node: str) -> Snapshot:
        """What there is to do, for `policy.next_phase`, in one statement."""
        in_batch = Q(batch__node=node, batch__phase=PhaseName.STT)
        groups = {
            "unbatched": Q(stage__in=pipelines.stages_of(PhaseName.STT), batch=None),
            "batch": Q(stage__in=pipelines.stages_of(PhaseName.STT)) & in_batch,
            "evaluation": Q(stage__in=pipelines.stages_of(PhaseName.EVAL)),
        }
        due = Q(state=State.QUEUED, not_before__lte=Now())
        figures: dict[str, Any] = {}
        for name, group in groups.items():
            figures[f"{name}_due"] = Count("pk", filter=group & due)
            figures[f"{name}_running"] = Count("pk", filter=group & Q(state=State.RUNNING, worker__node=node))
            figures[f"{name}_oldest"] = Now() - Min("staged_at", filter=group & due)
        figures["expired"] = Count("pk", filter=Q(state=State.RUNNING, lease_until__lt=Now()))
        found = self.live().aggregate(**figures)
        return Snapshot(**{name: _demand(found, name) for name in groups}, expired=found["expired"])

    def positions(self) -> dict[int, int]:
        """Each live task's place in line: 0 = being worked on, n = n-th of those that wait."""
        places: dict[int, int] = {}
        waiting = 0
        for pk, state in self.live().in_turn().values_list("pk", "state"):
            waiting += state == State.QUEUED
            places[pk] = waiting if state == State.QUEUED else 0
        return places


def _demand(found: dict[str, Any], name: str) -> Demand:
    oldest: timedelta | None = found[f"{name}_oldest"]
    return Demand(found[f"{name}_due"], found[f"{name}_running"], oldest.total_seconds() if oldest else 0.0)


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

    objects = TaskQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("submission", "pipeline"), condition=Q(state__in=LIVE), name="one_live_task_per_pipeline"
            ),
            models.CheckConstraint(
                condition=Q(state=State.RUNNING, lease_until__isnull=False)
                | (~Q(state=State.RUNNING) & Q(lease_until__isnull=True)),
                name="running_means_leased",
            ),
            models.CheckConstraint(
                condition=Q(state__in=ENDED, finished_at__isnull=False) | Q(state__in=LIVE, finished_at__isnull=True),
                name="ended_means_finished_at",
            ),
        )
        indexes = (
            models.Index(fields=("turn", "id"), condition=Q(state="queued"), name="queued_in_turn"),
            models.Index(fields=("lease_until",), condition=Q(state="running"), name="running_by_lease"),
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
        following = pipelines.get(self.pipeline).after(self.stage)
        if following is None:
            self._own("finish", took=took)
        else:
            self._own("advance", took=took, stage=following.name, staged_at=Now(), not_before=Now(), **_FRESH)

    def fail(self, error: StageError, *, took: float) -> None:
        """It ends here."""
        self._own("fail", error, took=took)

    def retry_later(self, error: StageError, delay_seconds: float, *, took: float) -> None:
        """A failure that counts, with tries left."""
        burned = "crashes" if isinstance(error, Crashed) else "failures"
        changes = {"not_before": in_seconds(delay_seconds), burned: F(burned) + 1, **self._leave_batch()}
        self._own("retry_later", error, took=took, **changes)

    def hand_back(self, error: StageError, delay_seconds: float = 0, *, took: float) -> None:
        """Not its fault: as if it had not been tried."""
        self._own("hand_back", error, took=took, not_before=in_seconds(delay_seconds), **self._leave_batch())

    def note_progress(self, done: float, total: float) -> None:
        """Publish how far the current stage is; that the claim is lost shows at the next heartbeat."""
        owned = Task.objects.filter(pk=self.pk, epoch=self.epoch, state=State.RUNNING)
        if owned.update(progress_done=done, progress_total=total):
            task_changed.send_robust(sender=Task, task_id=self.pk)

    # Upkeep's and people's verbs. They return whether the task moved.

    def rescue(self, error: StageError) -> bool:
        """Its lease ran out: back into the queue. Counts if it `Crashed`. Guarded by the epoch that was seen."""
        crashes = F("crashes") + (1 if isinstance(error, Crashed) else 0)
        return self._move("rescue", error, Q(lease_until__lt=Now()), crashes=crashes, **self._leave_batch())

    def give_up(self, error: StageError) -> bool:
        """Its lease ran out once too often."""
        return self._move("fail", error, Q(lease_until__lt=Now()))

    def retry(self, *, by: str) -> bool:
        """A person asks for the failed stage again: fresh counters; earlier results and the history stay."""
        changes = {**_FRESH, "retried": True, "not_before": Now(), "staged_at": Now(), **self._leave_batch()}
        return self._move("retry", by=by, **changes)

    def cancel(self, *, by: str) -> bool:
        """A person stops it, waiting or running; a running one stops at its worker's next heartbeat."""
        return self._move("cancel", by=by)

    def join(self, batch: Batch) -> bool:
        moved = Task.objects.filter(pk=self.pk, state=State.QUEUED).update(batch=batch, sequence=F("sequence") + 1)
        if moved:
            self._publish("join")
        return bool(moved)

    def _leave_batch(self) -> dict[str, Any]:
        """A transcription that comes back later takes a place in a later batch: the others don't wait for it."""
        return {"batch": None} if self.stage == Stage.TRANSCRIBE else {}

    def _own(self, verb: str, error: StageError | None = None, *, took: float, **changes: Any) -> None:
        """A move that only the claim's owner may make; `ClaimLost` when that is someone else by now."""
        if not self._move(verb, error, took=took, **changes):
            raise ClaimLost

    def _move(
        self,
        verb: str,
        error: StageError | None = None,
        *guards: Q,
        by: str = "",
        took: float | None = None,
        **changes: Any,
    ) -> bool:
        """The one writer of `state`: compare-and-set, companion fields, event and news, in one transaction."""
        sources, target = TRANSITIONS[verb]
        companions: dict[str, Any] = {"finished_at": Now() if target in ENDED else None}
        if verb != "claim":
            companions |= {"worker": None, "lease_until": None}
        companions |= {"error_code": error.code, "error_detail": str(error)} if error else _NO_ERROR
        with transaction.atomic():
            moved = Task.objects.filter(*guards, pk=self.pk, epoch=self.epoch, state__in=sources).update(
                **{**companions, **changes}, state=target, sequence=F("sequence") + 1
            )
            if moved:
                self._close_attempt(verb, error, took)
                self._publish(verb, error_code=error.code if error else "", by=by)
        return bool(moved)

    def _close_attempt(self, verb: str, error: StageError | None, took: float | None) -> None:
        self.attempts.filter(ended_at=None).update(
            ended_at=Now(),
            outcome=error.outcome if error else "cancelled" if verb == "cancel" else "succeeded",
            error_code=error.code if error else "",
            detail=str(error) if error else "",
            compute_seconds=took,
        )

    def _publish(self, kind: str, **detail: str) -> None:
        row = Task.objects.filter(pk=self.pk)
        Event.objects.create(
            task=self,
            sequence=Subquery(row.values("sequence")),
            kind=kind,
            stage=Subquery(row.values("stage")),
            state=Subquery(row.values("state")),
            detail={key: value for key, value in detail.items() if value},
        )
        # Robust: whoever listens must not be able to undo, in the worker's eyes, what is committed.
        transaction.on_commit(partial(task_changed.send_robust, sender=Task, task_id=self.pk))


_NO_ERROR: dict[str, Any] = {"error_code": "", "error_detail": ""}
_FRESH: dict[str, Any] = {"failures": 0, "crashes": 0, "retried": False, "progress_done": 0, "progress_total": 0}


class Attempt(models.Model):
    """One try of one stage by one worker: opened by the claim, closed by whatever ended it."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="attempts")
    stage = models.CharField(max_length=30)
    epoch = models.PositiveBigIntegerField()
    worker = models.ForeignKey(Worker, null=True, on_delete=models.SET_NULL)
    began_at = models.DateTimeField(db_default=Now())
    ended_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=20, blank=True, help_text="Empty while it runs.")
    error_code = models.CharField(max_length=40, blank=True)
    detail = models.TextField(blank=True)
    compute_seconds = models.FloatField(
        null=True, blank=True, help_text="Time in the stage's own work, without the queue."
    )

    class Meta:
        ordering = ("began_at",)
        constraints = (models.UniqueConstraint(fields=("task", "epoch"), name="one_attempt_per_epoch"),)

    def __str__(self) -> str:
        return f"{self.stage} #{self.epoch}: {self.outcome or 'running'}"


class Event(models.Model):
    """What changed, for ever: append-only. `sequence` orders the events of one task without gaps."""

    task = models.ForeignKey(Task, null=True, on_delete=models.CASCADE, related_name="events")
    node = models.CharField(max_length=100, blank=True)
    sequence = models.PositiveBigIntegerField(default=0)
    kind = models.CharField(max_length=30)
    stage = models.CharField(max_length=30, blank=True)
    state = models.CharField(max_length=10, blank=True)
    detail = models.JSONField(default=dict)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("at", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=("task", "sequence"), condition=Q(task__isnull=False), name="one_event_per_change"
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"
