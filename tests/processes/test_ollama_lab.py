"""A lab as it was asked for: a worker, Whisper and two models of an Ollama on one card of 8 GB, in processes apart.

The card, its driver and Ollama are doubles, and Ollama gives memory back some time after it has said so; the worker,
its adapter and what they say to each other over HTTP are real.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from queueing.models import Attempt, Event, Phase, Task
from queueing.states import State
from tests.doubles.card import FakeCard
from tests.processes.conftest import ON_A_CARD, QUICK_LEASE, ROOT, SIMULATED, Spawn, Submit, wait_until

pytestmark = pytest.mark.slow

MODELS = {"mistral:7b-instruct": 4.1, "llama3:8b-instruct": 4.6}  # GiB of weights
SLOW = ("--load-seconds=0.2", "--unload-seconds=0.3", "--free-seconds=0.5")


@pytest.fixture
def lab(card: FakeCard) -> Iterator[dict[str, str]]:
    """What a worker of this lab is told."""
    models = [f"--model={name}={size}" for name, size in MODELS.items()]
    command = [sys.executable, "-m", "tests.doubles.ollama", "--card", str(card.path), *models, *SLOW]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as ollama:
        assert ollama.stdout
        ollama_says = {"LLM_PROTOCOL": "ollama", "LLM_EXTRACT_URL": ollama.stdout.readline().strip(), "LLM_SLOTS": "1"}
        yield SIMULATED | QUICK_LEASE | ollama_says | {"CARD": str(card.path)}
        ollama.kill()


def test_a_class_is_served_with_never_more_than_one_large_model_on_the_card(
    manage: Spawn, submit: Submit, card: FakeCard, lab: dict[str, str]
) -> None:
    """F39, F40: Whisper, Mistral, LLaMA3, one after the other, and all of it gone afterwards."""
    for clip in ("henry.wav", "anna.webm", "emma.m4a"):
        submit(clip)
    assert manage("run_phase_worker", "--until-idle", program=ON_A_CARD, **lab).wait(90) == 0
    assert set(Task.objects.values_list("state", flat=True)) == {State.DONE}
    assert Phase.objects.get().plan.startswith("sub-phases: mistral:7b-instruct (")
    loaded = Event.objects.filter(kind="phase_loading").order_by("pk").values_list("detail__reason", flat=True)
    assert [name for name in loaded if name] == list(MODELS)
    ledger = card.look()
    assert ledger.overlaps == []
    assert ledger.most < 7 * (1 << 30)
    wait_until(lambda: [one.owner for one in card.look().holdings] == ["xorg"])


@pytest.mark.parametrize("step", ["switch.unloaded=kill@2", "switch.verifying=kill@2", "switch.loaded=kill@3"])
def test_a_worker_that_dies_while_ollama_holds_the_card_leaves_its_successor_a_way(
    manage: Spawn, submit: Submit, card: FakeCard, lab: dict[str, str], step: str
) -> None:
    """F06, F40: what Ollama has loaded, or is giving back, is still there when the next worker begins."""
    for clip in ("henry.wav", "anna.webm"):
        submit(clip)
    dying = lab | {"INTROEVAL_FAILPOINTS": step, "INTROEVAL_REHEARSAL": "1"}
    first = manage("run_phase_worker", "--until-idle", program=ON_A_CARD, **dying)
    assert first.wait(60) == -signal.SIGKILL
    assert manage("run_phase_worker", "--until-idle", program=ON_A_CARD, **lab).wait(90) == 0
    assert set(Task.objects.values_list("state", flat=True)) == {State.DONE}
    assert set(Attempt.objects.values_list("outcome", flat=True)) <= {"succeeded", "interrupted", "crashed"}
    assert card.look().overlaps == []
