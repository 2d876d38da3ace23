"""A folder alone tells what was handed in and what came of it."""

from __future__ import annotations

import hashlib
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from evaluations import actions
from evaluations.actions import decisions
from evaluations.models import ReviewDecision, Submission
from evaluations.uploads import result_files
from queueing.exceptions import Permanent
from tests.conftest import Cast
from tests.evaluations.material import HOSTILE, fail, finish, hand_in, write_results

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def results(settings: Settings, tmp_path: Path) -> Path:
    settings.DATA_DIR, settings.MEDIA_ROOT = tmp_path, tmp_path / "media"
    settings.RESULT_FILES = True
    return tmp_path / "results"


def read(results: Path, video: Submission) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((results / f"class-{video.classroom_id}" / f"{video.pk}.json").read_text())
    return found


def test_they_are_there_when_the_work_has_ended_and_their_checksums_hold(cast: Cast, results: Path) -> None:
    video = hand_in(cast.ada, cast.classroom)
    rating = write_results(video)
    assert not results.exists()
    finish(video)

    row = read(results, video)
    assert (row["status"], row["transcript"], row["overall"]) == ("completed", "I like climbing.", 7.5)
    assert row["sha256"]["video"] == video.sha256
    assert row["sha256"]["rating"] == rating.sha256 != ""
    folder = results / f"class-{cast.classroom.pk}"
    assert "I like climbing." in (folder / f"{video.pk}.md").read_text()
    for line in (folder / f"{video.pk}.sha256").read_text().splitlines():
        sha256, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".md", ".sha256"]


def test_a_failure_is_told_too(cast: Cast, results: Path) -> None:
    video = hand_in(cast.ada, cast.classroom)
    fail(video, Permanent("broken", code="unreadable"))
    assert read(results, video)["error"]["code"] == "unreadable"


def test_a_review_rewrites_them(cast: Cast, results: Path) -> None:
    video = hand_in(cast.ada, cast.classroom)
    rating = write_results(video)
    finish(video)
    decisions.decide(
        submission_id=video.pk,
        evaluation_id=rating.pk,
        by=cast.teacher,
        seen=0,
        kind=ReviewDecision.Kind.OVERALL,
        value=9,
        reason="better than that",
    )
    assert read(results, video)["overall"] == 9


def test_they_go_with_the_submission(cast: Cast, results: Path) -> None:
    video = hand_in(cast.ada, cast.classroom)
    write_results(video)
    finish(video)
    actions.delete(submission=video, by=cast.ada)
    assert list((results / f"class-{cast.classroom.pk}").iterdir()) == []


def test_what_could_not_be_written_is_written_by_the_upkeep(cast: Cast, results: Path) -> None:
    results.write_text("in the way")
    video = hand_in(cast.ada, cast.classroom)
    write_results(video)
    finish(video)
    gone = hand_in(cast.ada, cast.classroom)
    results.unlink()
    result_files.write(gone.pk)
    gone.tasks.all().delete()
    gone.delete()

    assert result_files.catch_up() == 2
    assert read(results, video)["status"] == "completed"
    assert len(list(results.glob("class-*/*.json"))) == 1
    assert result_files.catch_up() == 0


def test_nothing_that_was_said_is_mark_up(cast: Cast, results: Path) -> None:
    video = hand_in(cast.ada, cast.classroom, name=HOSTILE[:40])
    write_results(video, text=f"{HOSTILE} # not a heading | nor a cell")
    finish(video)
    text = (results / f"class-{cast.classroom.pk}" / f"{video.pk}.md").read_text()
    assert "<script>" not in text.replace("\\<", "")
    assert "\\# not a heading \\| nor a cell" in text


def test_without_the_setting_only_the_command_writes_them(cast: Cast, results: Path, settings: Settings) -> None:
    settings.RESULT_FILES = False
    video = hand_in(cast.ada, cast.classroom)
    write_results(video)
    finish(video)
    assert not results.exists()

    printed = StringIO()
    call_command("export", str(video.pk), stdout=printed)
    assert Path(printed.getvalue().strip()) == results / f"class-{cast.classroom.pk}" / f"{video.pk}.json"
    call_command("export", cast.classroom.name, results=True, output=results.with_name("elsewhere"), stdout=StringIO())
    assert (results.with_name("elsewhere") / f"class-{cast.classroom.pk}" / f"{video.pk}.md").exists()


def test_a_submission_that_is_not_there_is_named(cast: Cast) -> None:
    with pytest.raises(CommandError, match="There is no submission 3f0c"):
        call_command("export", "3f0c2a52-6a4b-4a4c-9d53-0d5d8a3c0b77")
