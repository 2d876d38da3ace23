"""What Whisper needs of the GPU, known without loading it and without calling a CUDA library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from queueing.engines.child import ROOT
from queueing.engines.speech import checkpoint, hosted, models
from queueing.engines.speech.faster_whisper import FasterWhisper
from queueing.engines.speech.hosted import HostedSpeech, cuda_is_possible
from queueing.engines.speech.openai_whisper import OpenAIWhisper
from queueing.engines.speech.simulated import SimulatedSpeech

GB = 10**9
# What Whisper's README says that each size requires, and how many parameters it has.
REQUIRED_GB = {39: 1, 74: 1, 244: 2, 769: 5, 1550: 10}


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place where a driver shows itself; nothing is there yet."""
    place = tmp_path / "nvidiactl"
    monkeypatch.setattr(hosted, "DRIVERS", (place,))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return place


def test_cuda_is_possible_where_a_driver_is_and_nothing_forbids_it(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not cuda_is_possible("auto")
    driver.touch()
    assert cuda_is_possible("auto")
    assert not cuda_is_possible("cpu")
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not cuda_is_possible("auto")


@pytest.mark.parametrize("kind", [FasterWhisper, OpenAIWhisper])
def test_on_a_processor_it_needs_nothing_of_the_gpu(kind: type[HostedSpeech], driver: Path) -> None:
    assert kind("base").needs() == 0  # "auto", and there is no driver
    driver.touch()
    assert kind("base", device="cpu").needs() == 0


@pytest.mark.parametrize(("name", "weights"), [("tiny.en", 37_000_000), ("base", 72_000_000)])
def test_the_weights_are_counted_without_being_read(name: str, weights: int, tmp_path: Path) -> None:
    path = models.find(name, cache=tmp_path) / "model.bin"
    counted = checkpoint.count_weights(path)
    assert counted == sum(array.size for array in checkpoint.read_weights(path).values())
    assert weights < counted < 1.1 * weights


def test_on_cuda_faster_whisper_needs_its_weights_in_16_bits_and_room_to_work(tmp_path: Path) -> None:
    needs = FasterWhisper("base", device="cuda", cache=tmp_path).needs()
    weights = checkpoint.count_weights(models.find("base", cache=tmp_path) / "model.bin")
    assert needs == 2 * weights + ((6090 - 2944) << 20)


@pytest.mark.parametrize("millions", REQUIRED_GB)
def test_openai_whisper_is_taken_to_need_no_less_than_its_readme_says(millions: int, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pt"
    with file.open("wb") as sparse:
        sparse.truncate(millions * 1_000_000 * 2)  # in 16 bits, as OpenAI's files are
    needs = OpenAIWhisper(str(file), device="cuda").needs() or 0
    assert REQUIRED_GB[millions] * GB <= needs < 1.5 * REQUIRED_GB[millions] * GB + GB


@pytest.mark.parametrize("kind", [FasterWhisper, OpenAIWhisper])
def test_a_model_that_is_not_there_has_no_size(kind: type[HostedSpeech], tmp_path: Path) -> None:
    assert kind(str(tmp_path / "none"), device="cuda").needs() is None


def test_a_simulated_one_needs_nothing() -> None:
    assert SimulatedSpeech().needs() == 0


def test_asking_brings_no_model_library_into_the_process() -> None:
    """Torch alone would take gigabytes of the worker's memory, and CUDA's context some of the GPU's."""
    code = (
        "import sys; from queueing.engines.speech.openai_whisper import OpenAIWhisper as O;"
        "from queueing.engines.speech.faster_whisper import FasterWhisper as F;"
        "assert O('base', device='cuda').needs() and F('base', device='cuda').needs();"
        "print([name for name in ('torch', 'ctranslate2', 'whisper', 'faster_whisper') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
