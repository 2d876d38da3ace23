"""The rehearsal of a class as an operator starts it, and a share of the storm that `make chaos` raises."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.chaos import storm
from tests.processes.conftest import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
SMALL = ("--students", "3", "--scale", "0.01")
KEYS = ["makespan", "lower_bound", "ratio", "lost", "duplicated", "stale", "mean_wait", "p95_wait", "max_wait", "plan"]


def rehearse(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "rehearse_lab", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=200, check=False
    )


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_class_is_served_and_nothing_is_lost() -> None:
    done = rehearse("--json", "--students", "24", "--slots", "3", "--scale", "0.01", "--spread", "0.3")
    found = figures(done)
    assert done.returncode == 0, done.stderr
    assert set(KEYS) <= set(found)
    assert (found["attempted"], found["acknowledged"], found["ok"]) == (24, 24, 24)
    assert [found[name] for name in storm.NONE_OF] == [0] * len(storm.NONE_OF)
    # Not quicker than the arithmetic allows: a bound that can be beaten, or work that was skipped, would show here.
    assert found["makespan"] > found["lower_bound"]
    told = found["estimates"]
    assert told["told"] >= 12  # of those whose results come after the first three, from which the pace was learnt
    assert told["rises_without_reason"] == 0
    assert told["width"] < 1.2  # a range that holds everything says nothing
    assert 0 < found["mean_wait"] <= found["p95_wait"] <= found["max_wait"] <= found["makespan"] + 1


def test_an_effect_written_twice_is_found_and_told_by_the_exit_status() -> None:
    done = rehearse("--json", *SMALL, "--faults", "twice", "--pace", "0.1")
    found = figures(done)
    assert done.returncode == 1
    assert (found["duplicated"], found["ok"]) == (1, 3)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files. Its name is short: the fork server's socket has a path of 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="lab-") as folder:
        yield Path(folder)


def test_people_read_a_table_and_a_verdict_and_the_labs_data_is_left_alone(tmp_path: Path, scratch: Path) -> None:
    lab = tmp_path / "var"
    urls = {"DATABASE_URL": "postgresql://nobody@nowhere/lab", "REDIS_URL": "redis://nowhere"}
    done = rehearse(*SMALL, "--plan", "sub-phases", DATA_DIR=str(lab), TMPDIR=str(scratch), **urls)
    assert done.returncode == 0, done.stderr
    assert "sub-phases: --plan says so" in done.stdout
    assert "maximum wait" in done.stdout
    assert "of its lower bound" in done.stdout
    assert "beats 15 min: yes" in done.stdout
    assert re.search(r"^handing in to result +3 ", done.stdout, re.MULTILINE), "and the lab's own report of the lesson"
    assert re.search(r"^time with a living worker .* reached$", done.stdout, re.MULTILINE)
    assert "nothing lost, nothing done twice" in done.stdout
    assert not lab.exists()
    assert list(scratch.iterdir()) == []


@pytest.fixture
def under_way(scratch: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A rehearsal whose workers are at work; it and its servers are gone when the test ends."""
    command = [sys.executable, "manage.py", "rehearse_lab", "--students", "30", "--nodes", "2"]
    env = {**os.environ, "TMPDIR": str(scratch)}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    family: set[psutil.Process] = set()
    try:
        wait_until(lambda: len(pythons(process)) >= 4)  # the resource tracker, the fork server and two workers
        time.sleep(1)
        family.update(psutil.Process(process.pid).children(recursive=True))
        yield process
    finally:
        with suppress(psutil.NoSuchProcess):
            family.update(psutil.Process(process.pid).children(recursive=True))
        process.kill()
        process.wait()
        for left in family:
            with suppress(psutil.NoSuchProcess):
                left.kill()
        psutil.wait_procs(family, timeout=15)  # what still writes keeps its folder from being removed


def pythons(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its children that run Python; one may end between being listed and being asked."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if "python" in child.name():
                found.append(child)
    return found


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_rehearsal_that_is_ended_ends_its_workers_and_servers(
    under_way: subprocess.Popen[bytes], signum: signal.Signals, scratch: Path
) -> None:
    children = psutil.Process(under_way.pid).children(recursive=True)
    under_way.send_signal(signum)
    assert under_way.wait(60) != 0
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []
    assert list(scratch.iterdir()) == []


def test_the_workers_of_a_rehearsal_that_is_killed_do_not_outlive_it(under_way: subprocess.Popen[bytes]) -> None:
    workers = pythons(under_way)
    under_way.kill()
    under_way.wait()
    _, alive = psutil.wait_procs(workers, timeout=15)
    assert alive == []


def test_a_short_storm_loses_nothing_and_does_nothing_twice() -> None:
    least = {"kill": 20, "stop": 5, "pg": 1}
    faults = ",".join(f"{kind}:{number}" for kind, number in least.items())
    lab = ("--nodes", "4", "--slots", "3", "--students", "12", "--scale", str(storm.SCALE), "--pace", "0.6")
    found = storm.rehearse(*lab, "--faults", faults, "--seed", "5", timeout=250)
    assert storm.faults_found({**found, "recovery_worst": {}}, least) == []  # no times on a machine that is shared
    assert found["recovered"] > 0


def test_servers_that_are_away_for_a_while_cost_no_task() -> None:
    least = {"redis": 1, "llm": 2, "pg": 1}
    faults = ",".join(f"{kind}:{number}" for kind, number in least.items())
    found = storm.rehearse("--students", "6", "--scale", "0.02", "--faults", faults, "--pace", "0.5", timeout=200)
    assert storm.faults_found({**found, "recovery_worst": {}}, least) == []
    assert found["retried"] == 0
