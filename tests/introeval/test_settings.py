"""The settings' table in the docs, and loud refusal of what can't be read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from introeval import settings as module
from queueing.engines.llm import models

ROOT = Path(__file__).parents[2]
READERS = r"(?:env(?:\.\w+)?|positive|one_of|restart_action|_chosen)\(\s*\"([A-Z_]+)\""


def test_the_docs_list_every_variable_and_no_other() -> None:
    sources = [ROOT / "introeval" / name for name in ("settings.py", "logs.py")]
    read = {name for source in sources for name in re.findall(READERS, source.read_text())}
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE))
    assert told == read


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("BATCH_SIZE", "0"),
        ("BATCH_SIZE", "ten"),
        ("LEASE_SECONDS", "-1"),
        ("STT_ENGINE", "siri"),
        ("LLM_PROTOCOL", "x"),
        ("LLM_EXTRACT_RESTART", "docker restart ollama; id"),
        ("LLM_RATE_RESTART", "reboot"),
    ],
)
def test_a_bad_value_stops_the_process_and_names_the_variable(variable: str, value: str) -> None:
    code = "import introeval.settings"
    env = {**os.environ, variable: value}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert variable in run.stderr


@pytest.mark.parametrize(
    ("variables", "model", "can_judge"),
    [
        ({}, "smollm2", False),
        ({"judge": "here"}, "qwen2.5-coder-1.5b", True),
        ({"judge": "here", "LLM_RATE_MODEL": "smollm2"}, "smollm2", False),
        ({"LLM_CAN_JUDGE": "true"}, "smollm2", True),
        ({"LLM_RATE_MODEL": "/srv/own.gguf"}, "/srv/own.gguf", True),
        ({"LLM_PROTOCOL": "ollama", "judge": "here"}, "llama3:8b-instruct", True),
        ({"LLM_PROTOCOL": "ollama", "LLM_CAN_JUDGE": "false"}, "llama3:8b-instruct", False),
        ({"LLM_PROTOCOL": "simulated"}, "llama3:8b-instruct", True),
    ],
)
def test_the_model_that_judges_is_the_best_that_is_here(
    variables: dict[str, str], model: str, can_judge: bool, tmp_path: Path
) -> None:
    variables = {**variables, "LLM_MODELS_DIR": str(tmp_path)}
    if variables.pop("judge", ""):
        (tmp_path / models.IN_PARTS[models.JUDGE].file).touch()
    code = "from introeval.settings import *; print(LLM_RATE_MODEL, LLM_CAN_JUDGE)"
    env = {**os.environ, **variables}
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [model, str(can_judge)]


@pytest.mark.parametrize("chosen", ["", "elsewhere"])
def test_collectstatic_has_a_folder_the_one_beside_manage_py_unless_another_is_named(
    chosen: str, tmp_path: Path
) -> None:
    env = {**os.environ, "STATIC_ROOT": str(tmp_path / chosen) if chosen else ""}
    command = [sys.executable, "manage.py", "collectstatic", "--dry-run", "--noinput"]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert re.search(r"\d+ static files? copied to '(.+)'", run.stdout)[1] == str(  # type: ignore[index]
        tmp_path / chosen if chosen else ROOT / "staticfiles"
    )


@pytest.mark.parametrize(("disk_gb", "reserve_gb"), [(20, 2), (50, 5), (2000, 5)])
def test_a_tenth_of_the_disk_is_kept_free_but_no_more_than_5_gb(
    disk_gb: int, reserve_gb: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(place: Path) -> Any:
        if place != tmp_path:
            raise FileNotFoundError(place)
        return Mock(total=disk_gb * 1024**3)

    monkeypatch.setattr(module, "DATA_DIR", tmp_path / "not made" / "yet")
    monkeypatch.setattr("shutil.disk_usage", usage)
    assert module.disk_reserve_mb() == pytest.approx(reserve_gb * 1024)
