"""The work on a submission.

Every verb returns whether it moved the row, or raises `ClaimLost`: nothing moved means that someone else was first, and
the caller drops what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

from django.db import models, transaction
from django.db.models import Q
from django.db.models.functions import Now

from queueing import pipelines
from queueing.exceptions import ClaimLost, Crashed, StageError
from queueing.models import statements
from queueing.models.batch import Batch
from queueing.models.connections import wake_workers
from queueing.models.queue import FRESH, TaskManager
from queueing.models.statements import NOW, Sql, from_now, plus_one
from queueing.models.worker import Worker
from queueing.pipelines import StatusWord
from queueing.signals import task_changed
from queueing.states import ENDED, LIVE, State

Claim = tuple[int, int]
"""A task's id, and the epoch at which it was claimed."""


class Task(models.Model):
    """The work on a submission: a submission's way through a pipeline of stages."""

    submission = models.ForeignKey("evaluations.Submission", on_delete=models.CASCADE, related_name="tasks")
    owner_key = models.CharField(max_length=64, help_text="Whose turn it takes; served round-robin.")
    pipeline = models.CharField(max_length=30)
    # With a default of the database's: workers of the version before enqueue without it during an update.
    subject = models.CharField(
        max_length=40,
        blank=True,
        default="",
        db_default="",
        help_text="What of the submission it is about; empty: all.",
    )
    stage = models.CharField(max_length=30)
    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    turn = models.BigIntegerField()
    own_turn = models.BigIntegerField(
        null=True, blank=True, help_text="Its turn, had no person put it first or last in its line; empty: nobody did."
    )
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
    audio_seconds = models.FloatField(null=True, blank=True, help_text="Of the whole recording, once it was heard.")

    sequence = models.PositiveBigIntegerField(default=1, help_text="Grows with every change; orders its news.")
    created_at = models.DateTimeField(db_default=Now())
    staged_at = models.DateTimeField(db_default=Now(), help_text="When it entered the current stage.")
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TaskManager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("submission", "pipeline", "subject"),
                condition=Q(state__in=LIVE),
                name="one_live_task_per_subject",
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
            # What there ever was, in figures: read from these alone, whatever else a row holds.
            models.Index(fields=("stage", "state"), name="tasks_in_figures"),
            models.Index(fields=("error_code",), condition=Q(state=State.FAILED), name="failures_in_figures"),
            # The newest of them, which people look through and retry.
            models.Index(fields=("id",), condition=Q(state=State.FAILED), name="failed_by_id"),
            models.Index(fields=("lease_until",), condition=Q(state=State.RUNNING), name="running_by_lease"),
            # What has ended lately.
            models.Index(fields=("finished_at",), condition=Q(finished_at__isnull=False), name="ended_lately"),
            # What an owner has in the line, asked at each hand-in and of each task of a claim by owner.
            models.Index(fields=("owner_key", "pipeline"), condition=Q(state__in=LIVE), name="live_by_owner"),
        )

    def __str__(self) -> str:
        return f"task {self.pk}: {self.stage} {self.state}"

    @property
    def status(self) -> StatusWord:
        return pipelines.spec_of(self.stage).status(
            self.state,
            tried=self.failures > 0 or self.crashes > 0 or self.retried,
            batch_phase=self.batch.phase if self.batch else None,
        )

    @property
    def priority(self) -> Literal["", "first", "last"]:
        """`first` or `last`, if a person put it there in its line; else empty."""
        if self.own_turn is None:
            return ""
        return "first" if self.turn < self.own_turn else "last"

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
        """Publish how far the current stage is; a lost claim shows at the next poll."""
        owned = Task.objects.filter(pk=self.pk, epoch=self.epoch, state=State.RUNNING)
        if owned.update(progress_done=done, progress_total=total):
            self.publish()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """A transaction in which nobody can take the task from its claim.

        Raises:
            ClaimLost: somebody has.
        """
        with transaction.atomic():
            owned = Task.objects.filter(pk=self.pk, epoch=self.epoch, state=State.RUNNING)
            if not owned.select_for_update(no_key=True, of=("self",)).values_list("pk"):
                raise ClaimLost
            yield

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
        # What is served in order comes back to its place in it.
        turn = self.turn if self.pipeline in pipelines.in_order() else Task.objects.next_turn(self.owner_key)
        line = {} if turn == self.turn else {"turn": turn, "own_turn": None}
        changes = {**FRESH, "retried": True, **line, "not_before": NOW, "staged_at": NOW, **self._leave_batch()}
        return self._moved("retry", by=by, reason=reason, **changes)

    def requeue(self, *, by: str, reason: str = "") -> bool:
        """A person puts a live task back into the line, due at once: taken from its worker, or from its pause."""
        staged_at = Sql("least(staged_at, statement_timestamp())")  # the clock may have stepped back since
        changes = {"not_before": NOW, "staged_at": staged_at, **self._leave_batch()}
        return self._moved("requeue", by=by, reason=reason, **changes)

    def put_first(self, *, by: str, reason: str) -> bool:
        """A person lets it pass the others of its line, within its batch once it is in one; they are told the reason.

        Not if MAX_PUT_FIRST have passed one of them.
        """
        with transaction.atomic():
            Task.objects.lock_line("put", self.pipeline)
            if Task.objects.were_passed_enough(self.pipeline):
                return False
            return self._put("put_first", Task.objects.turn_of_first(self.pipeline), by, reason)

    def put_last(self, *, by: str, reason: str) -> bool:
        """A person lets all who are in its line now pass it; its student is told the reason."""
        with transaction.atomic():
            Task.objects.lock_line("put", self.pipeline)
            return self._put("put_last", Task.objects.turn_of_last(self.pipeline), by, reason)

    def _put(self, verb: str, turn: int, by: str, reason: str) -> bool:
        own_turn = self.turn if self.own_turn is None else self.own_turn
        return self._moved(verb, by=by, reason=reason, turn=turn, own_turn=own_turn)

    def cancel(self, *, by: str, reason: str = "") -> bool:
        """A person stops it, waiting or running; a running one stops at its worker's next poll."""
        return self._moved("cancel", by=by, reason=reason)

    def _leave_batch(self) -> dict[str, Any]:
        """A transcription that comes back later takes a place in a later batch: the others don't wait for it."""
        return {"batch_id": None} if pipelines.spec_of(self.stage).batched else {}

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
        with transaction.atomic():
            moved = Task.objects.move([self], verb, error, guard=guard, changes=changes, by=by, reason=reason)
            if moved and by:
                wake_workers()  # there is work to take, or to stop
        return bool(moved)

    def publish(self) -> None:
        """Send `task_changed` after the commit."""
        # Robust: to the worker, a failing receiver must not look like a failed commit.
        send = partial(task_changed.send_robust, sender=Task, task_id=self.pk, owner_key=self.owner_key)
        transaction.on_commit(send)
