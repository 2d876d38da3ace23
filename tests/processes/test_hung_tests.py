"""A test that hangs ends alone: what it started is gone before the next one, however pytest ended it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from introeval.embedded.layout import ServiceLayout
from tests.processes.conftest import ROOT, wait_until

pytestmark = pytest.mark.slow

HANGS_SECONDS = 15  # a cluster is made meanwhile

# A server that does not listen to SIGTERM, a user of embedded servers, a test that waits for one that never ends.
HANGS = """
import subprocess, sys, time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
USER = '''
import sys, time
from pathlib import Path
from introeval import embedded
with embedded.services(Path(sys.argv[1])):
    print("up", flush=True)
    time.sleep(600)
'''

def start(*command):
    process = subprocess.Popen(
        [sys.executable, "-c", *command], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout.readline() == b"up\\n"
    with (FOLDER / "pids").open("a") as file:
        file.write(f"{process.pid}\\n")
    return process

@pytest.mark.slow
def test_hangs():
    with start(DEAF), start(USER, str(FOLDER / "var")):
        time.sleep(600)

@pytest.mark.slow
def test_next():
    pass
"""


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_what_a_hung_test_started_ends_with_it(method: str, tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    options = ["-p", "no:randomly", "-p", "no:cacheprovider", "-o", "addopts=-p tests.lanes -p tests.services"]
    options += ["--timeout", str(HANGS_SECONDS), "--timeout-method", method]
    options += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path / "test_hangs.py")],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "Timeout" in ended.stdout + ended.stderr
    assert method == "thread" or "1 failed, 1 passed" in ended.stdout
    started = [int(line) for line in (tmp_path / "pids").read_text().split()]
    assert len(started) == 2
    wait_until(lambda: not any(is_running(pid) for pid in started) and not serving(tmp_path / "var"), seconds=15)


def is_running(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def serving(data_dir: Path) -> list[list[str]]:
    """Embedded servers of that folder, by what their command lines say."""
    marks = (f"{data_dir}/postgres", str(ServiceLayout(data_dir).sockets))
    lines = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if any(mark in " ".join(line) for mark in marks)]
