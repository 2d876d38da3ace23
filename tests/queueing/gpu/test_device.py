"""What the driver reports."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from queueing.gpu import Absent, Device, GpuMemoryFacts, Unknown
from queueing.gpu.device import ANSWER_SECONDS
from tests.doubles import nvml
from tests.doubles.card import GIB, FakeCard
from tests.doubles.nvml import Nvml


@pytest.fixture
def card(tmp_path: Path) -> Iterator[FakeCard]:
    card = FakeCard(tmp_path / "card")
    yield card
    card.trouble("")  # lets a thread go that hangs in the driver


@pytest.fixture
def driver(card: FakeCard) -> Nvml:
    return Nvml(card)


@pytest.fixture
def device(driver: Nvml) -> Device:
    return Device(driver)


def test_a_reading_gives_the_memory_of_the_device_and_names_who_holds_it(card: FakeCard, device: Device) -> None:
    card.take("blender", "", 3 * GIB)
    (blender,) = card.look().holdings
    found = device.read()
    assert isinstance(found, GpuMemoryFacts)
    assert (found.total, found.used, found.free) == (8 * GIB, 3 * GIB, 5 * GIB)
    assert [str(one) for one in found.holders] == [f"blender (pid {blender.pid}, 3,072 MiB)"]


def test_in_a_container_nobody_can_be_named_and_the_figures_stand(card: FakeCard, device: Device) -> None:
    """F43: what NVML reports of processes is unusable there."""
    card.take("blender", "", 3 * GIB)
    card.trouble(nvml.NO_PROCESSES)
    found = device.read()
    assert isinstance(found, GpuMemoryFacts)
    assert (found.used, found.holders) == (3 * GIB, ())


@pytest.mark.parametrize("trouble", ["no library", "no driver", nvml.NO_DEVICE])
def test_no_gpu_is_no_fault(card: FakeCard, device: Device, trouble: str) -> None:
    card.trouble(trouble)
    assert isinstance(device.read(), Absent)


@pytest.mark.parametrize("trouble", nvml.ASKING)
def test_a_driver_that_fails_is_unknown_and_known_again_afterwards(
    card: FakeCard, driver: Nvml, device: Device, trouble: str
) -> None:
    """F43: also when the device was lost, after which only what is opened anew is alive."""
    device.read()
    card.trouble(trouble)
    assert device.read() == device.read() == Unknown(str(nvml.ASKING[trouble]()))
    card.trouble("")
    assert isinstance(device.read(), GpuMemoryFacts)
    assert driver.opened == 1


def test_a_driver_of_another_version_is_unknown(card: FakeCard, device: Device) -> None:
    card.trouble("versions differ")
    assert isinstance(device.read(), Unknown)


def test_a_gpu_that_was_there_and_is_gone_is_unknown_not_absent(card: FakeCard, device: Device) -> None:
    """F43: while a driver is reloaded nothing is loaded by guess."""
    device.read()
    card.trouble("lost")
    device.read()
    card.trouble("no driver")
    assert device.read() == Unknown("it is gone: Driver Not Loaded")


def test_nvml_stays_open_while_it_answers(driver: Nvml, device: Device) -> None:
    for _ in range(3):
        device.read()
    assert (driver.openings, driver.opened) == (1, 1)


def hanging() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nvml"]


def test_a_driver_that_hangs_holds_up_one_reading_and_one_thread(card: FakeCard, driver: Nvml) -> None:
    """F43: NVML can hang for ever."""
    device = Device(driver, answer_seconds=0.1)
    card.trouble(nvml.HANGS)
    assert device.read() == Unknown("its driver did not answer within 0.1 s")
    calls = driver.calls
    assert device.read() == Unknown("its driver still does not answer")
    assert (len(hanging()), driver.calls) == (1, calls)
    card.trouble("")
    for thread in hanging():
        thread.join(5)
    assert isinstance(device.read(), GpuMemoryFacts)


def test_a_binding_that_stumbles_is_unknown(driver: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "nvmlDeviceGetMemoryInfo", lambda handle: 1 / 0)
    assert Device(driver).read() == Unknown("division by zero")


@pytest.mark.parametrize(
    ("visible", "asked"), [("", 0), ("1,0", 1), ("0", 0), ("-1", 0), ("GPU-5f3c,0", "GPU-5f3c"), ("MIG-x", 0)]
)
def test_the_device_is_the_one_that_models_will_use(
    driver: Nvml, monkeypatch: pytest.MonkeyPatch, visible: str, asked: object
) -> None:
    seen: list[object] = []

    def handle(which: object) -> int:
        seen.append(which)
        return 0

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(driver, "nvmlDeviceGetHandleByIndex", handle)
    monkeypatch.setattr(driver, "nvmlDeviceGetHandleByUUID", handle)
    Device(driver).read()
    assert seen == [asked]


real = Device().read()


@pytest.mark.skipif(
    not isinstance(real, GpuMemoryFacts),
    reason=f"no GPU here ({real}): NVML's own answers, and their time, are unmeasured",
)
def test_a_real_driver_reports_the_same_as_its_double() -> None:
    device = Device()
    began = time.monotonic()
    found = device.read()
    assert isinstance(found, GpuMemoryFacts)
    assert time.monotonic() - began < ANSWER_SECONDS
    assert 0 < found.used + found.free <= found.total
    assert isinstance(device.read(), GpuMemoryFacts)
