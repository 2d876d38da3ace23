"""All tasks together: querying, claiming, moving. `TaskManager.move` is the one writer of a task's `state`."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from django.db import connections, models, transaction
from django.db.models import Case, Count, F, Max, Min, Q, When
from django.db.models.functions import Coalesce, Greatest, Now

from queueing import pipelines
from queueing.exceptions import LineFullError, OwnerLimitError, StageError
from queueing.failpoints import failpoint
from queueing.models import statements
from queueing.models.batch import Batch
from queueing.models.clock import in_seconds, is_ahead, longest_delay_seconds
from queueing.models.connections import wake_workers
from queueing.models.history import Event
from queueing.models.phase import Pause
from queueing.models.statements import NOW, Sql
from queueing.models.worker import Worker
from queueing.pipelines import Pipeline
from queueing.policy import batches
from queueing.policy.phases import Demand, Snapshot
from queueing.policy.places import Line, LineEntry
from queueing.states import ENDED, IN_PLACE, LIVE, TRANSITIONS, PhaseName, State

if TYPE_CHECKING:
    from queueing.models.task import Task

FRESH: dict[str, Any] = {"failures": 0, "crashes": 0, "retried": False, "progress_done": 0.0, "progress_total": 0.0}
"""The fields of the current stage, as a task enters it."""

FRONT_TURNS: Final = 1 << 32  # how far before all others' turns those begin that people put first
MAX_PUT_FIRST: Final = 30  # tasks that people put before one that waits in a stage: a class
MAX_PUT_LAST_SECONDS: Final = 1800.0  # in a stage; whoever was put last and waits longer is passed by no newcomer
_LAST_TURN: Final = Max(Greatest("turn", Coalesce("own_turn", "turn")))  # whoever was put first has its own turn still


class TaskQuerySet(models.QuerySet["Task"]):
    def live(self) -> Self:
        return self.filter(state__in=LIVE)

    def due(self) -> Self:
        return self.filter(_is_due())

    def expired(self) -> Self:
        return self.filter(state=State.RUNNING, lease_until__lt=Now())

    def unbatched(self) -> Self:
        return self.filter(stage__in=pipelines.batched_stages(), batch=None)

    def in_turn(self) -> Self:
        """The order of service: batch by batch, stage by stage, and round-robin by owner within a stage.

        By stage, so that a server with room for one language model changes it once per batch, and a prompt's beginning
        stays in its cache.
        """
        stages = [When(stage=spec.name, then=rank) for rank, spec in enumerate(pipelines.specs())]
        rank = Case(*stages, default=len(stages))
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

    def mend_times(self, lease_seconds: float) -> int:
        """After a step of the clock back: what waits waits no longer than it was to; returns how many were mended.

        A lease is shortened to a whole one: a living worker renews it, and that of a dead one runs out.
        """
        live = self.live()
        return sum(
            (
                live.filter(is_ahead("not_before", longest_delay_seconds())).update(not_before=Now()),
                live.filter(is_ahead("staged_at")).update(staged_at=Now()),
                live.filter(is_ahead("claimed_at")).update(claimed_at=Now()),
                live.filter(is_ahead("lease_until", lease_seconds)).update(lease_until=in_seconds(lease_seconds)),
            )
        )

    def line(self) -> Line:
        """All live tasks, with the place of each on its way to a result."""
        columns = ("pk", "pipeline", "stage", "state", "turn", "own_turn", "batch_id", "epoch", "retried", "worker_id")
        rows = list(self.live().values_list(*columns, named=True))
        put = [row.pk for row in rows if row.own_turn is not None]
        reasons = _reasons(put) if put else {}
        return Line(_entry(row, reasons.get(row.pk, "")) for row in rows)

    def put_first(self) -> Self:
        return self.filter(turn__lt=F("own_turn"))

    def put_last(self) -> Self:
        return self.filter(turn__gt=F("own_turn"))

    def positions(self) -> dict[int, int]:
        """Each live task's place among those of its pipeline: see `Line.positions`. In the order of service."""
        return self.line().positions


def _reasons(tasks: Sequence[int]) -> dict[int, str]:
    """Why people put these first or last, the last time."""
    put = Event.objects.filter(task__in=tasks, kind__in=("put_first", "put_last")).order_by("task", "sequence")
    return {task: detail.get("reason", "") for task, detail in put.values_list("task_id", "detail") if task is not None}


def _entry(row: Any, reason: str) -> LineEntry:
    runs = row.state == State.RUNNING
    passed, is_last = _progress_of(row.pipeline, row.stage)
    return LineEntry(
        task=row.pk,
        pipeline=row.pipeline,
        stage=row.stage,
        turn=row.turn,
        batch=row.batch_id,
        runs=runs,
        worker=row.worker_id,
        finishes=runs and is_last,
        again=row.retried or row.epoch > passed + runs,  # more claims than there were had each succeeded
        own_turn=row.own_turn,
        reason=reason,
    )


def _progress_of(pipeline: str, stage: str) -> tuple[int, bool]:
    """How many stages come before this one, and whether it is the last. Of one that no app registers: (0, True)."""
    names = [spec.name for spec in pipelines.get(pipeline).stages] if pipeline in pipelines.names() else [stage]
    return names.index(stage), stage == names[-1]


def _is_due() -> Q:
    """As `statements.pick` has it."""
    time_has_come = Q(not_before__lte=Now()) | Q(not_before__gt=in_seconds(longest_delay_seconds()))
    return Q(time_has_come, state=State.QUEUED)


_Manager = models.Manager.from_queryset(TaskQuerySet)


class TaskManager(_Manager["Task"]):
    """What concerns the whole queue. On the manager, since none of it respects a filter."""

    def enqueue(
        self, *, submission_id: uuid.UUID, pipeline: str, owner_key: str, subject: str = "", rank: int = 0
    ) -> Task:
        """A new task at its pipeline's first stage.

        Args:
            subject: what of the submission it is about; of each at most one task lives in a pipeline.
            rank: in a pipeline that is served in order, higher ranks come first.

        Raises:
            LineFullError, OwnerLimitError: as many wait as the pipeline allows.
        """
        spec = pipelines.get(pipeline)
        with transaction.atomic():
            self._must_have_room(spec, owner_key)
            task: Task = self.create(
                submission_id=submission_id,
                pipeline=pipeline,
                subject=subject,
                stage=spec.stages[0].name,
                owner_key=owner_key,
                turn=-rank if spec.in_order else self.next_turn(owner_key),
            )
            Event.objects.create(task=task, sequence=1, kind="submit", stage=task.stage, state=State.QUEUED)
            task.publish()
            wake_workers()
        return task

    def _must_have_room(self, pipeline: Pipeline, owner_key: str) -> None:
        """Until the transaction ends nobody else enters this line, so its limits are exact."""
        if pipeline.max_waiting is None and pipeline.max_waiting_per_owner is None:
            return
        self.lock_line("enqueue", pipeline.name)
        waiting = self.filter(pipeline=pipeline.name, state=State.QUEUED)
        counted = waiting.aggregate(everybody=Count("pk"), own=Count("pk", filter=Q(owner_key=owner_key)))
        if pipeline.max_waiting_per_owner is not None and counted["own"] >= pipeline.max_waiting_per_owner:
            raise OwnerLimitError
        if pipeline.max_waiting is not None and counted["everybody"] >= pipeline.max_waiting:
            raise LineFullError

    def lock_line(self, verb: str, name: str) -> None:
        """Until the transaction ends nobody else does this to the line; what is read from now on stays true of it."""
        with connections[self.db].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))", [f"queueing.{verb}", name])

    def next_turn(self, owner_key: str) -> int:
        """Start-time fair queueing: one turn after the owner's last, and not before whoever is first in line.

        So whoever hands in two hundred at once, or has them retried, waits behind everybody else's first. Whom a person
        put first is no measure of that; and who was put last is waited for from MAX_PUT_LAST_SECONDS on.
        """
        live = self.live().exclude(pipeline__in=pipelines.in_order())
        patient = Q(turn__gt=F("own_turn"), staged_at__lt=in_seconds(-MAX_PUT_LAST_SECONDS))
        found = live.filter(state=State.QUEUED).aggregate(
            first=Min("turn", filter=Q(own_turn=None)),
            favoured=Max("turn", filter=Q(turn__lt=F("own_turn"))),
            last=Min("turn", filter=Q(turn__gt=F("own_turn"))),
            patient=Max("turn", filter=patient),
        )
        favoured = None if found["favoured"] is None else found["favoured"] + FRONT_TURNS
        first = next((turn for turn in (found["first"], favoured, found["last"]) if turn is not None), 0)
        last = live.filter(owner_key=owner_key).aggregate(turn=Coalesce(_LAST_TURN, -1))["turn"]
        return max(int(first), int(last) + 1, int(first if found["patient"] is None else found["patient"]))

    def turn_of_first(self, pipeline: str) -> int:
        """Before all others of its line, and after those that were put first already."""
        live = self.live().filter(pipeline=pipeline)
        first = live.filter(own_turn=None).aggregate(turn=Coalesce(Min("turn"), 0))["turn"]
        favoured = live.put_first().aggregate(turn=Max("turn"))["turn"]
        front = int(first) - FRONT_TURNS
        return front if favoured is None else max(front, int(favoured) + 1)

    def turn_of_last(self, pipeline: str) -> int:
        """Behind all of its line, and behind the own turns of those that were put first, too."""
        return 1 + int(self.live().filter(pipeline=pipeline).aggregate(turn=Coalesce(_LAST_TURN, -1))["turn"])

    def were_passed_enough(self, pipeline: str) -> bool:
        """Whether people have put as many ahead of somebody who waits in this line as they may."""
        waiting = self.filter(pipeline=pipeline, state=State.QUEUED).exclude(turn__lt=F("own_turn"))
        since = waiting.aggregate(at=Min("staged_at"))["at"]
        if since is None:
            return False
        return Event.objects.filter(kind="put_first", task__pipeline=pipeline, at__gte=since).count() >= MAX_PUT_FIRST

    def claim(
        self,
        *,
        worker: Worker,
        stages: Sequence[str],
        lease_seconds: float,
        limit: int = 1,
        batch: Batch | None = None,
        beside: Collection[int] = (),
        one_per_owner: bool = False,
    ) -> list[Task]:
        """Take up to `limit` due tasks for `worker`: in one transaction, lock first, then update by key.

        `beside` are the ids of the tasks that the worker computes already. They are not taken again while the old
        computation still stops, and a task that a worker died on is taken only when nothing else would die with it.
        See `Pipeline.one_per_owner`.
        """
        failpoint("claim")
        with transaction.atomic():
            if one_per_owner:
                # Another worker's claim that is not committed yet would not be seen: with a question of a higher rank
                # that came in between, two of one owner's would be taken.
                self.lock_line("claim", stages[0])
            picked = self._rows(
                statements.pick(
                    stages=stages,
                    limit=limit,
                    batch=batch.pk if batch else None,
                    beside=beside,
                    one_per_owner=one_per_owner,
                )
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
            task.publish()
        return taken

    def advance(self, tasks: Sequence[Task], *, took: Sequence[float]) -> set[int]:
        """Tasks of one pipeline and stage succeeded: on to the next stage, or done. Returns the ids that moved.

        Those that did not belong to someone else by now: roll their results back. `took` is in seconds.
        """
        following = pipelines.get(tasks[0].pipeline).after(tasks[0].stage)
        if following is None:
            return self.move(tasks, "finish", took=took)
        changes = {"stage": following.name, "staged_at": NOW, "not_before": NOW, **FRESH}
        return self.move(tasks, "advance", took=took, changes=changes)

    def fill_batch(self, node: str, size: int) -> Batch | None:
        """Put waiting uploads into the node's open batch, up to `size`, opening one if there is need. None: no work."""
        with transaction.atomic():
            # Locked: another node's upkeep may be closing it, and nobody may join a closed batch.
            batch = Batch.objects.select_for_update().filter(node=node, phase=PhaseName.STT).first()
            filling = batches.fill(*(batch.places() if batch else (0, 0)), size=size)
            if batch and filling.close:
                # What failed keeps its place in it, and must not block those after it.
                batch.close_transcription()
                batch = None
            waiting = self.due().unbatched().in_turn().select_for_update(skip_locked=True, of=("self",))
            tasks = list(waiting[: filling.room])
            if tasks:
                batch = batch or Batch.objects.create(node=node)
                self.move(tasks, "join", changes={"batch_id": batch.pk})
        return batch

    def snapshot(
        self, node: str, worker: Worker | None = None, servers: Mapping[str, str] = MappingProxyType({})
    ) -> Snapshot:
        """The work and what restricts it, for `policy.phases.next_phase` and the worker, in one statement.

        `servers` says which model server a stage calls.
        """
        query = statements.snapshot(
            node=node,
            worker=worker.pk if worker else None,
            stt=pipelines.stages_of(PhaseName.STT),
            evaluation=pipelines.stages_of(PhaseName.EVAL),
            batched=pipelines.batched_stages(),
            shared=pipelines.shared_stages(),
            servers=servers,
        )
        ((*figures, expired, live, owned, due, pauses, wanted, troubled, at),) = self._rows(query)
        unbatched, batch, evaluation, shared = (Demand(*figures[at : at + 3]) for at in (0, 3, 6, 9))
        active = {tuple(pause.split(":")) for pause in pauses}
        what = {what for what, _ in active}
        return Snapshot(
            unbatched=unbatched,
            batch=batch,
            evaluation=evaluation,
            shared=shared,
            expired=expired,
            live=live,
            owned=frozenset(owned),
            paused=frozenset(phase for phase in PhaseName if {phase, Pause.What.EVERYTHING} & what),
            often=Pause.What.LONG in what,
            drained=any(drain == "true" for _, drain in active),
            wanted=PhaseName(wanted) if wanted else None,
            at=at,
            due=frozenset(due),
            troubled=frozenset(troubled),
        )

    def demands(self, node: str, stages: Sequence[str]) -> dict[str, Demand]:
        """What each of these stages has to do, by its name; those without work are left out."""
        due = _is_due()
        here = Q(state=State.RUNNING, worker__node=node)
        rows = (
            self.live()
            .filter(stage__in=stages)
            .values_list("stage")
            .annotate(
                ready=Count("pk", filter=due),
                runs=Count("pk", filter=here),
                waited=Now() - Min("staged_at", filter=due),
            )
        )
        return {
            stage: Demand(ready, runs, waited.total_seconds() if waited else 0) for stage, ready, runs, waited in rows
        }

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
        """The one writer of `state`: compare-and-set on each task's epoch, with companion fields, event and signal.

        Returns the ids that moved; the others are somebody else's by now.
        """
        sources, target = TRANSITIONS[verb]
        companions: dict[str, Any] = {"state": str(target)}
        if verb not in IN_PLACE:
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
                task.publish()
        return moved

    def forget(self, submission_id: uuid.UUID, *, by: str) -> None:
        """A person deletes a submission: all work on it is deleted, whatever its state. Only within a transaction.

        Whoever works on one of the tasks has lost its claim: no later write of theirs finds a row.
        """
        # Locked first: a worker that records an outcome at this moment comes before, as a whole, or not at all.
        tasks = list(self.filter(submission=submission_id).select_for_update(of=("self",)).order_by("pk"))
        if not tasks:
            return
        for task in tasks:
            task.publish()
        self.filter(pk__in=[task.pk for task in tasks]).delete()
        # Their own events are deleted with them; this one stays, so that whoever polls the newest event sees a change.
        detail = {"by": by, "submission": str(submission_id), "tasks": [task.pk for task in tasks]}
        Event.objects.create(kind="delete", detail=detail)

    def _rows(self, query: statements.Query) -> list[tuple[Any, ...]]:
        with connections[self.db].cursor() as cursor:
            cursor.execute(*query)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
