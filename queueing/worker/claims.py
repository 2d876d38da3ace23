"""What a worker takes on: lanes with room, batches, claims. Whether anything may be taken is decided elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from threading import Event

from queueing import pipelines
from queueing.models import Batch, Task, Worker
from queueing.policy import lanes
from queueing.policy.lanes import Lane, Room
from queueing.states import PhaseName
from queueing.worker.coordinator import Coordinator
from queueing.worker.jobs import Jobs
from queueing.worker.node_models import NodeModels
from queueing.worker.options import Options


class Claims:
    """Of one registered worker, for the phase that its coordinator has loaded. Used by its main thread only."""

    def __init__(self, row: Worker, jobs: Jobs, coordinator: Coordinator, models: NodeModels, options: Options) -> None:
        self.row, self.node = row, row.node
        self.jobs, self.coordinator, self.models, self.options = jobs, coordinator, models, options
        self._due: set[str] = set()  # the stages of which something may be there to claim
        self._empty_lanes: set[Lane] = set()  # none of their tasks was due at the last claim
        self._passed_over: Counter[Lane] = Counter()  # tasks of other lanes of its engine, taken since its last one

    def note_due(self, stages: Collection[str] | None) -> None:
        """From now on only these are claimed from, all if it is None: an attempt in vain costs three round trips."""
        self._due = {stage.name for stage in pipelines.specs()} if stages is None else {*stages}
        self._empty_lanes.clear()

    def note_ended(self, pipeline: str) -> None:
        """What waited for a task of this pipeline may be due now."""
        self._due |= {stage.name for stage in pipelines.get(pipeline).stages}
        self._empty_lanes = {lane for lane in self._empty_lanes if lane.pipeline != pipeline}

    def close_batch(self) -> None:
        for batch in Batch.objects.filter(node=self.node, phase=PhaseName.STT):
            batch.close_transcription()

    def fill_batch(self) -> Batch | None:
        return Task.objects.fill_batch(self.node, self.options.limits.batch_size)

    def take_all(self, *, may_fill: bool, unless: Event) -> list[Task]:
        """Claim what there is room for, of new batches only if it `may_fill` one; each is started at once."""
        claimed: list[Task] = []
        while not unless.is_set() and (found := self._rooms()):
            lane, room = lanes.next_room(found, self._passed_over) or found[0]
            tasks = self._claim(lane, room, may_fill=may_fill)
            self._count(lane, len(tasks), room, found)
            for task in tasks:
                self.jobs.start(task)
            claimed += tasks
        return claimed

    def _rooms(self) -> list[Room]:
        """The lanes that have room and, as far as is known, work. Computed anew after each claim."""
        phase = self.coordinator.current
        if phase is None or self.jobs.is_exclusive():
            return []
        holder = self.coordinator.holder
        known = self.models.lanes(phase, self.coordinator.plan)
        # Those whose model server may be called.
        open_lanes = [lane for lane in known if not self.models.servers.is_shut(lane.stages[0])]
        empty = self._empty_lanes | {lane for lane in open_lanes if self._due.isdisjoint(lane.stages)}
        return lanes.rooms(open_lanes, self.jobs.per_stage(), only=holder and holder.role, empty=empty)

    def _count(self, lane: Lane, taken: int, room: int, found: list[Room]) -> None:
        """Count the lanes that this claim passed over, so that none waits for ever."""
        if taken or lane.share is None:
            self._passed_over[lane] = 0  # what has a share keeps it until there is something to do
        for other, _ in found:
            if other != lane and other.engine == lane.engine:
                self._passed_over[other] += taken
        if taken < room:
            self._empty_lanes.add(lane)

    def _claim(self, lane: Lane, room: int, *, may_fill: bool) -> list[Task]:
        if not lane.batched:
            return self._take(lane, room)
        # From the open batch; when none of its tasks is due, waiting uploads fill it up, or the next one.
        batch = Batch.objects.filter(node=self.node, phase=PhaseName.STT).first()
        claimed = self._take(lane, room, batch) if batch else []
        if not claimed and may_fill and (batch := self.fill_batch()):
            claimed = self._take(lane, room, batch)
        return claimed

    def _take(self, lane: Lane, room: int, batch: Batch | None = None) -> list[Task]:
        return Task.objects.claim(
            worker=self.row,
            stages=lane.stages,
            limit=room,
            lease_seconds=self.options.lease_seconds,
            batch=batch,
            beside=self.jobs.computing(),
            one_per_owner=lane.one_per_owner,
        )
