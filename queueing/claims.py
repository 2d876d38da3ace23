"""What a worker takes on: lanes with room, batches, claims. Whether anything may be taken is decided elsewhere."""

from __future__ import annotations

from collections.abc import Hashable
from threading import Event

from queueing import pipelines, policy
from queueing.coordinator import Coordinator
from queueing.forecast.facts import Crew
from queueing.jobs import Jobs
from queueing.models import Batch, Task, Worker
from queueing.options import Options
from queueing.planner import Mode
from queueing.servers import Servers
from queueing.states import PhaseName


class Claims:
    """Of one registered worker, for the phase that its coordinator has loaded. Used by its main thread only."""

    def __init__(self, row: Worker, jobs: Jobs, coordinator: Coordinator, servers: Servers, options: Options) -> None:
        self.row, self.node = row, row.node
        self.jobs, self.coordinator, self.servers, self.options = jobs, coordinator, servers, options
        self.dry: set[Hashable] = set()  # engines that nothing was due for a moment ago

    def close_batch(self) -> None:
        for batch in Batch.objects.filter(node=self.node, phase=PhaseName.STT):
            batch.close_transcription()

    def fill_batch(self) -> Batch | None:
        return Task.objects.fill_batch(self.node, self.options.limits.batch_size)

    def take_all(self, *, may_fill: bool, unless: Event) -> list[Task]:
        """Claim what there is room for, of new batches only if it `may_fill` one; each is started at once."""
        claimed: list[Task] = []
        while not unless.is_set() and (found := self._first_room()):
            for task in self._claim(*found, may_fill=may_fill):
                self.jobs.start(task)
                claimed.append(task)
        return claimed

    def _first_room(self) -> tuple[policy.Lane, int] | None:
        """A lane that has room, and work as far as is known. After each claim it is asked anew."""
        phase = self.coordinator.current
        if phase is None or self.jobs.alone():
            return None
        holder = self.coordinator.holder
        rooms = policy.rooms(self._open_lanes(phase), self.jobs.per_engine(), only=holder and id(holder.engine))
        return next(((lane, room) for lane, room in rooms if lane.engine not in self.dry), None)

    def lanes(self, phase: PhaseName) -> list[policy.Lane]:
        """The stages of a phase, by the engine that serves them."""
        found: dict[int, tuple[int, list[str]]] = {}
        for spec in pipelines.specs_of(phase):
            engine = self.jobs.engine_of(spec)
            slots = self.coordinator.plan.slots_of(spec.engine, engine)
            found.setdefault(id(engine), (slots, []))[1].append(spec.name)
        return [policy.Lane(key, tuple(dict.fromkeys(names)), slots) for key, (slots, names) in found.items()]

    def crew(self) -> Crew:
        """How this worker works, for those who reckon with it. Safe from any thread: it only reads."""
        names: dict[int, str] = {}
        lanes, slots = {}, {}
        for spec in [spec for phase in PhaseName for spec in pipelines.specs_of(phase)]:
            engine = self.jobs.engine_of(spec)
            lanes[spec.name] = lane = names.setdefault(id(engine), spec.engine)
            slots[lane] = self.coordinator.plan.slots_of(spec.engine, engine)
        return Crew(
            limits=self.options.limits,
            lanes=lanes,
            slots=slots,
            turns=self.coordinator.plan.mode == Mode.SUB_PHASES,
            holder=names[id(holder.engine)] if (holder := self.coordinator.holder) else None,
            node=self.node,
            dwelt=self.coordinator.dwelt_seconds,
        )

    def _open_lanes(self, phase: PhaseName) -> list[policy.Lane]:
        """Those whose model server may be called."""
        return [lane for lane in self.lanes(phase) if not self.servers.shut(lane.stages[0])]

    def _claim(self, lane: policy.Lane, room: int, *, may_fill: bool) -> list[Task]:
        if self.coordinator.current == PhaseName.STT:
            claimed = self._claim_transcriptions(lane, room, may_fill=may_fill)
        else:
            claimed = self._take(lane, room)
        if len(claimed) < room:
            self.dry.add(lane.engine)
        return claimed

    def _claim_transcriptions(self, lane: policy.Lane, room: int, *, may_fill: bool) -> list[Task]:
        """From the open batch; when nothing of it is due, who waits outside fills it up, or the next one."""
        batch = Batch.objects.filter(node=self.node, phase=PhaseName.STT).first()
        claimed = self._take(lane, room, batch) if batch else []
        if not claimed and may_fill and (batch := self.fill_batch()):
            claimed = self._take(lane, room, batch)
        return claimed

    def _take(self, lane: policy.Lane, room: int, batch: Batch | None = None) -> list[Task]:
        return Task.objects.claim(
            worker=self.row,
            stages=lane.stages,
            limit=room,
            lease_seconds=self.options.lease_seconds,
            batch=batch,
            beside=self.jobs.computing(),
        )
