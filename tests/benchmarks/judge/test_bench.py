"""`python -m tests.benchmarks judge` as a process, with the simulated engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def judge(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    simulated = {"LLM_PROTOCOL": "simulated", "SIMULATED_SECONDS": "0.001"}
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "judge", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, **simulated, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    whole = judge("--only", "1", "--json", file)
    assert whole.returncode == 0, whole.stderr
    assert "Spearman on the ladder" in whole.stdout
    kept = json.loads(file.read_text())
    kinds = [row["kind"] for row in kept["rows"]]
    assert set(kinds) == {"introduction", "adversarial", "honest part", "other", "ladder", "fairness"}
    assert len(whole.stderr.splitlines()) == len(kinds)

    file.write_text(json.dumps({**kept, "rows": kept["rows"][:-2]}))
    rest = judge("--only", "1", "--json", file, "--resume")
    assert len(rest.stderr.splitlines()) == 2
    again = json.loads(file.read_text())["rows"]
    assert [(row["id"], row["overall"]) for row in again] == [(row["id"], row["overall"]) for row in kept["rows"]]

    file.write_text(json.dumps({**kept, "made_by": {**kept["made_by"], "prompts": 0}}))
    other = judge("--only", "1", "--json", file, "--resume")
    assert other.returncode == 1
    assert "is of another model, rubric or prompt" in other.stderr


def test_a_model_that_can_not_judge_ends_it_with_words() -> None:
    run = judge("--only", "1", LLM_CAN_JUDGE="false")
    assert run.returncode == 1
    assert run.stderr.startswith("simulated can't judge")
    assert run.stdout == ""


def test_the_further_texts_have_figures_of_their_own() -> None:
    run = judge("--further")
    assert run.returncode == 0, run.stderr
    assert len(run.stderr.splitlines()) == 18
    assert "overall scores against" in run.stdout
