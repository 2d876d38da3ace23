"""The hand-over, with engines that record what is done to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from queueing.engines.base import Engine, Resident
from queueing.exceptions import Infrastructure, StageError
from queueing.models import Event, Phase
from queueing.policy.memory_plan import MemoryPlan, Mode
from queueing.states import PhaseName, PhaseStep
from queueing.worker.coordinator import Coordinator, Turn
from tests.doubles.owner import FakeOwner

pytestmark = pytest.mark.django_db


@dataclass
class JournalModel:
    """An engine's life, and what the GPU would hold."""

    name: str
    journal: list[str]
    loaded: bool = False
    broken: str = ""
    stuck: bool = False
    model: str = field(init=False)
    simulated: bool = True
    slots: int = 1

    def __post_init__(self) -> None:
        self.model = self.name

    def load(self) -> None:
        if self.broken:
            raise Infrastructure(self.broken)
        self.journal.append(f"load {self.name}")
        self.loaded = True

    def unload(self) -> None:
        if self.loaded:
            self.journal.append(f"unload {self.name}")
        self.loaded = self.stuck

    @property
    def server(self) -> str:
        return ""

    def needs(self) -> int:
        return 0

    def resident(self) -> tuple[Resident, ...]:
        return (Resident(self.name, 1, "cpu"),) if self.loaded else ()


class TickingClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture
def journal() -> list[str]:
    return []


@pytest.fixture
def whisper(journal: list[str]) -> JournalModel:
    return JournalModel("whisper", journal)


@pytest.fixture
def mistral(journal: list[str]) -> JournalModel:
    return JournalModel("mistral", journal)


@pytest.fixture
def clock() -> TickingClock:
    return TickingClock()


@pytest.fixture
def coordinator(whisper: JournalModel, mistral: JournalModel, clock: TickingClock) -> Coordinator:
    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, mistral]}
    return Coordinator("n1", engines, FakeOwner(), verify_seconds=0.2, clock=clock)


def step() -> tuple[str, str]:
    row = Phase.objects.get(node="n1")
    return row.step, row.name


def test_the_old_model_is_gone_before_the_new_one_is_loaded(coordinator: Coordinator, journal: list[str]) -> None:
    coordinator.switch(PhaseName.STT)
    coordinator.switch(PhaseName.EVAL)
    assert journal == ["load whisper", "unload whisper", "load mistral"]
    assert step() == (PhaseStep.ACTIVE, PhaseName.EVAL)


def test_every_step_is_written_down_in_order(coordinator: Coordinator) -> None:
    coordinator.switch(PhaseName.STT)
    coordinator.drain(PhaseName.EVAL, "why")
    coordinator.switch(PhaseName.EVAL)
    steps = Event.objects.filter(node="n1", kind__startswith="phase_")
    kinds = list(steps.values_list("kind", flat=True))
    assert kinds == [
        "phase_loading",
        "phase_active",
        "phase_draining",
        "phase_unloading",
        "phase_loading",
        "phase_active",
    ]
    unloading = Event.objects.get(kind="phase_unloading").detail
    assert (unloading["name"], unloading["target"]) == (PhaseName.STT, PhaseName.EVAL)  # whoever looks sees what comes


def test_a_model_that_stays_in_memory_blocks_the_hand_over(
    coordinator: Coordinator, whisper: JournalModel, mistral: JournalModel
) -> None:
    coordinator.switch(PhaseName.STT)
    whisper.stuck = True
    coordinator.switch(PhaseName.EVAL)
    assert step()[0] == PhaseStep.BLOCKED
    assert "whisper" in Phase.objects.get().reason
    assert not mistral.loaded


def test_a_blocked_hand_over_is_tried_again_after_a_pause_and_recovers(
    coordinator: Coordinator, mistral: JournalModel, clock: TickingClock
) -> None:
    mistral.broken = "no server"
    coordinator.switch(PhaseName.EVAL)
    assert coordinator.blocked
    assert not coordinator.switch(PhaseName.EVAL)
    mistral.broken = ""
    clock.now += 10
    assert coordinator.switch(PhaseName.EVAL)
    assert step() == (PhaseStep.ACTIVE, PhaseName.EVAL)


def test_a_new_coordinator_unloads_what_the_last_one_left(
    coordinator: Coordinator, whisper: JournalModel, mistral: JournalModel
) -> None:
    whisper.loaded = mistral.loaded = True
    coordinator.reconcile()
    assert not whisper.loaded
    assert not mistral.loaded
    assert step() == (PhaseStep.IDLE, "")


def test_a_dead_engine_is_loaded_again_in_the_same_phase(coordinator: Coordinator, whisper: JournalModel) -> None:
    coordinator.switch(PhaseName.STT)
    whisper.loaded = False
    coordinator.reload_lost()
    assert whisper.loaded
    assert step() == (PhaseStep.ACTIVE, PhaseName.STT)


def test_a_model_whose_server_is_left_alone_is_not_loaded_and_does_not_hold_up_the_others(
    whisper: JournalModel, mistral: JournalModel, journal: list[str]
) -> None:
    """F45"""
    llama = JournalModel("llama", journal)
    mistral.broken = "no server"
    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, llama]}
    coordinator = Coordinator("n1", engines, FakeOwner(left_out=lambda engine: engine is mistral))
    coordinator.switch(PhaseName.EVAL)
    assert step() == (PhaseStep.ACTIVE, PhaseName.EVAL)
    coordinator.reload_lost()
    assert journal == ["load llama"]


def test_a_model_whose_server_has_a_breaker_is_loaded_again_when_that_says_so(
    whisper: JournalModel, mistral: JournalModel, clock: TickingClock
) -> None:
    """F45: not after the coordinator's own pause, which grows to a minute."""
    refused: list[str] = []

    def on_load_error(engine: Engine, error: StageError) -> bool:
        refused.append(f"{engine.name}: {error}")
        return True

    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral]}
    coordinator = Coordinator("n1", engines, FakeOwner(load_error=on_load_error), clock=clock)
    mistral.broken = "no server"
    coordinator.switch(PhaseName.EVAL)
    assert coordinator.blocked
    assert refused == ["mistral: no server"]
    mistral.broken = ""
    assert coordinator.switch(PhaseName.EVAL)
    assert step() == (PhaseStep.ACTIVE, PhaseName.EVAL)


@pytest.fixture
def llama(journal: list[str]) -> JournalModel:
    return JournalModel("llama", journal)


@pytest.fixture
def plans() -> list[MemoryPlan]:
    """The last one is the one that is made from now on."""
    return [MemoryPlan(Mode.SUB_PHASES, "too large")]


@pytest.fixture
def in_turns(
    whisper: JournalModel, mistral: JournalModel, llama: JournalModel, clock: TickingClock, plans: list[MemoryPlan]
) -> Coordinator:
    """Mistral and Llama don't fit together; Mistral begins."""
    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, llama]}
    return Coordinator(
        "n1",
        engines,
        FakeOwner(plan=lambda: plans[-1], first=lambda: Turn("extract", mistral)),
        verify_seconds=0.2,
        clock=clock,
    )


def test_of_models_that_take_turns_one_is_out_before_the_other_one_comes_in(
    in_turns: Coordinator, llama: JournalModel, journal: list[str]
) -> None:
    """F39, between the two language models."""
    in_turns.switch(PhaseName.EVAL)
    assert in_turns.turn(Turn("rate", llama))
    assert journal == ["load mistral", "unload mistral", "load llama"]
    assert Phase.objects.get().reason == "rates with llama"
    assert not in_turns.turn(Turn("rate", llama))
    assert journal[3:] == []


def test_a_turn_is_written_down_like_every_hand_over(in_turns: Coordinator, llama: JournalModel) -> None:
    in_turns.switch(PhaseName.EVAL)
    in_turns.drain(PhaseName.EVAL, "llama's turn")
    in_turns.turn(Turn("rate", llama))
    events = [(event.kind, event.detail.get("reason")) for event in Event.objects.order_by("pk")]
    assert events == [
        ("plan", None),
        ("phase_loading", "mistral"),
        ("phase_active", "extracts with mistral"),
        ("phase_draining", "llama's turn"),
        ("phase_unloading", None),
        ("phase_loading", "llama"),
        ("phase_active", "rates with llama"),
    ]


def test_a_draining_for_a_turn_that_is_taken_back_says_again_what_is_done(in_turns: Coordinator) -> None:
    in_turns.switch(PhaseName.EVAL)
    in_turns.drain(PhaseName.EVAL, "llama's turn")
    in_turns.stay()
    assert Phase.objects.get().reason == "extracts with mistral"


def test_a_turn_does_not_make_the_phase_younger(
    in_turns: Coordinator, llama: JournalModel, clock: TickingClock
) -> None:
    """Else a phase that passes turns would never have lasted long enough to give way to uploads."""
    in_turns.switch(PhaseName.EVAL)
    clock.now += 500
    in_turns.turn(Turn("rate", llama))
    assert in_turns.dwelt_seconds > 500
    assert in_turns.held_seconds < 1


def test_the_model_that_does_not_leave_blocks_the_turn(
    in_turns: Coordinator, mistral: JournalModel, llama: JournalModel, clock: TickingClock
) -> None:
    in_turns.switch(PhaseName.EVAL)
    mistral.stuck = True
    assert not in_turns.turn(Turn("rate", llama))
    assert not llama.loaded
    assert in_turns.blocked_target == PhaseName.EVAL
    mistral.stuck = False
    clock.now += 10
    assert in_turns.switch(PhaseName.EVAL)
    assert in_turns.holder == Turn("extract", mistral)


def test_a_model_that_waits_for_its_turn_is_not_missed(
    in_turns: Coordinator, mistral: JournalModel, llama: JournalModel, journal: list[str]
) -> None:
    in_turns.switch(PhaseName.EVAL)
    in_turns.turn(Turn("rate", llama))
    del journal[:]
    in_turns.reload_lost()
    assert journal == []
    llama.loaded = False
    in_turns.reload_lost()
    assert journal == ["load llama"]
    assert not mistral.loaded


def test_models_that_turn_out_to_fit_together_are_loaded_together(
    in_turns: Coordinator, mistral: JournalModel, llama: JournalModel, plans: list[MemoryPlan]
) -> None:
    """After the first load a server knows how large its model really is."""
    in_turns.switch(PhaseName.EVAL)
    plans.append(MemoryPlan(Mode.PIPELINED, "smaller than it looked"))
    in_turns.turn(Turn("rate", llama))
    assert mistral.loaded
    assert llama.loaded
    assert in_turns.holder is None
    assert Phase.objects.get().plan == "pipelined: smaller than it looked"


def test_a_plan_that_refuses_blocks_evaluation_with_its_reason_and_loads_nothing(
    in_turns: Coordinator, plans: list[MemoryPlan], journal: list[str], clock: TickingClock
) -> None:
    plans.append(MemoryPlan(Mode.REFUSED, "it needs 9 GiB of 4"))
    in_turns.switch(PhaseName.EVAL)
    assert journal == []
    assert (Phase.objects.get().step, Phase.objects.get().reason) == (PhaseStep.BLOCKED, "it needs 9 GiB of 4")
    in_turns.switch(PhaseName.STT)
    assert step() == (PhaseStep.ACTIVE, PhaseName.STT)
    clock.now += 10
    plans.append(MemoryPlan(Mode.SUB_PHASES, "a larger GPU"))
    in_turns.switch(PhaseName.EVAL)
    assert step() == (PhaseStep.ACTIVE, PhaseName.EVAL)


def test_the_plan_is_made_when_a_node_is_taken_over_and_written_down_once(in_turns: Coordinator) -> None:
    in_turns.reconcile()
    assert Phase.objects.get().plan == "sub-phases: too large"
    in_turns.switch(PhaseName.EVAL)
    assert Event.objects.filter(kind="plan").count() == 1
