"""When a node rests because of its GPU."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.gpu import Device, GpuMemoryFacts
from queueing.gpu.memory import GpuMemory
from queueing.gpu.watch import DWELL_SECONDS, PAUSE_BELOW, RESUME_ABOVE, RESUME_AFTER, Gate, GpuWatch
from queueing.models import Event, Pause, Phase, Task, in_seconds
from queueing.states import PhaseName
from tests.doubles.card import GIB, FakeCard
from tests.doubles.nvml import Nvml


@pytest.fixture
def card(tmp_path: Path) -> FakeCard:
    return FakeCard(tmp_path / "card")


@pytest.fixture
def device(card: FakeCard) -> Device:
    return Device(Nvml(card))


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
        ([0.05] * 2, []),
        ([0.05] * 3, [2]),
        ([0.05, 0.05, 0.1, 0.05, 0.05], []),  # three running
        ([0.05, 0.05, None, 0.05], []),
        ([0.05] * 3 + [0.6] * 20, [2, 17]),  # fifteen seconds later
        ([0.05] * 20 + [0.6] * 4 + [0.5], [2]),
        ([0.05] * 20 + [0.6] * 5, [2, 24]),
        ([0.05] * 20 + [0.6] * 4 + [0.4] + [0.6] * 5, [2, 29]),
        ([None], []),
        ([None, 0.9, None, 0.9], []),
        ([None] * 2, [1]),
        ([None] * 20 + [0.3] * 5, [1, 24]),  # as low as that it had not closed
        ([None] * 20 + [0.05] * 3 + [0.3] * 9, [1]),  # but here it would have
        ([None] * 20 + [0.05] * 3 + [0.6] * 5, [1, 27]),
        ([0.05] * 3 + [None] * 20 + [0.3] * 9, [2]),
        ([0.05] * 3 + [0.6] * 15 + [None] * 2, [2, 17, 19]),  # not knowing closes at once
        ([0.05] * 3 + [0.6] * 15 + [0.05] * 15, [2, 17, 32]),
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
        assert closes_blindly or (after - before) * seconds >= DWELL_SECONDS - 1e-6
    for opened in at[1::2]:
        closed = at[at.index(opened) - 1]
        last = [share for share in shares[opened - RESUME_AFTER + 1 : opened + 1] if share is not None]
        was_low = shares[closed] is not None
        assert len(last) == RESUME_AFTER
        assert min(last) > (RESUME_ABOVE if was_low else PAUSE_BELOW)


@given(st.lists(SHARES, max_size=60), st.floats(0.1, 5))
def test_whatever_came_before_it_closes_within_two_unknown_samples_and_opens_again(
    shares: list[float | None], seconds: float
) -> None:
    """F43: paused within two polls, and resumes by itself."""
    more = int(DWELL_SECONDS / seconds) + RESUME_AFTER + 1
    states = run([*shares, None, None, *[0.9] * more], seconds)
    assert not states[len(shares) + 1]
    assert states[-1]


@pytest.mark.parametrize("period", [2, 6, 20, 90])
def test_a_sawtooth_moves_the_gate_at_most_once_in_fifteen_seconds(card: FakeCard, device: Device, period: int) -> None:
    """F44: another program takes and frees 7.5 of the 8 GB, at one sample a second."""
    gate, states = Gate(), []
    for second in range(3 * period):
        if second % period == 0:
            card.take("blender", "", 15 * GIB // 2)
        elif second % period == period // 2:
            card.give_back("blender")
        found = device.read()
        assert isinstance(found, GpuMemoryFacts)
        states.append(gate.sample(found.free / found.total, second))
    at = moves(states)
    assert all(after - before >= 15 for before, after in itertools.pairwise(at))
    assert bool(at) == (period >= 6)


# The pause


@pytest.fixture
def watch(db: None, card: FakeCard) -> GpuWatch:
    """Of a node whose models use the GPU; nothing is loaded."""
    memory = GpuMemory(Device(Nvml(card)), Phase.objects.create(node="n"))
    memory.needs = {1: GIB}
    return GpuWatch("n", memory, every_seconds=1)


def watch_for(watch: GpuWatch, since: int, seconds: int) -> int:
    for second in range(since, since + seconds):
        watch.sample(second)
    return since + seconds


def reasons() -> list[str]:
    return [pause.reason for pause in Pause.objects.active()]


def events() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("kind", flat=True))


def test_a_card_that_others_fill_pauses_the_node_in_words_and_resumes_by_itself(
    watch: GpuWatch, card: FakeCard
) -> None:
    now = watch_for(watch, 100, 5)
    assert not Pause.objects.exists()
    card.take("blender", "", 15 * GIB // 2, pid=1)
    now = watch_for(watch, now, 30)
    assert reasons() == ["94% of the GPU's memory is taken by other programs: blender (pid 1, 7,680 MiB)"]
    assert Task.objects.snapshot("n").paused == {*PhaseName}
    assert not Task.objects.snapshot("another").paused
    card.give_back("blender")
    watch_for(watch, now, 5)
    assert not Task.objects.snapshot("n").paused
    assert events() == ["pause", "resume"]  # of thirty samples


@pytest.mark.parametrize("trouble", ["lost", "unknown", "not supported"])
def test_an_unknown_gpu_pauses_the_node_within_two_samples(watch: GpuWatch, card: FakeCard, trouble: str) -> None:
    """F43."""
    card.trouble(trouble)
    now = watch_for(watch, 100, 2)
    assert len(reasons()) == 1
    assert reasons()[0].startswith("the GPU's state is unknown: ")
    card.trouble("")
    watch_for(watch, now, 15)
    assert reasons() == []


def test_the_pause_lasts_as_long_as_its_cause(watch: GpuWatch, card: FakeCard) -> None:
    card.trouble("lost")
    now = watch_for(watch, 100, 3)
    Pause.objects.update(since=in_seconds(-20), until=in_seconds(1))
    watch_for(watch, now, 1)
    assert Pause.objects.filter(until__gt=in_seconds(10)).exists()


def test_a_person_who_lifts_it_sees_it_again(watch: GpuWatch, card: FakeCard) -> None:
    card.trouble("lost")
    now = watch_for(watch, 100, 3)
    Pause.objects.all().end(by="operator")
    watch_for(watch, now, 1)
    assert len(reasons()) == 1


def test_what_a_person_paused_stays_paused_when_the_gpu_is_well_again(watch: GpuWatch, card: FakeCard) -> None:
    Pause.objects.start(Pause.What.EVERYTHING, node="n", by="operator", reason="repair")
    card.trouble("lost")
    now = watch_for(watch, 100, 3)
    card.trouble("")
    watch_for(watch, now, 30)
    assert reasons() == ["repair"]


def test_a_pause_that_turns_into_another_one_says_so_but_not_with_every_sample(watch: GpuWatch, card: FakeCard) -> None:
    card.trouble("lost")
    now = watch_for(watch, 100, 10)
    card.take("blender", "", 15 * GIB // 2, pid=1)
    for _ in range(20):  # it answers every other time
        card.trouble("")
        now = watch_for(watch, now, 1)
        card.trouble("lost")
        now = watch_for(watch, now, 1)
    card.trouble("")
    watch_for(watch, now, 30)
    assert reasons()[0].startswith("94%")
    assert len(events()) <= 4


def test_a_sample_is_taken_only_when_it_is_time(watch: GpuWatch) -> None:
    nvml = watch.memory.gpu.nvml  # type: ignore[attr-defined]
    for _ in range(50):
        watch.sample(100.0)
    asked = nvml.calls
    watch.sample(101.0)
    assert nvml.calls == 2 * asked
