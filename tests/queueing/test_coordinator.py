"""The hand-over, with engines that record what is done to them."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from queueing.coordinator import Coordinator
from queueing.engines.base import Engine, Resident
from queueing.exceptions import Infrastructure, StageError
from queueing.models import Event, Phase
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
