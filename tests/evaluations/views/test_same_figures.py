"""Page, command and /metrics tell the same figures, to the digit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from queueing.exceptions import Permanent
from queueing.models import Alert, Pause, Phase, Task, Worker
from queueing.policy.alerts import FiringAlert, NodeFacts, Severity
from queueing.report import figures, samples
from queueing.states import PhaseStep
from tests.conftest import Cast
from tests.evaluations.material import hand_in


@pytest.fixture
def lab(cast: Cast) -> Worker:
    """Something of everything that is told: waiting, running, done, failed, paused, alerted; a machine with a GPU."""
    worker = Worker.objects.create(node="lab-pc", pid=7)
    for number in range(6):
        task = hand_in(cast.ada if number % 2 else cast.bo, cast.classroom, name=f"{number}.mp4").evaluation_task
        if number < 4:
            (task,) = Task.objects.take([task.pk], worker=worker, lease_seconds=600)
        if number == 0:
            task.fail(Permanent("silence", code="no_speech"), took=1.0)
        if number == 1:
            for _ in range(2):
                task.advance(took=1.0)
                (task,) = Task.objects.take([task.pk], worker=worker, lease_seconds=600)
            task.advance(took=1.0)
            Task.objects.filter(pk=task.pk).update(created_at=timezone.now() - timedelta(seconds=77))
        if number == 2:
            task.advance(took=1.0)
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name="stt")
    Pause.objects.start("eval", by="x", reason="y")
    with Alert.objects.looking():
        gauge = FiringAlert("disk_space", Severity.CRITICAL, "full", "free some space", "lab-pc", 1.0)
        Alert.objects.apply([gauge], among=Alert.objects.none())
    samples.take(NodeFacts("lab-pc", gpu_used=0.3579, gpu_celsius=61.0, disk_free=0.0123, models=("whisper base",)))
    return worker


@contextmanager
def at_one_moment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Ages grow between two readings: all that is asked within it gets the same one."""
    found = figures.status()
    with monkeypatch.context() as patch:
        patch.setattr(figures, "status", lambda: found)
        yield found


def scraped() -> dict[tuple[str, ...], float]:
    """Name and the labels' values, in the order of the labels' names → figure."""
    text = Client().get("/metrics").content.decode()
    rows = re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE)
    return {(name, *re.findall(r"\"([^\"]*)\"", labels)): float(value) for name, labels, value in rows}


def shown() -> dict[str, float]:
    """Key → figure, of the operators' page."""
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    html = client.get("/operations/").content.decode()
    pairs = re.findall(r'<data value="([^"]+)" data-figure="([^"]+)">', html)
    return {key: float(value) for value, key in pairs}


def told() -> dict[str, Any]:
    out = StringIO()
    call_command("queue_status", "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_page_command_and_metrics_tell_the_same(lab: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    with at_one_moment(monkeypatch) as found:
        command, metrics, page = told(), scraped(), shown()
    assert command == json.loads(json.dumps(found))
    for stage, passed in command["passed"].items():
        if f"passed {stage}" in page:  # else nothing has ever come to it
            assert page[f"passed {stage}"] == passed
        assert metrics["introeval_tasks_passed", stage] == passed
    for stage, counts in command["counts"].items():
        for state in ("queued", "running", "failed", "cancelled"):
            number = counts.get(state, 0)
            assert metrics["introeval_tasks", stage, state] == page[f"tasks {stage} {state}"] == number
    for stage, seconds in command["oldest_seconds_of_stage"].items():
        assert metrics["introeval_oldest_wait_seconds", stage] == page[f"oldest {stage}"] == seconds
    ended = command["recent"]["ended"]
    for window in ("five_minutes", "hour", "today"):
        if window == "today" and not ended[window]:
            continue  # midnight has just passed
        of_class = ended[window]["evaluation"]
        assert (of_class["done"], of_class["failed"], of_class["error_share"]) == (1, 1, 0.5)
        assert metrics["introeval_error_ratio", "evaluation", window] == page[f"error evaluation {window}"] == 0.5
        assert metrics["introeval_ended", "done", "evaluation", window] == page[f"done evaluation {window}"] == 1
    waits = command["recent"]["waits"]["evaluation"]
    assert waits["p90"] > 70
    assert metrics["introeval_wait_seconds", "evaluation", "0.9"] == page["wait evaluation p90"] == waits["p90"]
    (node,) = command["nodes"].values()
    assert metrics["introeval_gpu_memory_used_ratio", "lab-pc"] == page["gpu lab-pc"] == node["gpu_used"] == 0.3579
    assert metrics["introeval_disk_free_ratio", "lab-pc"] == page["disk lab-pc"] == node["disk_free"] == 0.0123
    assert metrics["introeval_gpu_celsius", "lab-pc"] == page["heat lab-pc"] == node["gpu_celsius"] == 61
    assert metrics["introeval_model_loaded", "whisper base", "lab-pc"] == 1
    assert metrics["introeval_phase", "lab-pc", "stt", "active"] == 1
    assert metrics["introeval_phase_seconds", "lab-pc"] == command["phases"][0]["since_seconds"]
    assert metrics["introeval_workers_alive",] == page["workers alive"] == 1
    assert metrics["introeval_alerts", "disk_space", "critical"] == len(command["alerts"])
    assert metrics["introeval_pauses", "all", "eval"] == len(command["pauses"])
    assert metrics["introeval_failures", "no_speech"] == command["failures"]["no_speech"]


def test_a_task_is_through_with_each_stage_that_it_has_passed(lab: Worker) -> None:
    passed = figures.status()["passed"]
    assert {stage: passed[stage] for stage in ("transcribe", "extract", "rate")} == {
        "transcribe": 2,
        "extract": 1,
        "rate": 1,
    }
