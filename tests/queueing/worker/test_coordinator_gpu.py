"""The hand-over over a GPU that reports every overlap: its driver's double, over the card that the models draw on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from queueing.engines.base import Engine, Resident
from queueing.gpu import Device
from queueing.models import Event, Phase
from queueing.states import PhaseName, PhaseStep
from queueing.worker import coordinator as module
from queueing.worker.coordinator import Coordinator
from tests.doubles import card as card_module
from tests.doubles.card import GIB, MIB, FakeCard
from tests.doubles.models import NEVER, CardModel
from tests.doubles.nvml import Nvml
from tests.doubles.owner import FakeOwner

pytestmark = pytest.mark.django_db

Start = Callable[..., Coordinator]


class SteppingClock:
    """Everybody's time, which only goes by in sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.after_sleep: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.after_sleep()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> SteppingClock:
    clock = SteppingClock()
    for there in (module, card_module):
        monkeypatch.setattr(there, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    return clock


@pytest.fixture
def card(tmp_path: Path) -> Iterator[FakeCard]:
    """With 300 MiB that the desktop holds."""
    card = FakeCard(tmp_path / "card")
    card.take("xorg", "", 300 * MIB)
    yield card
    ledger = card.look()
    assert ledger.overlaps == []
    assert ledger.most <= card.total


@pytest.fixture
def whisper(card: FakeCard) -> CardModel:
    return CardModel(card, "whisper", "stt", 3 * GIB)


@pytest.fixture
def mistral(card: FakeCard) -> CardModel:
    return CardModel(card, "mistral", "eval", 5 * GIB, server="http://ollama")


@pytest.fixture
def start(card: FakeCard, whisper: CardModel, mistral: CardModel, clock: SteppingClock) -> Start:
    """A coordinator that begins, as the worker's first or after one that was killed."""

    def make(on_stuck: Callable[[Engine], bool] = lambda engine: False) -> Coordinator:
        engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, mistral]}
        made = Coordinator("n1", engines, FakeOwner(free=on_stuck), gpu=Device(Nvml(card)), clock=clock.monotonic)
        made.reconcile()
        return made

    return make


def step() -> str:
    return Phase.objects.get().step


def reason() -> str:
    return Phase.objects.get().reason


@pytest.mark.parametrize("seconds", [0, 2, 29])
def test_nothing_is_loaded_before_the_memory_of_the_last_model_is_back(
    start: Start, mistral: CardModel, clock: SteppingClock, seconds: float
) -> None:
    """F40: "unloaded" is answered before the memory is free; the card reports a load that came too early."""
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    mistral.frees_after = seconds
    began = clock.now
    coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE
    assert seconds <= clock.now - began <= seconds + 0.2
    assert Event.objects.filter(kind="phase_verifying").count() == (seconds > 0)


def test_memory_that_does_not_come_back_blocks_with_the_figures_and_both_phases_wait(
    start: Start, mistral: CardModel, whisper: CardModel, clock: SteppingClock
) -> None:
    """F40."""
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    mistral.frees_after = NEVER
    began = clock.now
    coordinator.switch(PhaseName.STT)
    assert 30 <= clock.now - began < 31
    assert (step(), whisper.loads) == (PhaseStep.BLOCKED, 0)
    assert "5,420 MiB of 8,192 MiB are in use, 300 MiB were when nothing of ours was loaded" in reason()
    assert not coordinator.switch(PhaseName.EVAL)
    assert not coordinator.switch(None)
    clock.now += 60
    mistral.restart()
    assert coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE


def test_the_successor_of_a_killed_worker_does_not_take_slow_memory_for_somebody_elses(
    start: Start, mistral: CardModel, clock: SteppingClock
) -> None:
    """F06, F40: the record of what others hold survives."""
    start().switch(PhaseName.EVAL)
    mistral.frees_after = 20
    mistral.unload()  # as far as the first one came
    began = clock.now
    successor = start()
    assert clock.now - began >= 20
    successor.switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE
    assert Phase.objects.get().empty_bytes == 300 * MIB


def test_a_successor_that_waits_for_memory_does_not_call_it_other_programs(
    start: Start, card: FakeCard, mistral: CardModel
) -> None:
    start().switch(PhaseName.EVAL)
    mistral.frees_after = NEVER
    mistral.unload()
    share, _ = start().memory.outlook()
    assert step() == PhaseStep.BLOCKED
    assert share == 1 - 300 * MIB / card.total


def test_at_the_very_first_start_a_model_that_is_there_already_is_not_somebody_elses(
    start: Start, mistral: CardModel, clock: SteppingClock
) -> None:
    mistral.load()
    mistral.frees_after = 10
    start().switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE
    assert Phase.objects.get().empty_bytes == 300 * MIB


def test_a_program_that_stays_is_named_and_a_person_can_accept_it(
    start: Start, card: FakeCard, clock: SteppingClock
) -> None:
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    card.take("blender", "", 1 * GIB, pid=1)
    coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.BLOCKED
    assert re.search(r"on it: .*blender \(pid \d+, 1,024 MiB\)\. .* queue_recover --accept-gpu-memory", reason())
    assert Phase.accept_gpu_memory(node="n1", by="operator")
    clock.now += 60
    coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE
    assert Phase.objects.get().empty_bytes == GIB + 300 * MIB


def test_a_program_that_comes_while_nothing_of_ours_is_loaded_blocks_nobody(start: Start, card: FakeCard) -> None:
    coordinator = start()
    card.take("blender", "", 1 * GIB, pid=1)
    coordinator.switch(PhaseName.EVAL)
    assert step() == PhaseStep.ACTIVE
    coordinator.switch(None)
    card.take("browser", "", 1 * GIB)
    start().switch(PhaseName.STT)  # a new day: the last worker left in order
    assert step() == PhaseStep.ACTIVE


def test_what_a_program_held_that_left_does_not_hide_as_much_of_ours(
    start: Start, card: FakeCard, mistral: CardModel, clock: SteppingClock
) -> None:
    mistral.size = 3 * GIB
    card.take("blender", "", 3 * GIB, pid=1)
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    card.give_back("blender")
    mistral.frees_after = 5
    coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE


def test_a_model_is_not_loaded_where_others_leave_no_room(start: Start, card: FakeCard, mistral: CardModel) -> None:
    """F39: 5 GiB would fit into the 5.2 that are free, but not below 85 % of the card."""
    card.take("blender", "", 5 * GIB // 2, pid=1)
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    assert (step(), mistral.loads) == (PhaseStep.BLOCKED, 0)
    assert "no room for mistral on the GPU: it needs 5,120 MiB and 512 MiB to spare, 5,332 MiB of 8,192" in reason()
    assert "blender" in reason()
    coordinator.switch(PhaseName.STT)  # the other model is smaller
    assert step() == PhaseStep.ACTIVE


@pytest.mark.parametrize(
    ("size", "others", "admitted"),
    [
        (6963 * MIB - 300 * MIB, 0, True),  # 85 % of 8,192 are 6,963.2
        (6964 * MIB - 300 * MIB, 0, False),
        (1 * GIB, 5939 * MIB - 300 * MIB, True),
        (1 * GIB, 5940 * MIB - 300 * MIB, False),
    ],
)
def test_the_threshold_is_85_percent_of_the_card(
    start: Start, card: FakeCard, mistral: CardModel, size: int, others: int, admitted: bool
) -> None:
    """F39."""
    mistral.size = size
    if others:
        card.take("blender", "", others, pid=1)
    start().switch(PhaseName.EVAL)
    assert (step() == PhaseStep.ACTIVE) == admitted


def test_a_model_that_two_engines_share_is_counted_once(
    card: FakeCard, whisper: CardModel, mistral: CardModel, clock: SteppingClock
) -> None:
    class SameModel(CardModel):
        """Another engine of the server that holds it."""

        def load(self) -> None:
            assert mistral.loaded

        def resident(self) -> tuple[Resident, ...]:
            return mistral.resident()

    rate = SameModel(card, "mistral", "eval", mistral.size, server=mistral.server)
    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [mistral, rate]}
    coordinator = Coordinator("n1", engines, FakeOwner(), gpu=Device(Nvml(card)), clock=clock.monotonic)
    coordinator.switch(PhaseName.EVAL)
    assert step() == PhaseStep.ACTIVE


class Undeclared(CardModel):
    """What it will take is unknown."""

    def needs(self) -> int | None:
        return None


@pytest.mark.parametrize(("others", "admitted"), [(7380, True), (7381, False)])
def test_a_model_of_unknown_need_is_loaded_while_512_mib_are_free(
    start: Start, card: FakeCard, mistral: CardModel, others: int, admitted: bool
) -> None:
    """F39."""
    mistral.__class__ = Undeclared
    mistral.size = 400 * MIB
    card.take("blender", "", others * MIB, pid=1)
    start().switch(PhaseName.EVAL)
    assert (step() == PhaseStep.ACTIVE) == admitted


def test_a_model_that_fell_back_to_the_processor_is_unloaded_and_reported(start: Start, mistral: CardModel) -> None:
    """F53."""
    mistral.on_gpu = 0.63
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    assert step() == PhaseStep.BLOCKED
    assert reason().startswith("only 63% of mistral is on the GPU")
    assert coordinator.resident() == []


def test_a_model_that_is_wholly_on_the_processor_is_no_better(start: Start, mistral: CardModel) -> None:
    """F53."""
    mistral.on_gpu = 0.0
    start().switch(PhaseName.EVAL)
    assert reason().startswith("only 0% of mistral is on the GPU")


def test_without_a_gpu_a_model_on_the_processor_is_where_it_should_be(
    start: Start, card: FakeCard, mistral: CardModel
) -> None:
    card.trouble("no library")
    mistral.on_gpu = 0.0
    start().switch(PhaseName.EVAL)
    assert step() == PhaseStep.ACTIVE
    assert Phase.objects.get().empty_bytes is None


@pytest.mark.parametrize("trouble", ["lost", "unknown", "not supported", "no driver"])
def test_an_unknown_gpu_blocks_and_is_used_again_when_it_is_known(
    start: Start, card: FakeCard, whisper: CardModel, clock: SteppingClock, trouble: str
) -> None:
    """F43."""
    coordinator = start()
    card.trouble(trouble)
    coordinator.switch(PhaseName.STT)
    assert (step(), whisper.loads) == (PhaseStep.BLOCKED, 0)
    assert reason().startswith("the GPU's state is unknown: ")
    card.trouble("")
    clock.now += 3
    coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE


def test_a_gpu_that_none_of_our_models_uses_is_others_business(
    start: Start, card: FakeCard, whisper: CardModel, mistral: CardModel
) -> None:
    for model in (whisper, mistral):
        model.size, model.on_gpu = 0, 0.0
    coordinator = start()
    coordinator.switch(PhaseName.STT)
    card.take("blender", "", 7 * GIB, pid=1)
    card.trouble("lost")
    coordinator.switch(PhaseName.EVAL)
    assert step() == PhaseStep.ACTIVE
    assert coordinator.memory.outlook() == (1.0, "")


# What does not let go


def test_a_server_whose_memory_stays_is_restarted_once_and_its_memory_waited_for(
    start: Start, mistral: CardModel
) -> None:
    """F40: then restart."""
    asked: list[Engine] = []

    def restart(engine: Engine) -> bool:
        asked.append(engine)
        mistral.restart()
        return True

    coordinator = start(restart)
    coordinator.switch(PhaseName.EVAL)
    mistral.frees_after = NEVER
    coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.ACTIVE
    assert asked == [mistral]


@pytest.mark.parametrize(("fixes", "waits"), [(True, 60), (False, 30)])
def test_what_a_restart_does_not_mend_blocks(
    start: Start, mistral: CardModel, clock: SteppingClock, fixes: bool, waits: float
) -> None:
    coordinator = start(lambda engine: fixes)
    coordinator.switch(PhaseName.EVAL)
    mistral.frees_after = NEVER
    began = clock.now
    coordinator.switch(PhaseName.STT)
    assert step() == PhaseStep.BLOCKED
    assert waits <= clock.now - began < waits + 1


class Clinging(CardModel):
    """Says that it is still there."""

    def unload(self) -> None:
        """Not at all."""


def test_the_model_that_is_still_reported_is_the_one_to_restart(
    start: Start, whisper: CardModel, mistral: CardModel
) -> None:
    asked: list[Engine] = []

    def cannot(engine: Engine) -> bool:
        asked.append(engine)
        return False

    coordinator = start(cannot)
    coordinator.switch(PhaseName.STT)
    whisper.__class__ = Clinging
    coordinator.switch(PhaseName.EVAL)
    assert asked == [whisper]
    assert reason() == "still in memory: whisper"


def test_one_who_is_in_a_hurry_waits_for_nothing(start: Start, mistral: CardModel, clock: SteppingClock) -> None:
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    mistral.frees_after = NEVER
    coordinator.owner = FakeOwner(hurried=lambda: True)
    began = clock.now
    coordinator.leave()
    assert clock.now == began
    assert step() == PhaseStep.BLOCKED


def test_what_others_leave_is_reported_without_our_own(start: Start, card: FakeCard) -> None:
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    share, _ = coordinator.memory.outlook()
    assert share == 1 - 300 * MIB / card.total
    card.take("blender", "", GIB, pid=1)
    share, words = coordinator.memory.outlook()
    assert share == 1 - (GIB + 300 * MIB) / card.total
    assert words.startswith("16% of the GPU's memory is taken by other programs: xorg")
    assert "blender (pid 1, 1,024 MiB)" in words
    card.trouble("lost")
    assert coordinator.memory.outlook() == (None, "the GPU's state is unknown: GPU is lost")


def test_a_load_that_could_not_be_measured_is_measured_when_the_driver_answers_again(
    start: Start, card: FakeCard, mistral: CardModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = mistral.load

    def load_and_lose() -> None:
        load()
        card.trouble("lost")

    monkeypatch.setattr(mistral, "load", load_and_lose)
    coordinator = start()
    coordinator.switch(PhaseName.EVAL)
    assert step() == PhaseStep.ACTIVE
    card.trouble("")
    share, _ = coordinator.memory.outlook()
    assert share == 1 - 300 * MIB / card.total
