"""A few lessons of the soak that `make chaos` runs at length, ended as a person ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from introeval.rehearsal.soak.measuring import BARS
from tests.processes.conftest import ROOT
from tests.processes.lab import left_over

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_what_a_lab_takes_is_measured_until_ctrl_c_and_judged(tmp_path: Path) -> None:
    running_lab = {"DATA_DIR": str(tmp_path / "var"), "DATABASE_URL": "postgresql://nobody@nowhere/lab", "HTTPS": "1"}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "soak", "--every", "0.3", "--students", "2", "--json"],
        cwd=ROOT,
        env={**os.environ, **running_lab, "SIMULATED_SECONDS": "0.05", "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        said = ""
        while "1 lessons" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        printed, rest = process.communicate(timeout=150)
    finally:
        process.kill()  # if it hangs; its servers end with it
    found = json.loads(printed)
    assert found["problems"] == [], rest
    assert found["held"].startswith("1 lessons, ")
    assert "what there is" in rest
    seen = {name: values[-1][1] for name, values in found["series"].items()}
    assert seen.keys() == BARS.keys() - {"memory of the language model"}, "a simulated one has no process"
    assert 50 < seen["memory of the site"] < 500
    assert seen["starts"] == 2
    assert seen["connections to PostgreSQL"] >= 4
    grown = [trend["name"] for trend in found["trends"] if trend["grows"]]
    assert process.returncode == bool(grown)
    assert not (tmp_path / "var").exists()
    assert left_over(tmp_path) == []
