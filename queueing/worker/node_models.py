"""The models of one node: which engine serves which stage, how they share the memory, and whose turn it is."""

from __future__ import annotations

from threading import Event

from queueing import gpu, pipelines
from queueing.engines.base import Engine, Engines
from queueing.exceptions import StageError
from queueing.models import Task
from queueing.pipelines import StageSpec
from queueing.policy import lanes, memory_plan
from queueing.policy.lanes import Lane
from queueing.policy.memory_plan import MemoryPlan, Mode
from queueing.states import PhaseName
from queueing.worker.background.line_facts import NodeCapacity
from queueing.worker.coordinator import Turn
from queueing.worker.model_servers import ModelServers
from queueing.worker.options import Options


class NodeModels:
    """Implements `coordinator.Owner`. Used by the worker's main thread only."""

    def __init__(
        self, node: str, engines: Engines, servers: ModelServers, options: Options, *, device: gpu.Gpu, hurry: Event
    ) -> None:
        self.node, self.engines, self.servers, self.options = node, engines, servers, options
        self.device, self.hurry = device, hurry
        # An engine is named by the first of its roles.
        self._names = {role: roles[0] for _, roles in engines.language_models() for role in roles}

    def lanes(self, phase: PhaseName, plan: MemoryPlan) -> list[Lane]:
        """The stages of a phase, by the engine that serves them and the pipeline that they are of."""
        found: dict[tuple[str, str, bool], list[StageSpec]] = {}
        for pipeline in map(pipelines.get, pipelines.names()):
            for spec in pipeline.stages:
                if spec.phase == phase:
                    found.setdefault((self._name(spec.engine), pipeline.name, spec.batched), []).append(spec)
        return [self._lane(name, pipeline, specs, plan) for (name, pipeline, _), specs in found.items()]

    def capacity(self, plan: MemoryPlan, holder: Turn | None, dwelt_seconds: float) -> NodeCapacity:
        """How this worker works, for the forecast. Safe from any thread: it only reads."""
        return NodeCapacity(
            limits=self.options.limits,
            lanes=tuple(lane for phase in PhaseName for lane in self.lanes(phase, plan)),
            take_turns=plan.mode == Mode.SUB_PHASES,
            holder=holder.role if holder else None,
            node=self.node,
            dwelt=dwelt_seconds,
        )

    def make_plan(self) -> MemoryPlan:
        return memory_plan.plan_for(self.engines, gpu.card(self.device.read()), self.options.together)

    def next_turn(self, plan: MemoryPlan, holder: Turn | None, held_seconds: float) -> Turn:
        known = self.lanes(PhaseName.EVAL, plan)
        # A model whose server does not answer has no turn, but for the probe whether it is back.
        loadable = [lane for lane in known if self.servers.may_be_loaded(lane.stages[0])] or known
        name = lanes.whose_turn(
            loadable,
            Task.objects.demands(self.node, pipelines.stages_of(PhaseName.EVAL)),
            holder and holder.role,
            held_seconds=held_seconds,
            max_dwell_seconds=self.options.limits.max_dwell_seconds,
        )
        return Turn(str(name), self.engines.of(str(name)))

    def is_hurried(self) -> bool:
        return self.hurry.is_set()

    def is_left_out(self, engine: Engine) -> bool:
        return self.servers.is_left_out(engine)

    def on_load_error(self, engine: Engine, error: StageError) -> bool:
        return self.servers.on_load_error(engine, error)

    def free_memory(self, engine: Engine) -> bool:
        return self.servers.restart_stuck(engine)

    def _name(self, role: str) -> str:
        return self._names.get(role, role)

    def _lane(self, name: str, pipeline: str, specs: list[StageSpec], plan: MemoryPlan) -> Lane:
        return Lane(
            engine=name,
            stages=tuple(spec.name for spec in specs),
            slots=plan.slots_of(name, self.engines.of(name)),
            phase=specs[0].phase,
            pipeline=pipeline,
            priority=max(spec.priority for spec in specs),
            max_slots=min((spec.max_slots for spec in specs if spec.max_slots is not None), default=None),
            batched=specs[0].batched,
            one_per_owner=pipelines.get(pipeline).one_per_owner,
            share=next((spec.share for spec in specs if spec.share), None),
        )
