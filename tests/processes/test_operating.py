"""A class in the middle of its work, and an operator at the terminal: real worker, real commands."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from evaluations.models import Submission
from evaluations.pages import rows
from evaluations.stages.names import Stage
from queueing.models import Attempt, Event, Pause, Phase, Task
from queueing.states import PhaseName, PhaseStep, State
from tests.conftest import Cast
from tests.processes import forks
from tests.processes.conftest import MANAGE, QUICK_LEASE, SIMULATED, Spawn, Submit, environment, wait_until

pytestmark = pytest.mark.slow

CLIPS = ("henry.wav", "anna.webm", "ben.mp4", "clara.webm", "emma.m4a")
STEADY = SIMULATED | QUICK_LEASE | {"SIMULATED_SECONDS": "2", "NODE": "lab-pc"}

Ask = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def ask(transactional_db: None) -> Ask:
    """Run a command to its end, as at a terminal that is piped."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return forks.server.run(MANAGE, *words, env=environment(**STEADY), timeout=90)

    return run


@pytest.fixture
def lesson(manage: Spawn, submit: Submit, cast: Cast) -> subprocess.Popen[bytes]:
    """Five videos of two students, the first of them being transcribed; returns the worker."""
    for number, clip in enumerate(CLIPS):
        submit(clip, student=(cast.ada, cast.bo)[number % 2])
    worker = manage("run_phase_worker", **STEADY)
    wait_until(lambda: Task.objects.filter(state=State.RUNNING).exists())
    return worker


def all_done() -> bool:
    return not Task.objects.exclude(state=State.DONE).exists()


def settled(what: Callable[[], Any], seconds: float = 2) -> Any:
    """`what`, which must stay the same for a while."""
    before = what()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert what() == before
        time.sleep(0.1)
    return before


@pytest.mark.usefixtures("lesson")
def test_a_pause_in_mid_class_lets_what_runs_finish_and_nothing_new_begin(ask: Ask) -> None:
    ran = ask("queue_pause", "--reason", "fire drill")
    assert ran.returncode == 0, ran.stderr
    wait_until(lambda: not Task.objects.filter(state=State.RUNNING).exists())
    assert not Attempt.objects.exclude(outcome="succeeded").exists()
    begun = settled(Attempt.objects.count)
    assert 1 <= begun < len(CLIPS) * len(Stage)  # it came in mid-class, however long the command took to start
    assert ask("queue_resume").returncode == 0
    wait_until(lambda: Attempt.objects.count() > begun)


@pytest.mark.usefixtures("lesson")
def test_a_drain_comes_back_when_the_node_is_empty_and_it_stays_so(ask: Ask) -> None:
    ran = ask("queue_drain", "--wait", "60s", "--reason", "new fan", "--json")
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["empty"] is True
    assert "lab-pc: " in ran.stderr  # how it went
    assert (Phase.objects.get().step, Phase.objects.get().name) == (PhaseStep.IDLE, "")
    assert not Task.objects.filter(state=State.RUNNING).exists()
    settled(Attempt.objects.count)
    assert not Attempt.objects.exclude(outcome="succeeded").exists()
    assert ask("queue_resume").returncode == 0
    wait_until(lambda: Task.objects.filter(state=State.RUNNING).exists())


@pytest.mark.usefixtures("lesson")
def test_a_switch_to_evaluation_while_a_batch_is_transcribed_begins_with_what_is_ready(ask: Ask) -> None:
    wait_until(lambda: Task.objects.filter(stage="extract").exists())
    ran = ask("switch_phase", "eval", "--hold", "30s", "--wait", "30s", "--reason", "marks are due")
    assert ran.returncode == 0, ran.stderr
    assert "lab-pc works on evaluation." in ran.stdout
    assert Task.objects.filter(stage="transcribe").exists()  # left waiting
    wait_until(lambda: Attempt.objects.filter(stage="extract").exists())
    assert not Attempt.objects.exclude(outcome__in=("succeeded", "")).exists()  # what ran was finished


def test_a_switch_that_is_drained_tells_so_and_fails(ask: Ask, manage: Spawn) -> None:
    manage("run_phase_worker", **STEADY)
    wait_until(lambda: Phase.objects.filter(step=PhaseStep.IDLE).exists())
    assert ask("queue_drain", "--reason", "repair").returncode == 0
    ran = ask("switch_phase", "stt", "--wait", "2s")
    assert ran.returncode == 1
    assert "but there is a drain of everything on lab-pc: repair" in ran.stderr


def test_a_running_task_stops_when_it_is_cancelled(ask: Ask, manage: Spawn, submit: Submit) -> None:
    submission = submit()
    manage("run_phase_worker", **STEADY | {"SIMULATED_SECONDS": "60"})
    wait_until(lambda: Task.objects.filter(state=State.RUNNING, progress_done__gt=0).exists())
    task = Task.objects.get(submission=submission)
    other = submit("anna.webm")  # it begins as soon as the engine is free of the first
    ran = ask("queue_cancel", str(task.pk), "--reason", "the wrong video")
    assert (ran.returncode, ran.stdout.strip()) == (0, "1 cancelled")
    cancelled_at = task.events.get(kind="cancel").at
    wait_until(lambda: Task.objects.filter(submission=other, state=State.RUNNING).exists())
    began_at = Attempt.objects.get(task__submission=other).began_at
    assert (began_at - cancelled_at).total_seconds() < 20  # of the 60 that the first would have taken
    assert task.events.get(kind="cancel").detail["reason"] == "the wrong video"


def stories(ask: Ask, operator: Client, cast: Cast) -> list[dict[int, str]]:
    """Each task's status word, as the pages, the admin and the command tell it."""
    told = rows.of(Submission.objects.all(), rows.read_queue())
    pages = {row.task.pk: row.task.status.label for row in told}
    for student in (cast.ada, cast.bo):
        client = Client()
        client.force_login(student)
        html = client.get("/").content.decode()
        shown = Counter(re.findall(r'<span class="badge \w+"[^>]*>([^<]+)</span>', html))
        mine = Counter(row.task.status.label for row in told if row.submission.student == student)
        assert mine == Counter({word: count for word, count in shown.items() if word in mine})
    listed = operator.get(reverse("admin:queueing_task_changelist")).context["cl"].result_list
    admin = {task.pk: task.status.label for task in listed}
    found = json.loads(ask("queue_status", "--json").stdout)
    assert found["statuses"] == Counter(task.status.value for task in listed)
    assert sum(count for states in found["counts"].values() for count in states.values()) == len(CLIPS)
    live = {task["id"]: task["status"] for task in found["tasks"]}
    assert live == {task.pk: task.status.value for task in listed if task.state in (State.QUEUED, State.RUNNING)}
    return [pages, admin]


def test_after_a_kill_in_mid_class_page_admin_and_command_tell_the_same_true_story(
    ask: Ask, manage: Spawn, cast: Cast, lesson: subprocess.Popen[bytes]
) -> None:
    operator = Client()
    operator.force_login(User.objects.create_superuser("root"))
    wait_until(lambda: Task.objects.filter(stage="extract").exists())
    wait_until(lambda: Task.objects.filter(state=State.RUNNING).exists())
    lesson.kill()
    lesson.wait()

    pages, admin = stories(ask, operator, cast)
    assert pages == admin
    assert "transcribing" in pages.values()  # nobody knows better yet
    wait_until(lambda: "LOST" in ask("queue_status").stdout)
    ran = ask("queue_recover", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["rescued"]) == (0, 1)
    pages, admin = stories(ask, operator, cast)
    assert pages == admin
    assert "retrying" in pages.values()
    assert "transcribing" not in pages.values()

    manage("run_phase_worker", **STEADY | {"SIMULATED_SECONDS": "0.1"})
    wait_until(all_done, seconds=90)
    pages, admin = stories(ask, operator, cast)
    assert pages == admin
    assert set(pages.values()) == {"done"}
    assert Attempt.objects.filter(outcome="crashed").count() == 1
    assert "running" not in {attempt.outcome or "running" for attempt in Attempt.objects.all()}


def test_recovery_beside_a_running_worker_disturbs_nothing(ask: Ask, lesson: subprocess.Popen[bytes]) -> None:
    for _ in range(3):
        assert ask("queue_recover").returncode == 0
    wait_until(all_done, seconds=90)
    assert lesson.poll() is None
    assert Attempt.objects.filter(outcome="succeeded").count() == 3 * len(CLIPS)
    # A machine so busy that a heartbeat comes late may have one interrupted; none may have failed.
    assert not Attempt.objects.exclude(outcome__in=("succeeded", "interrupted")).exists()
    assert not Event.objects.filter(kind="rescue").exists()
    assert not Pause.objects.exists()
    assert Phase.objects.filter(name__in=[PhaseName.EVAL, ""]).exists()
