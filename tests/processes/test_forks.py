"""What starts by a fork finds what it would find if it were exec'd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.forks import ROOT, Fork, ForkServer

pytestmark = pytest.mark.external

ABOUT_ITSELF = """
import json, os, resource, signal, sys, threading
from contextlib import suppress
files = []
for number in range(64):
    with suppress(OSError):
        os.fstat(number)
        files.append(number)
facts = {
    "arguments": sys.argv,
    "name": __name__,
    "path": sys.path[1:],
    "folder": os.getcwd(),
    "environment": dict(os.environ),
    "seen by C": sorted(os.popen("env -0").read().split("\\0")),
    "signals": {s.name: repr(signal.getsignal(s)).split(" at ")[0] for s in signal.valid_signals()
                if isinstance(s, signal.Signals)},
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "wakes up": signal.set_wakeup_fd(-1),
    "group": [os.getpgid(0), os.getsid(0)],
    "files": files,
    "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
    "threads": [each.name for each in threading.enumerate()],
    "tasks": len(os.listdir("/proc/self/task")),
    "too early": sorted({"introeval.settings", "queueing.failpoints", "pynvml"} & sys.modules.keys()),
}
print(json.dumps(facts))
print("a complaint", file=sys.stderr)
"""

STAYS = """
import sys, threading, time
threading.Thread(target=lambda: (time.sleep(0.1), print("late", file=sys.stderr))).start()
"""

Run = Callable[..., Fork]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.stop()


@pytest.fixture
def run(tmp_path: Path, server: ForkServer) -> Run:
    """Fork for that code, with its streams in the files `out` and `err`."""

    def start(code: str, *arguments: str, **env: str) -> Fork:
        (tmp_path / "program.py").write_text(code)
        program = [str(tmp_path / "program.py")]
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            return server.start(program, *arguments, env=env, stdout=out.fileno(), stderr=err.fileno())

    return start


def test_a_fork_finds_what_a_program_finds(run: Run, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "GREETING": "hällo", "EMPTY": "", "LC_ALL": "C.UTF-8"}
    env |= {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}  # the server's path is ours
    assert run(ABOUT_ITSELF, "--wait", "two words", **env).wait(30) == 0
    command = [sys.executable, str(tmp_path / "program.py"), "--wait", "two words"]
    program = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, check=True)
    assert json.loads((tmp_path / "out").read_text()) == json.loads(program.stdout)
    assert (tmp_path / "err").read_bytes() == program.stderr == b"a complaint\n"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no such model')", 1, "no such model\n"),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("import atexit, sys; atexit.register(lambda: print('bye', file=sys.stderr))", 0, "bye\n"),
        (STAYS, 0, "late\n"),
    ],
)
def test_it_ends_as_a_program_ends(code: str, status: int, said: str, run: Run, tmp_path: Path) -> None:
    assert run(code).wait(30) == status
    assert (tmp_path / "err").read_text() == said


def test_what_it_raises_is_written_and_ends_it(run: Run, tmp_path: Path) -> None:
    assert run("raise LookupError('never there')").wait(30) == 1
    assert (tmp_path / "err").read_text().endswith("LookupError: never there\n")


SLEEPS = "import time; time.sleep(60)"


def test_it_is_signalled_and_waited_for_as_a_process_is(run: Run) -> None:
    fork = run(SLEEPS)
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0)
    fork.terminate()
    assert (fork.wait(30), fork.poll(), fork.returncode) == (-signal.SIGTERM,) * 3
    fork.kill()  # of one that has ended, nobody else is hit


def test_what_is_run_to_its_end_is_read_like_a_completed_process(server: ForkServer, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; print(sys.argv[1]); print('no', file=sys.stderr); sys.exit(2)")
    done = server.run([str(tmp_path / "program.py")], "größer", env={"LC_ALL": "C.UTF-8"}, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (2, "größer\n", "no\n")
    (tmp_path / "program.py").write_text(SLEEPS)
    with pytest.raises(subprocess.TimeoutExpired):
        server.run([str(tmp_path / "program.py")], env={}, timeout=0.2)


def test_several_run_at_once_and_know_nothing_of_each_other(run: Run) -> None:
    several = [run(SLEEPS) for _ in range(3)]
    assert len({fork.pid for fork in several}) == 3
    several[1].kill()
    assert several[1].wait(30) == -signal.SIGKILL
    assert [fork.poll() for fork in several] == [None, -signal.SIGKILL, None]
    for fork in several:
        fork.kill()
        fork.wait(30)


def test_those_of_a_test_that_hangs_are_killed(run: Run, server: ForkServer) -> None:
    fork = run(SLEEPS)
    server.kill_started_by("another test (call)")
    assert fork.poll() is None
    server.kill_started_by(os.environ["PYTEST_CURRENT_TEST"])
    assert fork.wait(30) == -signal.SIGKILL


def test_they_outlive_the_server_as_children_outlive_their_parent(tmp_path: Path) -> None:
    server = ForkServer()
    (tmp_path / "program.py").write_text(SLEEPS)
    fork = server.start([str(tmp_path / "program.py")], env={})
    server.stop()
    os.kill(fork.pid, 0)
    os.kill(fork.pid, signal.SIGKILL)
    assert fork.wait(30) == -signal.SIGKILL  # nobody can tell any more how it ended
