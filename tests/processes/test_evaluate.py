"""`manage.py evaluate`: files in, results out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluations import demo
from evaluations.uploads.local_results import FIELDS
from queueing.models import Worker
from tests.processes import forks
from tests.processes.conftest import MANAGE, SIMULATED, environment

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CLIPS = demo.HERE / "clips"


def evaluate(*arguments: str | Path, **env: str) -> tuple[int, str]:
    env = environment(**SIMULATED, SIMULATED_SECONDS="0.05", **env)
    run = forks.server.run(MANAGE, "evaluate", *map(str, arguments), env=env, timeout=120)
    return run.returncode, run.stdout


def as_json(*files: str | Path) -> tuple[int, list[dict[str, Any]]]:
    code, out = evaluate(*files, "--json")
    return code, json.loads(out)


def test_a_file_is_evaluated_by_a_worker_of_the_commands_own() -> None:
    code, (row,) = as_json(CLIPS / "henry.wav")
    assert code == 0
    assert tuple(row) == FIELDS
    assert (row["status"], row["error"], row["language"]) == ("completed", None, "en")
    assert set(row["form"]) == {"name", "age", "hobbies", "career_goals", "strengths", "experience"}
    assert row["scores"][0]["key"] == "clarity_of_speech"
    assert all(1 <= score["score"] <= 10 for score in row["scores"])
    assert set(row["timings"]) == {"transcribe", "extract", "rate"}
    assert [attempt["outcome"] for attempt in row["attempts"]] == ["succeeded"] * 3
    assert not Worker.objects.filter(stopped_at=None).exists()


def test_a_bad_file_fails_with_words_and_the_others_are_unharmed(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.mp4", tmp_path / "notes.mp4"
    empty.touch()
    text.write_text("not a video")
    code, rows = as_json(empty, CLIPS / "henry.wav", text, tmp_path / "nowhere.mp4")
    assert code == 1
    assert [row["status"] for row in rows] == ["failed", "completed", "failed", "failed"]
    codes = [row["error"]["code"] for row in rows if row["error"]]
    assert codes == ["empty_file", "not_media", "no_such_file"]
    assert all(row["error"]["title"] and row["error"]["todo"] for row in rows if row["error"])


def test_evaluating_the_same_file_again_answers_from_what_is_known() -> None:
    as_json(CLIPS / "henry.wav")
    code, (row,) = as_json(CLIPS / "henry.wav")
    assert code == 0
    assert len(row["attempts"]) == 3


def test_without_json_a_person_can_read_it() -> None:
    code, out = evaluate(CLIPS / "henry.wav")
    assert code == 0
    assert "henry.wav: completed" in out
    assert "Clarity of speech" in out
