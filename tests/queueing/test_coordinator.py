"""The hand-over, with engines that record what is done to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from queueing.coordinator import Coordinator, Turn
from queueing.engines.base import Engine, Resident
from queueing.exceptions import Infrastructure, StageError
from queueing.models import Event, Phase
from queueing.planner import Mode, Plan
from queueing.states import PhaseName, Step

pytestmark = pytest.mark.django_db


@dataclass
class Model:
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


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.01
        return self.now


@pytest.fixture
def journal() -> list[str]:
    return []


@pytest.fixture
def whisper(journal: list[str]) -> Model:
    return Model("whisper", journal)


@pytest.fixture
def mistral(journal: list[str]) -> Model:
    return Model("mistral", journal)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def coordinator(whisper: Model, mistral: Model, clock: Clock) -> Coordinator:
    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, mistral]}
    return Coordinator("n1", engines, verify_seconds=0.2, clock=clock)


def step() -> tuple[str, str]:
    row = Phase.objects.get(node="n1")
    return row.step, row.name


def test_the_old_model_is_gone_before_the_new_one_is_loaded(coordinator: Coordinator, journal: list[str]) -> None:
    coordinator.switch(PhaseName.STT)
    coordinator.switch(PhaseName.EVAL)
    assert journal == ["load whisper", "unload whisper", "load mistral"]
    assert step() == (Step.ACTIVE, PhaseName.EVAL)


def test_every_step_is_written_down_in_order(coordinator: Coordinator) -> None:
    coordinator.switch(PhaseName.STT)
    coordinator.drain(PhaseName.EVAL, "why")
    coordinator.switch(PhaseName.EVAL)
    kinds = list(Event.objects.filter(node="n1").values_list("kind", flat=True))
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
    coordinator: Coordinator, whisper: Model, mistral: Model
) -> None:
    coordinator.switch(PhaseName.STT)
    whisper.stuck = True
    coordinator.switch(PhaseName.EVAL)
    assert step()[0] == Step.BLOCKED
    assert "whisper" in Phase.objects.get().reason
    assert not mistral.loaded


def test_a_blocked_hand_over_is_tried_again_after_a_pause_and_recovers(
    coordinator: Coordinator, mistral: Model, clock: Clock
) -> None:
    mistral.broken = "no server"
    coordinator.switch(PhaseName.EVAL)
    assert coordinator.blocked
    assert not coordinator.switch(PhaseName.EVAL)
    mistral.broken = ""
    clock.now += 10
    assert coordinator.switch(PhaseName.EVAL)
    assert step() == (Step.ACTIVE, PhaseName.EVAL)


def test_a_new_coordinator_unloads_what_the_last_one_left(
    coordinator: Coordinator, whisper: Model, mistral: Model
) -> None:
    whisper.loaded = mistral.loaded = True
    coordinator.reconcile()
    assert not whisper.loaded
    assert not mistral.loaded
    assert step() == (Step.IDLE, "")


def test_a_dead_engine_is_loaded_again_in_the_same_phase(coordinator: Coordinator, whisper: Model) -> None:
    coordinator.switch(PhaseName.STT)
    whisper.loaded = False
    coordinator.mend()
    assert whisper.loaded
    assert step() == (Step.ACTIVE, PhaseName.STT)


def test_a_model_whose_server_is_left_alone_is_not_loaded_and_does_not_hold_up_the_others(
    whisper: Model, mistral: Model, journal: list[str]
) -> None:
    """F45"""
    llama = Model("llama", journal)
    mistral.broken = "no server"
    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, llama]}
    coordinator = Coordinator("n1", engines, leave_out=lambda engine: engine is mistral)
    coordinator.switch(PhaseName.EVAL)
    assert step() == (Step.ACTIVE, PhaseName.EVAL)
    coordinator.mend()
    assert journal == ["load llama"]


def test_a_model_whose_server_has_a_breaker_is_loaded_again_when_that_says_so(
    whisper: Model, mistral: Model, clock: Clock
) -> None:
    """F45: not after the coordinator's own pause, which grows to a minute."""
    refused: list[str] = []

    def heed(engine: Engine, error: StageError) -> bool:
        refused.append(f"{engine.name}: {error}")
        return True

    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral]}
    coordinator = Coordinator("n1", engines, clock=clock, on_refusal=heed)
    mistral.broken = "no server"
    coordinator.switch(PhaseName.EVAL)
    assert coordinator.blocked
    assert refused == ["mistral: no server"]
    mistral.broken = ""
    assert coordinator.switch(PhaseName.EVAL)
    assert step() == (Step.ACTIVE, PhaseName.EVAL)


@pytest.fixture
def llama(journal: list[str]) -> Model:
    return Model("llama", journal)


@pytest.fixture
def plans() -> list[Plan]:
    """The last one is the one that is made from now on."""
    return [Plan(Mode.SUB_PHASES, "too large")]


@pytest.fixture
def in_turns(whisper: Model, mistral: Model, llama: Model, clock: Clock, plans: list[Plan]) -> Coordinator:
    """Mistral and Llama don't fit together; Mistral begins."""
    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, llama]}
    return Coordinator(
        "n1",
        engines,
        planned=lambda: plans[-1],
        first=lambda: Turn("extract", mistral),
        verify_seconds=0.2,
        clock=clock,
    )


def test_of_models_that_take_turns_one_is_out_before_the_other_one_comes_in(
    in_turns: Coordinator, llama: Model, journal: list[str]
) -> None:
    """F39, between the two language models."""
    in_turns.switch(PhaseName.EVAL)
    assert in_turns.turn(Turn("rate", llama))
    assert journal == ["load mistral", "unload mistral", "load llama"]
    assert Phase.objects.get().reason == "rates with llama"
    assert not in_turns.turn(Turn("rate", llama))
    assert journal[3:] == []


def test_a_turn_is_written_down_like_every_hand_over(in_turns: Coordinator, llama: Model) -> None:
    in_turns.switch(PhaseName.EVAL)
    in_turns.drain(PhaseName.EVAL, "llama's turn")
    in_turns.turn(Turn("rate", llama))
    told = [(event.kind, event.detail.get("reason")) for event in Event.objects.order_by("pk")]
    assert told == [
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


def test_a_turn_does_not_make_the_phase_younger(in_turns: Coordinator, llama: Model, clock: Clock) -> None:
    """Else a phase that passes turns would never have lasted long enough to give way to uploads."""
    in_turns.switch(PhaseName.EVAL)
    clock.now += 500
    in_turns.turn(Turn("rate", llama))
    assert in_turns.dwelt_seconds > 500
    assert in_turns.held_seconds < 1


def test_the_model_that_does_not_leave_blocks_the_turn(
    in_turns: Coordinator, mistral: Model, llama: Model, clock: Clock
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
    in_turns: Coordinator, mistral: Model, llama: Model, journal: list[str]
) -> None:
    in_turns.switch(PhaseName.EVAL)
    in_turns.turn(Turn("rate", llama))
    del journal[:]
    in_turns.mend()
    assert journal == []
    llama.loaded = False
    in_turns.mend()
    assert journal == ["load llama"]
    assert not mistral.loaded


def test_models_that_turn_out_to_fit_together_are_loaded_together(
    in_turns: Coordinator, mistral: Model, llama: Model, plans: list[Plan]
) -> None:
    """After the first load a server knows how large its model really is."""
    in_turns.switch(PhaseName.EVAL)
    plans.append(Plan(Mode.PIPELINED, "smaller than it looked"))
    in_turns.turn(Turn("rate", llama))
    assert mistral.loaded
    assert llama.loaded
    assert in_turns.holder is None
    assert Phase.objects.get().plan == "pipelined: smaller than it looked"


def test_a_plan_that_refuses_blocks_evaluation_with_its_reason_and_loads_nothing(
    in_turns: Coordinator, plans: list[Plan], journal: list[str], clock: Clock
) -> None:
    plans.append(Plan(Mode.REFUSED, "it needs 9 GiB of 4"))
    in_turns.switch(PhaseName.EVAL)
    assert journal == []
    assert (Phase.objects.get().step, Phase.objects.get().reason) == (Step.BLOCKED, "it needs 9 GiB of 4")
    in_turns.switch(PhaseName.STT)
    assert step() == (Step.ACTIVE, PhaseName.STT)
    clock.now += 10
    plans.append(Plan(Mode.SUB_PHASES, "a larger GPU"))
    in_turns.switch(PhaseName.EVAL)
    assert step() == (Step.ACTIVE, PhaseName.EVAL)


def test_the_plan_is_made_when_a_node_is_taken_over_and_written_down_once(in_turns: Coordinator) -> None:
    in_turns.reconcile()
    assert Phase.objects.get().plan == "sub-phases: too large"
    in_turns.switch(PhaseName.EVAL)
    assert Event.objects.filter(kind="plan").count() == 1
