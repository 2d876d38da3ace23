"""Children that run, exit, are started again and leave nothing behind. Real processes, a clock of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from introeval.supervisor import QUICK_SECONDS, RestartLimitError, SupervisedProcess, Supervisor
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
    assert scene.said == ["The worker ended (killed by SIGKILL); it starts again in 2 s."]

    scene.now += 2
    scene.supervisor.restart_ended()
    assert scene.child.pid not in (None, first)


def test_three_quick_deaths_in_a_row_end_it_with_the_last_lines(stage: Begin) -> None:
    scene = stage(DIES)
    for _ in range(2):
        scene.let_it_die()
        scene.supervisor.restart_ended()
        scene.now += 10
        scene.supervisor.restart_ended()
    scene.let_it_die()

    with pytest.raises(RestartLimitError, match=r"(?s)3 times in a row \(exit status 3\).*no such model"):
        scene.supervisor.restart_ended()


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
