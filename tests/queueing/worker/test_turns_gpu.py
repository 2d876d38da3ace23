"""Turns of two language models over a GPU that holds one of them, by the card that they draw on."""

from __future__ import annotations

from pathlib import Path

import pytest

from queueing import gpu
from queueing.models import Phase
from queueing.policy.memory_plan import MemoryPlan, Mode, Share, plan
from queueing.states import PhaseName, PhaseStep
from queueing.worker.coordinator import Coordinator, Turn
from tests.doubles.card import GIB, MIB, FakeCard
from tests.doubles.models import CardModel
from tests.doubles.nvml import Nvml
from tests.doubles.owner import FakeOwner

pytestmark = pytest.mark.django_db


@pytest.fixture
def card(tmp_path: Path) -> FakeCard:
    """With 300 MiB that the desktop holds."""
    card = FakeCard(tmp_path / "card")
    card.take("xorg", "", 300 * MIB)
    return card


def share(model: CardModel, slots: int = 1) -> Share:
    return Share(model.model, model.needs(), slots, 8192, 128 << 10, model.server, roles=(model.model,))


def start(card: FakeCard, whisper: CardModel, extract: CardModel, rate: CardModel, slots: int = 1) -> Coordinator:
    device = gpu.Device(Nvml(card))

    def planned() -> MemoryPlan:
        return plan(share(whisper), [share(extract, slots), share(rate, slots)], gpu.card(device.read()))

    engines = {PhaseName.STT: [whisper], PhaseName.EVAL: [extract, rate]}
    made = Coordinator("n1", engines, FakeOwner(plan=planned, first=lambda: Turn("extract", extract)), gpu=device)
    made.reconcile()
    return made


def test_an_8_gb_card_holds_whisper_mistral_and_llama_one_after_the_other(card: FakeCard) -> None:
    """F39, F40: the card reports two kinds at once, and a load before the last model's memory was back."""
    whisper = CardModel(card, "whisper", "stt", 3 * GIB)
    mistral = CardModel(card, "mistral", "extract", int(4.4 * GIB), server="http://ollama", frees_after=0.2)
    llama = CardModel(card, "llama", "rate", int(4.9 * GIB), server="http://ollama", frees_after=0.2)
    coordinator = start(card, whisper, mistral, llama)
    assert "don't fit together into the 6.5 GiB" in Phase.objects.get().plan
    for _ in range(2):
        coordinator.switch(PhaseName.STT)
        coordinator.switch(PhaseName.EVAL)
        assert coordinator.turn(Turn("rate", llama))
    coordinator.leave()
    assert (whisper.loads, mistral.loads, llama.loads) == (2, 2, 2)
    assert card.look().overlaps == []
    assert card.look().most <= card.total
    assert card.used <= 300 * MIB + int(4.9 * GIB)


def test_a_24_gb_card_holds_both_language_models_at_once(tmp_path: Path) -> None:
    card = FakeCard(tmp_path / "large", total=24 * GIB)
    mistral, llama = (CardModel(card, name, "eval", 5 * GIB, server="http://ollama") for name in ("mistral", "llama"))
    coordinator = start(card, CardModel(card, "whisper", "stt", 3 * GIB), mistral, llama)
    coordinator.switch(PhaseName.EVAL)
    assert coordinator.holder is None
    assert card.used == 10 * GIB


class Overstated(CardModel):
    """Says what it takes with three slots; its server has laid out one."""

    def needs(self) -> int:
        return self.size + 2 * GIB


def test_a_model_is_admitted_with_the_slots_that_the_plan_gives_it(card: FakeCard) -> None:
    """All three slots would take 8 GiB of an 8 GiB card; the guard before the load must not require them."""
    whisper = CardModel(card, "whisper", "stt", 3 * GIB)
    llama = Overstated(card, "llama", "eval", 6 * GIB, server="http://ollama")
    small = CardModel(card, "small", "eval", 4 * GIB, server="http://ollama")
    coordinator = start(card, whisper, llama, small, slots=3)
    coordinator.switch(PhaseName.EVAL)
    assert Phase.objects.get().step == PhaseStep.ACTIVE, Phase.objects.get().reason
    assert coordinator.plan.slots == {"llama": 1, "small": 3}


def test_a_card_that_others_fill_refuses_with_the_reason_and_takes_the_model_when_they_have_gone(
    card: FakeCard,
) -> None:
    whisper = CardModel(card, "whisper", "stt", 1 * GIB)
    mistral = CardModel(card, "mistral", "extract", int(4.4 * GIB), server="http://ollama")
    llama = CardModel(card, "llama", "rate", int(4.9 * GIB), server="http://ollama")
    card.take("blender", "", 2 * GIB)
    coordinator = start(card, whisper, mistral, llama)
    assert coordinator.plan.mode == Mode.REFUSED
    coordinator.switch(PhaseName.EVAL)
    assert "others hold 2.3 GiB" in Phase.objects.get().reason
    assert mistral.loads == 0
    card.give_back("blender")
    coordinator._not_before = 0
    coordinator.switch(PhaseName.EVAL)
    assert Phase.objects.get().step == PhaseStep.ACTIVE, Phase.objects.get().reason
