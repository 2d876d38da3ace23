"""`manage.py rate_text`: texts in, forms and ratings out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluations.models import Rubric
from tests.processes.conftest import ROOT, SIMULATED, environment

pytestmark = pytest.mark.slow

NO_DATABASE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"}
SAID = (
    "Hello, my name is Ada Berg and I am sixteen years old. In my free time I play chess in a club in Graz. "
    "I want to study law because I like to argue. Thank you for listening."
)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "manage.py", "rate_text", *map(str, arguments)]


def rate_text(*arguments: str | Path, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    env = environment(**(SIMULATED | NO_DATABASE | {"SIMULATED_SECONDS": "0.01"} | env))
    return subprocess.run(
        command(*arguments), cwd=ROOT, env=env, input=stdin, capture_output=True, text=True, check=False, timeout=120
    )


def rows(run: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


def database() -> dict[str, str]:
    return {"DATABASE_URL": environment()["DATABASE_URL"]}


def test_texts_are_rated_without_a_database_and_told_of_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "ada.txt"
    path.write_text(SAID)
    run = rate_text(path, "-", "--json", stdin=SAID, LLM_EXTRACT_MODEL="one", LLM_RATE_MODEL="one")
    assert run.returncode == 0
    one, other = rows(run)
    assert (one["file"], other["file"]) == (str(path), "-")
    assert one["overall"] == other["overall"]
    assert run.stderr.splitlines() == [f"{name}: {how}" for name in (path, "-") for how in ("form", "rating", "done")]


def test_a_text_that_can_not_be_rated_fails_and_so_does_the_command(tmp_path: Path) -> None:
    run = rate_text(tmp_path / "none.txt", "-", "--json", stdin=SAID)
    assert run.returncode == 1
    assert [(row["status"], (row["error"] or {}).get("code")) for row in rows(run)] == [
        ("failed", "no_such_file"),
        ("completed", None),
    ]


def test_without_json_a_person_can_read_it() -> None:
    run = rate_text("-", "--language", "de", stdin=SAID)
    assert run.returncode == 0
    assert "-: completed" in run.stdout
    assert "Klarheit" in run.stdout  # the German rubric's word


def test_a_model_that_can_not_judge_says_so_and_gives_a_form() -> None:
    run = rate_text("-", "--json", stdin=SAID, LLM_CAN_JUDGE="false")
    assert run.returncode == 0
    (row,) = rows(run)
    assert (row["method"], row["overall"]) == ("none", None)
    assert run.stderr.splitlines()[0] == "simulated can't judge: there will be a form, and no score."


@pytest.mark.django_db(transaction=True)
def test_a_rubric_of_the_site_is_named_with_or_without_its_version() -> None:
    latest = Rubric.default().new_version()
    latest.criteria.filter(key="confidence").delete()
    for name in (latest.name, f"{latest.name}:{latest.version}"):
        (row,) = rows(rate_text("-", "--rubric", name, "--json", stdin=SAID, **database()))
        assert [score["key"] for score in row["scores"]] == ["clarity_of_speech", "content_quality"]
    (row,) = rows(rate_text("-", "--rubric", f"{latest.name}:{latest.version - 1}", "--json", stdin=SAID, **database()))
    assert len(row["scores"]) == 3


@pytest.mark.django_db(transaction=True)
def test_an_unknown_rubric_is_answered_with_those_that_exist() -> None:
    rubric = Rubric.default()
    run = rate_text("-", "--rubric", "Nothing:7", stdin=SAID, **database())
    assert run.returncode == 1
    assert "There is no rubric 'Nothing:7'." in run.stderr
    assert f"{rubric.name}:{rubric.version}" in run.stderr


def test_ctrl_c_ends_it_within_seconds() -> None:
    env = environment(**SIMULATED, **NO_DATABASE, SIMULATED_SECONDS="60")
    with subprocess.Popen(
        command("-"), cwd=ROOT, env=env, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(SAID)
        process.stdin.close()
        assert process.stderr.readline() == "-: form\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == "CommandError: Stopped.\n"
