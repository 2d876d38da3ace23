"""What the messages of the dashboard's socket say to programs, and when one is news."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from evaluations.live import messages
from evaluations.live.messages import SentState
from queueing.models import Phase, Task, Worker
from queueing.states import PhaseName, PhaseStep
from tests.conftest import Cast
from tests.evaluations.material import foretell, hand_in

pytestmark = pytest.mark.django_db


def sent_to(cast: Cast, before: SentState = messages.NOTHING) -> tuple[list[dict[str, Any]], SentState]:
    (update,) = messages.find_updates([(cast.ada.pk, before)], 0.0)
    assert update is not None
    return [json.loads(text) for text in update.texts], update.sent


def test_the_snapshot_says_where_each_is_and_how_far(cast: Cast) -> None:
    hand_in(cast.bo, cast.classroom)
    videos = [hand_in(cast.ada, cast.classroom) for _ in range(2)]
    Worker.objects.create(node="lab-pc", pid=1)
    Phase.objects.create(node="lab-pc", name=PhaseName.STT, step=PhaseStep.ACTIVE)
    foretell(videos[0], 40, 60)
    ((snapshot,), _) = sent_to(cast)

    row = next(each for each in snapshot["rows"] if each["submission_id"] == str(videos[0].pk))
    assert row.keys() >= {"task_id", "status", "progress", "stage", "estimated_completion", "timestamp"}
    assert (row["status"], row["stage"], row["progress"]) == ("uploaded", "transcribe", 0)
    wait = datetime.fromisoformat(row["estimated_completion"]) - datetime.fromisoformat(row["timestamp"])
    assert wait.total_seconds() == pytest.approx(50, abs=3)
    summary, phase = snapshot["summary"], snapshot["phase"]
    assert (summary["tasks"], summary["queue_position"], summary["estimated_wait"]) == (2, 2, 50)
    assert (phase["phase"], phase["message"]) == ("stt", phase["words"])
    assert datetime.fromisoformat(phase["timestamp"])


def test_what_only_the_clock_has_changed_is_no_news(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    Worker.objects.create(node="lab-pc", pid=1)
    foretell(video, 40, 60)
    _, before = sent_to(cast)
    foretell(video, 39, 59)
    assert sent_to(cast, before) == ([], before)


def test_progress_is_news_though_the_row_looks_the_same(cast: Cast) -> None:
    video = hand_in(cast.ada, cast.classroom)
    _, before = sent_to(cast)
    task = Task.objects.get(submission=video)
    earlier = replace(before, rows={task.pk: {**before.rows[task.pk], "progress": -1}})
    (update,), _ = sent_to(cast, earlier)
    assert (update["type"], update["progress"]) == ("task_update", 0)
