"""`manage.py report`: the same figures in every shape."""

from __future__ import annotations

import csv
import json
import re
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from evaluations import actions
from evaluations.media import store
from evaluations.models import Submission
from evaluations.uploads import upkeep
from queueing.models import LessonRecord, Task, Worker
from tests.conftest import Cast
from tests.evaluations.material import hand_in


def printed(*words: str) -> str:
    out = StringIO()
    call_command("report", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def handed_in(cast: Cast) -> Submission:
    """One that is rated, and one that waits."""
    worker = Worker.objects.create(node="pc", pid=1)
    (task,) = Task.objects.filter(submission=hand_in(cast.ada, cast.classroom))
    for _ in range(3):
        (task,) = Task.objects.take([task.pk], worker=worker, lease_seconds=30)
        task.advance(took=12.5)
        task.refresh_from_db()
    return hand_in(cast.bo, cast.classroom)


def test_without_anything_handed_in_it_says_so(db: None) -> None:
    with pytest.raises(CommandError, match="nothing has been handed in yet"):
        printed()


def test_every_shape_has_every_figure(handed_in: Submission) -> None:
    text, page, found = printed(), printed("--html"), json.loads(printed("--json"))
    rows = list(csv.reader(StringIO(printed("--csv"))))
    assert rows[0] == ["section", "name", "value"]
    assert ["lesson", "handed in", "2"] in rows
    assert ["stages", "rating, p90, seconds", "12.5"] in rows
    assert ["targets", "videos lost (at most 0)", "0 reached"] in rows
    assert found["handed_in"] == 2
    assert found["stages"]["rating"]["p90"] == 12.5
    assert found["targets"][-1] == {"name": "videos lost", "wanted": "at most 0", "value": 0, "reached": True}
    assert "2 videos of 2 students: 1 done, 1 queued" in text
    assert all(name in page for _, name, _ in rows[1:])


def test_a_share_is_shown_as_what_is_wanted_of_it(handed_in: Submission) -> None:
    line = next(line for line in printed().splitlines() if line.startswith("results at the first try"))
    assert re.search(r"at least 80\.0% +100\.0% +reached$", line)
    assert "results at the first try (at least 80.0%),100.0% reached" in printed("--csv")


def test_a_lost_video_misses_a_target(handed_in: Submission) -> None:
    store.locate(handed_in.path).unlink()
    assert any(line.startswith("videos lost") and line.endswith("MISSED") for line in printed().splitlines())


def test_it_goes_back_as_far_as_it_is_asked_to(handed_in: Submission) -> None:
    Task.objects.filter(submission=handed_in).update(created_at=timezone.now() - timedelta(hours=3))
    assert json.loads(printed("--json"))["handed_in"] == 1
    assert json.loads(printed("--json", "--since", "1d"))["handed_in"] == 2
    assert json.loads(printed("--json", "--since", "2020-01-01T09:00"))["handed_in"] == 2


def test_the_report_of_a_lesson_is_kept_by_itself_when_nothing_waits_any_more(handed_in: Submission) -> None:
    with pytest.raises(CommandError, match="no lesson has ended yet"):
        printed("--last")
    upkeep.report_lesson()
    assert not LessonRecord.objects.exists(), "one still waits"
    actions.cancel(submission=handed_in, by=handed_in.student)
    for _node in range(3):
        upkeep.report_lesson()
    kept = json.loads(printed("--last", "--json"))
    assert kept == json.loads(printed("--json"))
    assert printed("--last") == printed()
    assert kept["states"] == {"done": 1, "cancelled": 1}
    assert LessonRecord.objects.count() == 1


def test_a_lesson_that_goes_on_is_reported_anew_and_another_one_beside_it(handed_in: Submission, cast: Cast) -> None:
    def one_more() -> None:
        actions.cancel(submission=hand_in(cast.ada, cast.classroom), by=cast.ada)
        upkeep.report_lesson()

    actions.cancel(submission=handed_in, by=handed_in.student)
    upkeep.report_lesson()
    made = LessonRecord.objects.get().made_at
    upkeep.report_lesson()
    assert LessonRecord.objects.get().made_at == made, "nothing has ended since"
    one_more()
    assert json.loads(printed("--last", "--json"))["handed_in"] == 3
    Task.objects.update(created_at=timezone.now() - timedelta(hours=1))
    one_more()
    assert json.loads(printed("--last", "--json"))["handed_in"] == 1
    assert LessonRecord.objects.count() == 2


@pytest.mark.parametrize("when", ["yesterday", "0m", "2026-13-01"])
def test_a_time_that_is_none_is_refused(db: None, when: str) -> None:
    with pytest.raises(CommandError, match="--since"):
        printed("--since", when)
