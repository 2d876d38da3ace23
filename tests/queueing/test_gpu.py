"""What the driver says, and the gate over it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing import gpu, gpu_watch
from queueing.gpu import Absent, Device, Facts, Unknown
from queueing.gpu_watch import Gate
from tests.doubles import nvml
from tests.doubles.card import GIB, Card
from tests.doubles.nvml import Nvml


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    card = Card(tmp_path / "card")
    yield card
    card.trouble("")  # lets a thread go that hangs in the driver


@pytest.fixture
def driver(card: Card) -> Nvml:
    return Nvml(card)


@pytest.fixture
def device(driver: Nvml) -> Device:
    return Device(driver)


def test_a_look_tells_the_memory_of_the_device_and_names_who_holds_it(card: Card, device: Device) -> None:
    card.take("blender", "", 3 * GIB)
    (blender,) = card.look().holdings
    found = device.look()
    assert isinstance(found, Facts)
    assert (found.total, found.used, found.free) == (8 * GIB, 3 * GIB, 5 * GIB)
    assert [str(one) for one in found.holders] == [f"blender (pid {blender.pid}, 3,072 MiB)"]


def test_in_a_container_nobody_can_be_named_and_the_figures_stand(card: Card, device: Device) -> None:
    """F43: what NVML tells of processes is unusable there."""
    card.take("blender", "", 3 * GIB)
    card.trouble(nvml.NO_PROCESSES)
    found = device.look()
    assert isinstance(found, Facts)
    assert (found.used, found.holders) == (3 * GIB, ())


@pytest.mark.parametrize("trouble", ["no library", "no driver", nvml.NO_DEVICE])
def test_no_gpu_is_no_fault(card: Card, device: Device, trouble: str) -> None:
    card.trouble(trouble)
    assert isinstance(device.look(), Absent)


@pytest.mark.parametrize("trouble", nvml.ASKING)
def test_a_driver_that_does_not_tell_is_unknown_and_known_again_afterwards(
    card: Card, driver: Nvml, device: Device, trouble: str
) -> None:
    """F43: also when the device was lost, after which only what is opened anew is alive."""
    device.look()
    card.trouble(trouble)
    assert device.look() == device.look() == Unknown(str(nvml.ASKING[trouble]()))
    card.trouble("")
    assert isinstance(device.look(), Facts)
    assert driver.opened == 1


def test_a_driver_of_another_version_is_unknown(card: Card, device: Device) -> None:
    card.trouble("versions differ")
    assert isinstance(device.look(), Unknown)


def test_a_gpu_that_was_there_and_is_gone_is_unknown_not_absent(card: Card, device: Device) -> None:
    """F43: while a driver is reloaded nothing is loaded by guess."""
    device.look()
    card.trouble("lost")
    device.look()
    card.trouble("no driver")
    assert device.look() == Unknown("it is gone: Driver Not Loaded")


def test_nvml_stays_open_while_it_answers(driver: Nvml, device: Device) -> None:
    for _ in range(3):
        device.look()
    assert (driver.openings, driver.opened) == (1, 1)


def hanging() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "nvml"]


def test_a_driver_that_hangs_holds_up_one_look_and_one_thread(card: Card, driver: Nvml) -> None:
    """F43: NVML can hang for ever."""
    device = Device(driver, answer_seconds=0.1)
    card.trouble(nvml.HANGS)
    assert device.look() == Unknown("its driver did not answer within 0.1 s")
    calls = driver.calls
    assert device.look() == Unknown("its driver still does not answer")
    assert (len(hanging()), driver.calls) == (1, calls)
    card.trouble("")
    for thread in hanging():
        thread.join(5)
    assert isinstance(device.look(), Facts)


def test_a_binding_that_stumbles_is_unknown(driver: Nvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "nvmlDeviceGetMemoryInfo", lambda handle: 1 / 0)
    assert Device(driver).look() == Unknown("division by zero")


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
    Device(driver).look()
    assert seen == [asked]


real = Device().look()


@pytest.mark.skipif(
    not isinstance(real, Facts), reason=f"no GPU here ({real}): NVML's own answers, and their time, are unmeasured"
)
def test_a_real_driver_tells_the_same_as_its_double() -> None:
    device = Device()
    began = time.monotonic()
    found = device.look()
    assert isinstance(found, Facts)
    assert time.monotonic() - began < gpu.ANSWER_SECONDS
    assert 0 < found.used + found.free <= found.total
    assert isinstance(device.look(), Facts)


# The gate

SHARES = st.one_of(st.none(), st.floats(0, 1))


def run(shares: list[float | None], seconds: float = 1.0) -> list[bool]:
    gate = Gate()
    return [gate.sample(share, at * seconds) for at, share in enumerate(shares)]


def moves(states: list[bool]) -> list[int]:
    """At which samples it moved; it is open before the first."""
    return [at for at, (before, now) in enumerate(zip([True, *states], states, strict=False)) if before != now]


@pytest.mark.parametrize(
    ("shares", "at"),
    [
        ([0.1] * 2, []),
        ([0.1] * 3, [2]),
        ([0.1, 0.1, 0.2, 0.1, 0.1], []),  # three running
        ([0.1, 0.1, None, 0.1], []),
        ([0.1] * 3 + [0.6] * 20, [2, 17]),  # fifteen seconds later
        ([0.1] * 20 + [0.6] * 4 + [0.5], [2]),
        ([0.1] * 20 + [0.6] * 5, [2, 24]),
        ([0.1] * 20 + [0.6] * 4 + [0.4] + [0.6] * 5, [2, 29]),
        ([None], []),
        ([None, 0.9, None, 0.9], []),
        ([None] * 2, [1]),
        ([None] * 20 + [0.3] * 5, [1, 24]),  # as low as that it had not closed
        ([None] * 20 + [0.1] * 3 + [0.3] * 9, [1]),  # but here it would have
        ([None] * 20 + [0.1] * 3 + [0.6] * 5, [1, 27]),
        ([0.1] * 3 + [None] * 20 + [0.3] * 9, [2]),
        ([0.1] * 3 + [0.6] * 15 + [None] * 2, [2, 17, 19]),  # not knowing closes at once
        ([0.1] * 3 + [0.6] * 15 + [0.1] * 15, [2, 17, 32]),
    ],
)
def test_the_gate_moves_exactly_there(shares: list[float | None], at: list[int]) -> None:
    """F43, F44."""
    assert moves(run(shares)) == at


@given(st.lists(SHARES, max_size=120), st.floats(0.1, 5))
def test_no_samples_make_the_gate_flap(shares: list[float | None], seconds: float) -> None:
    """F44: at most one move per fifteen seconds, but that not knowing closes at once; no resume below the high mark."""
    at = moves(run(shares, seconds))
    for before, after in itertools.pairwise(at):
        closes_blindly = shares[after] is None
        assert closes_blindly or (after - before) * seconds >= gpu_watch.DWELL_SECONDS - 1e-6
    for opened in at[1::2]:
        closed = at[at.index(opened) - 1]
        last = [share for share in shares[opened - gpu_watch.RESUME_AFTER + 1 : opened + 1] if share is not None]
        was_low = shares[closed] is not None
        assert len(last) == gpu_watch.RESUME_AFTER
        assert min(last) > (gpu_watch.RESUME_ABOVE if was_low else gpu_watch.PAUSE_BELOW)


@given(st.lists(SHARES, max_size=60), st.floats(0.1, 5))
def test_whatever_came_before_it_closes_within_two_unknown_samples_and_opens_again(
    shares: list[float | None], seconds: float
) -> None:
    """F43: paused within two polls, and resumes by itself."""
    more = int(gpu_watch.DWELL_SECONDS / seconds) + gpu_watch.RESUME_AFTER + 1
    states = run([*shares, None, None, *[0.9] * more], seconds)
    assert not states[len(shares) + 1]
    assert states[-1]


@pytest.mark.parametrize("period", [2, 6, 20, 90])
def test_a_sawtooth_moves_the_gate_at_most_once_in_fifteen_seconds(card: Card, device: Device, period: int) -> None:
    """F44: another program takes and frees 7.5 of the 8 GB, at one sample a second."""
    gate, states = Gate(), []
    for second in range(3 * period):
        if second % period == 0:
            card.take("blender", "", 15 * GIB // 2)
        elif second % period == period // 2:
            card.give_back("blender")
        found = device.look()
        assert isinstance(found, Facts)
        states.append(gate.sample(found.free / found.total, second))
    at = moves(states)
    assert all(after - before >= 15 for before, after in itertools.pairwise(at))
    assert bool(at) == (period >= 6)
