"""When a child counts as hanging."""

from __future__ import annotations

import pytest

from introeval.supervisor.hangs import HangWatch

SECONDS = 60.0


class Scene:
    """Each look is 5 s after the one before."""

    def __init__(self) -> None:
        self.now, self.answer, self.takes = 0.0, True, 0.0
        self.watch = HangWatch(self._ask, SECONDS, clock=lambda: self.now)

    def _ask(self, pid: int) -> bool | None:
        self.now += self.takes
        return self.answer

    def look(self, pid: int | None, seconds: float) -> bool:
        for _ in range(int(seconds / (5 + self.takes))):
            self.now += 5
            self.watch.look(pid)
        return self.watch.hangs(pid)


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize("takes", [0.0, 10.0])
def test_one_that_has_answered_and_then_does_not_hangs(takes: float, scene: Scene) -> None:
    assert not scene.look(7, 30)
    scene.answer, scene.takes = False, takes
    assert not scene.look(7, SECONDS - 10)
    assert scene.look(7, 20)
    assert not scene.watch.hangs(8)


def test_one_that_never_came_up_does_not_hang(scene: Scene) -> None:
    scene.answer = False
    assert not scene.look(7, 600)


def test_a_successor_starts_anew(scene: Scene) -> None:
    scene.look(7, 30)
    scene.answer = False
    assert scene.look(7, SECONDS + 5)
    assert not scene.look(8, 600)


def test_an_answer_in_between_ends_the_suspicion(scene: Scene) -> None:
    scene.look(7, 30)
    for _ in range(5):
        scene.answer = False
        assert not scene.look(7, SECONDS - 10)
        scene.answer = True
        assert not scene.look(7, 5)


def test_while_nobody_can_say_nobody_is_suspected(scene: Scene) -> None:
    scene.look(7, 30)
    scene.answer = None  # type: ignore[assignment]
    assert not scene.look(7, 600)


def test_time_in_which_nobody_asked_does_not_count(scene: Scene) -> None:
    """The machine slept, or this process was stopped itself."""
    scene.look(7, 30)
    scene.now += 3600
    scene.answer = False
    assert not scene.look(7, SECONDS - 10)
    assert scene.look(7, 20)


def test_no_process_no_question(scene: Scene) -> None:
    scene.look(7, 30)
    scene.answer = False
    assert not scene.look(None, 600)


def test_one_that_answers_is_asked_half_as_often(scene: Scene) -> None:
    scene.now += 5
    assert scene.watch.look(7) == SECONDS / 2
    scene.answer = False
    assert scene.watch.look(7) == SECONDS / 4


def test_one_that_hangs_is_found_out_within_its_time_and_one_question(scene: Scene) -> None:
    """Asked as the watch itself asks, beginning right after its last answer."""
    scene.now += 5
    pause, began = scene.watch.look(7), scene.now
    scene.answer = False
    while not scene.watch.hangs(7):
        scene.now += pause
        pause = scene.watch.look(7)
    assert SECONDS <= scene.now - began <= SECONDS * 5 / 4
