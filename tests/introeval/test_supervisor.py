"""Children that run, exit, are started again and leave nothing behind. Real processes, a clock of the test's own."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from unittest.mock import Mock

import psutil
import pytest

from introeval.supervisor import PAUSES_SECONDS, QUICK_SECONDS, SupervisedProcess, Supervisor
from tests.introeval.conftest import ROOT

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
WITH_CHILD = (
    "import subprocess, sys, time\n"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)\n"
    "time.sleep(600)"
)
DIES = "import sys; print('no such model', flush=True); sys.exit(3)"


class ScriptedChildren:
    """A supervisor over one child, with a clock that only the test moves."""

    def __init__(self, tmp_path: Path, code: str) -> None:
        self.now = 1000.0
        self.said: list[str] = []
        self.child = SupervisedProcess("worker", [sys.executable, "-u", "-c", code], cwd=tmp_path)
        self.supervisor = Supervisor([self.child], say=self.said.append, clock=lambda: self.now)

    def first_line(self) -> str:
        until(lambda: bool(self.child.tail))
        return self.child.tail[0]

    def let_it_die(self) -> None:
        process = self.child.process
        assert process is not None
        until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)


def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not come about")


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[[str], ScriptedChildren]]:
    begun: list[ScriptedChildren] = []

    def begin(code: str) -> ScriptedChildren:
        begun.append(ScriptedChildren(tmp_path, code))
        begun[-1].supervisor.start()
        return begun[-1]

    yield begin
    for each in begun:
        each.supervisor.stop(grace=0)


Begin = Callable[[str], ScriptedChildren]


def test_what_a_child_prints_appears_on_stderr(stage: Begin, capfd: pytest.CaptureFixture[str]) -> None:
    assert stage(SLEEPS).first_line() == "up"
    assert "up" in capfd.readouterr().err


def test_a_child_that_dies_is_started_again_after_a_pause(stage: Begin) -> None:
    scene = stage(SLEEPS)
    first = scene.child.pid
    assert first is not None
    scene.now += QUICK_SECONDS
    os.kill(first, signal.SIGKILL)
    scene.let_it_die()

    scene.supervisor.restart_ended()
    assert scene.child.pid is None
    assert scene.said == ["The worker ended (killed by SIGKILL); it starts again in 0.2 s."]

    scene.now += 0.2
    scene.supervisor.restart_ended()
    assert scene.child.pid not in (None, first)


def test_an_end_and_a_pause_that_is_over_end_the_rest(stage: Begin) -> None:
    """It is woken: each rest would last for as long as the test may."""
    scene = stage(SLEEPS)
    scene.now += QUICK_SECONDS
    assert scene.child.process is not None
    scene.child.process.kill()
    scene.supervisor.rest(3600)
    scene.supervisor.restart_ended()
    assert scene.child.process is None

    scene.supervisor.rest(3600)
    scene.now = scene.child.start_at
    scene.supervisor.restart_ended()
    assert scene.child.process is not None


def test_one_that_never_comes_up_is_tried_again_for_ever_with_growing_pauses(stage: Begin) -> None:
    scene = stage(DIES)
    for _ in range(5):
        scene.let_it_die()
        scene.supervisor.restart_ended()
        scene.now = scene.child.start_at - 0.1
        scene.supervisor.restart_ended()
        assert scene.child.process is None
        scene.now += 0.2
        scene.supervisor.restart_ended()

    pauses = [float(re.search(r"starts again in (\d+) s", words)[1]) for words in scene.said]  # type: ignore[index]
    assert pauses == [*PAUSES_SECONDS, PAUSES_SECONDS[-1], PAUSES_SECONDS[-1]]
    (alert,) = (words for words in scene.said if words.startswith("ALERT"))
    assert "3 times in a row" in alert
    assert "no such model" in alert


def test_one_that_comes_up_when_its_cause_is_gone_is_told_of_once(stage: Begin, tmp_path: Path) -> None:
    cause = tmp_path / "cause"
    cause.touch()
    scene = stage(f"import os, sys; os.path.exists({str(cause)!r}) and sys.exit(1); {SLEEPS}")
    for _ in range(3):
        scene.let_it_die()
        scene.supervisor.restart_ended()
        scene.now = scene.child.start_at
        if scene.child.quick_exits == 3:
            cause.unlink()
        scene.supervisor.restart_ended()
    for _ in range(2):
        scene.now += QUICK_SECONDS
        scene.supervisor.restart_ended()

    assert [words for words in scene.said if "runs again" in words] == ["The worker runs again."]


def test_one_that_is_killed_again_and_again_is_back_soon(stage: Begin) -> None:
    scene = stage(SLEEPS)
    for pause in (0.2, 0.5, 0.5, 0.5):
        process = scene.child.process
        assert process is not None
        process.kill()
        scene.let_it_die()
        scene.supervisor.restart_ended()
        assert scene.child.start_at - scene.now == pytest.approx(pause)
        scene.now = scene.child.start_at
        scene.supervisor.restart_ended()

    assert scene.child.process is not None


def test_one_that_leaves_after_it_had_worked_is_back_at_once_and_rests_only_if_it_fails(stage: Begin) -> None:
    scene = stage(DIES)
    scene.now += QUICK_SECONDS
    pauses = []
    for _ in range(3):
        scene.let_it_die()
        scene.supervisor.restart_ended()
        pauses.append(scene.child.start_at - scene.now)
        scene.now = scene.child.start_at
        scene.supervisor.restart_ended()

    assert pauses == pytest.approx([0.2, *PAUSES_SECONDS[1:]])


def test_a_machine_without_room_for_a_process_is_asked_again(stage: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = stage(SLEEPS)
    process = scene.child.process
    assert process is not None
    process.kill()
    scene.let_it_die()
    scene.supervisor.restart_ended()

    with monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", Mock(side_effect=BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))))
        scene.now = scene.child.start_at
        scene.supervisor.restart_ended()
    assert "could not be started (Resource temporarily unavailable)" in scene.said[-1]
    scene.now = scene.child.start_at
    scene.supervisor.restart_ended()

    assert scene.child.process is not None


def test_a_long_life_between_makes_a_death_the_first_again(stage: Begin) -> None:
    scene = stage(DIES)
    for _ in range(5):
        scene.let_it_die()
        scene.now += QUICK_SECONDS
        scene.supervisor.restart_ended()
        scene.now += 10
        scene.supervisor.restart_ended()

    assert len(scene.said) == 5


def test_stopping_ends_a_child_that_listens(stage: Begin) -> None:
    scene = stage(SLEEPS)
    scene.first_line()
    process = scene.child.process
    assert process is not None

    scene.supervisor.stop()

    assert process.returncode == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed_when_the_grace_is_over(stage: Begin) -> None:
    scene = stage(STUBBORN)
    scene.first_line()
    process = scene.child.process
    assert process is not None

    scene.supervisor.stop(grace=0)

    assert process.returncode == -signal.SIGKILL


def test_hurry_does_not_wait_for_the_grace(stage: Begin) -> None:
    scene = stage(STUBBORN)
    scene.first_line()
    hurry = Event()
    hurry.set()

    scene.supervisor.stop(grace=float("inf"), hurry=hurry)

    assert scene.child.ended()


def test_grandchildren_do_not_outlive_their_parent(stage: Begin) -> None:
    scene = stage(WITH_CHILD)
    grandchild = int(scene.first_line())
    assert scene.child.pid is not None
    os.kill(scene.child.pid, signal.SIGKILL)
    scene.let_it_die()

    scene.supervisor.restart_ended()

    until(lambda: gone(grandchild))


def test_children_are_terminated_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from introeval.supervisor import SupervisedProcess, Supervisor\n"
        f"child = SupervisedProcess('x', [sys.executable, '-u', '-c', {SLEEPS!r}], cwd=Path('.'))\n"
        "Supervisor([child], say=print).start()\n"
        "while not child.tail: time.sleep(0.01)\n"  # its own first line: the launcher has turned into it
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        supervisor.kill()

    until(lambda: gone(child))
