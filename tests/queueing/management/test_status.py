"""What `queue_status` prints, for people and for programs."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from queueing.exceptions import Infrastructure
from queueing.forecast.published import Estimate, PlaceInLine, Published
from queueing.models import Alert, Breaker, Forecast, Pause, Phase, Task, Worker, in_seconds
from queueing.policy.breaker import BreakerConfig
from queueing.report import figures
from queueing.states import PhaseName, PhaseStep, State
from tests.queueing.management.conftest import Run

Make = Callable[[State], Task]


def test_an_empty_queue_says_how_to_begin(run: Run) -> None:
    ran = run("queue_status")
    assert ran.code == 0
    assert "no worker has run yet: manage.py run_phase_worker" in ran.out
    assert "0 waiting; 0 running" in ran.out


def test_json_keeps_its_fixed_keys_and_counts_every_task_once(run: Run, in_state: Make) -> None:
    tasks = [in_state(state) for state in (*State, State.QUEUED, State.FAILED)]
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name=PhaseName.STT)
    found = run("queue_status", "--json").json
    assert {"phases", "counts", "oldest_seconds", "workers", "positions"} <= found.keys()
    assert found["phases"][0] | {"since": "", "since_seconds": 0} == {
        "node": "lab-pc",
        "phase": "stt",
        "step": "active",
        "target": None,
        "reason": "",
        "since": "",
        "since_seconds": 0,
        "plan": "",
        "wanted": None,
        "wanted_until": None,
    }
    everybody = Task.objects.select_related("batch").filter(pk__in=[task.pk for task in tasks])
    assert found["statuses"] == Counter(task.status.value for task in everybody)
    assert found["counts"] == {
        "transcribe": {"queued": 2, "running": 1, "failed": 2, "cancelled": 1},
        "rate": {"done": 1},
    }
    assert found["failures"] == {"no_speech": 2}
    live = {task.pk: task.status.value for task in everybody if task.state in (State.QUEUED, State.RUNNING)}
    assert {task["id"]: task["status"] for task in found["tasks"]} == live
    assert found["positions"] == {str(task): place for task, place in Task.objects.positions().items()}


def test_alerts_come_first_the_worst_of_them_before_the_others(run: Run) -> None:
    Alert.objects.create(kind="queue_size", subject="rating", severity="warning", text="many wait", cure="wait")
    Alert.objects.create(
        kind="no_worker", severity="critical", text="no worker", cure="start it", acknowledged_by="Ann"
    )
    lines = run("queue_status").out.splitlines()
    assert re.fullmatch(r"ALERT, critical, since \d\d:\d\d:\d\d, Ann knows: no worker", lines[0])
    assert lines[1] == "  start it"
    assert lines[2].endswith(": many wait")
    found = run("queue_status", "--json").json["alerts"]
    assert [(each["kind"], each["subject"]) for each in found] == [("no_worker", None), ("queue_size", "rating")]


def test_the_plan_of_a_node_is_printed_below_what_it_does(run: Run) -> None:
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name=PhaseName.EVAL, reason="extracts with mistral:7b")
    Phase.objects.get().note_plan("sub-phases: both are too large")
    out = run("queue_status").out.splitlines()
    assert "(extracts with mistral:7b)" in out[0]
    assert out[1] == "  sub-phases: both are too large"
    assert run("queue_status", "--json").json["phases"][0]["plan"] == "sub-phases: both are too large"


def test_waits_are_printed_per_stage_and_the_longest_for_all(run: Run, in_state: Make) -> None:
    old, young = in_state(State.QUEUED), in_state(State.QUEUED)
    Task.objects.filter(pk=old.pk).update(staged_at=in_seconds(-100))
    Task.objects.filter(pk=young.pk).update(staged_at=in_seconds(-40), stage="rate")
    found = run("queue_status", "--json").json
    waits = found["oldest_seconds_of_stage"]
    assert {stage: round(wait, -1) for stage, wait in waits.items()} == {"transcribe": 100, "rate": 40}
    assert found["oldest_seconds"] == waits["transcribe"]
    assert re.search(r"transcription +1 .* 1 min 4\d s\n", run("queue_status").out)


def test_a_worker_that_fell_silent_is_called_lost(run: Run, worker: Worker, in_state: Make) -> None:
    task = in_state(State.RUNNING)
    line = rf"worker test/1: {{}}, last heartbeat {{}} ago, works on {task.pk}\n"
    assert re.search(line.format("alive", r"\d+ s"), run("queue_status").out)
    Worker.objects.update(last_heartbeat_at=in_seconds(-120))
    assert re.search(line.format("LOST", r"2 min( \d+ s)?"), run("queue_status").out)


def test_a_running_task_shows_how_far_it_is(run: Run, in_state: Make) -> None:
    task = in_state(State.RUNNING)
    task.note_progress(15, 60)
    assert f"task {task.pk}: transcribing  █████░░░░░░░░░░░░░░░  15 of 60 s" in run("queue_status").out


def test_pauses_and_wishes_are_printed_with_who_and_why(run: Run) -> None:
    Phase(node="lab-pc").enter(PhaseStep.IDLE)
    Phase.request(PhaseName.EVAL, node="lab-pc", hold_seconds=60, by="x")
    Pause.objects.start(Pause.What.STT, by="command:anna", reason="new cable", seconds=600)
    Pause.objects.start(Pause.What.EVERYTHING, node="lab-pc", drain=True, by="admin:1", reason="repair")
    lines = run("queue_status").out
    assert re.search(r"PAUSED stt on all nodes, until \d\d:\d\d:\d\d: new cable \(command:anna\)", lines)
    assert "DRAINED everything on lab-pc, until it is lifted: repair (admin:1)" in lines
    wish = r"node lab-pc: idle for \d+ s; asked for evaluation while it has work, until \d\d:\d\d:\d\d at most"
    assert re.search(wish, lines)
    found = run("queue_status", "--json").json
    assert [(pause["what"], pause["node"], pause["drain"]) for pause in found["pauses"]] == [
        ("stt", None, False),
        ("everything", "lab-pc", True),
    ]
    assert found["phases"][0]["wanted"] == "eval"
    Phase.objects.update(wanted_until=in_seconds(-1))
    assert run("queue_status", "--json").json["phases"][0]["wanted"] is None


def test_an_open_breaker_is_printed_with_why_and_when_its_server_is_probed(run: Run) -> None:
    """F45, F56"""
    server, gone = "http://gpu-1:11434", Infrastructure("nobody answers", code="engine_unavailable")
    line = f"language model server {server}: "

    def fail() -> str:
        Breaker.objects.fail(server, gone, node="n", config=BreakerConfig(first_pause=60, max_pause=60))
        return run("queue_status").out

    assert line + "1 failure: nobody answers\n" in fail()
    fail()
    assert re.search(line + r"OPEN, 3 failures, again in [56]\d s: nobody answers\n", fail())
    Breaker.objects.update(restarts=1)
    assert "restarted 1 time\n" in run("queue_status").out
    Breaker.objects.update(restarts=3, asked_by=uuid.uuid4())
    assert "being asked or restarted now: nobody answers; restarted 3 times, WITHOUT SUCCESS" in run("queue_status").out
    (found,) = run("queue_status", "--json").json["servers"]
    assert (found["server"], found["open"], found["failures"], found["given_up"]) == (server, True, 3, True)
    Breaker.objects.all().close()
    assert server not in run("queue_status").out


def test_positions_list_the_line_in_the_order_of_service(run: Run, in_state: Make) -> None:
    running, first, second = in_state(State.RUNNING), in_state(State.QUEUED), in_state(State.QUEUED)
    ran = run("queue_status", "--positions")
    line = [line.split()[:2] for line in ran.out.splitlines() if re.match(r" *(now|\d+) +\d+ ", line)]
    assert sorted(line) == sorted([["1", str(running.pk)], ["2", str(first.pk)], ["3", str(second.pk)]])


def test_how_long_each_still_takes_is_printed_and_all_of_them(run: Run, in_state: Make) -> None:
    task, untold = in_state(State.QUEUED), in_state(State.QUEUED)
    assert "all of them" not in run("queue_status").out
    with Forecast.objects.renew(0) as row:
        assert row
        row.publish({task.pk: Published(PlaceInLine(task.pk, 0, 0), Estimate(245.0, 350.0))}, which_lab="")
    estimates = {row["id"]: row["estimate"] for row in run("queue_status", "--json").json["tasks"]}
    assert estimates == {task.pk: {"low_seconds": 245.0, "high_seconds": 350.0}, untold.pk: None}
    out = run("queue_status", "--positions").out
    end = r"all of them about 4–6 min, by \d\d:\d\d at the latest"
    assert re.search(rf"2 waiting, the longest for \d+ s; 0 running; {end}", out)
    assert re.search(rf"\b{task.pk} +uploaded +about 4–6 min\n", out)
    assert re.search(rf"\b{untold.pk} +uploaded +-\n", out)


def test_nothing_but_text_goes_into_a_pipe(run: Run, worker: Worker) -> None:
    Worker.objects.update(last_heartbeat_at=in_seconds(-120))
    Pause.objects.start(Pause.What.STT, by="x", reason="y")
    assert "\033" not in run("queue_status").out


def test_a_terminal_gets_colours_unless_it_wants_none(
    run: Run, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    Worker.objects.update(last_heartbeat_at=in_seconds(-120))
    assert "\033[31;1mworker test/1: LOST" in run("queue_status", "--force-color").out
    monkeypatch.setattr("django.core.management.color.supports_color", lambda: True)  # what a terminal does
    assert "\033" in run("queue_status").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\033" not in run("queue_status").out


def test_done_are_all_that_are_through_with_a_stage(run: Run, in_state: Make) -> None:
    in_state(State.DONE)
    task = in_state(State.RUNNING)
    task.advance(took=1.0)
    out = run("queue_status").out
    lines = [line.split() for line in out.splitlines() if "again" not in line]
    counts = {words[0]: words[1:4] for words in lines if words and words[0] in ("transcription", "form", "rating")}
    assert counts == {"transcription": ["0", "0", "2"], "form": ["1", "0", "1"], "rating": ["0", "0", "1"]}


def test_what_has_ended_today_is_told_with_its_waits(run: Run, in_state: Make) -> None:
    assert "today" not in run("queue_status").out
    in_state(State.FAILED)
    Task.objects.filter(pk=in_state(State.DONE).pk).update(created_at=in_seconds(-130), finished_at=in_seconds(-10))
    told = r"evaluation today: 1 done, 1 failed \(50%\); within an hour: 1 done, 1 failed \(50%\); "
    assert re.search(told + r"waits: half 2 min, nine of ten 2 min at most\n", run("queue_status").out)


def test_the_report_costs_the_same_whatever_there_is_to_tell(in_state: Make, db: None) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            figures.status()
        return len(captured)

    def fill(number: int) -> None:
        Phase(node=f"n{number}").enter(PhaseStep.IDLE)
        Pause.objects.start(Pause.What.STT, node=f"n{number}", by="x", reason="y")
        busy = Worker.objects.create(node=f"n{number}", pid=number)
        for _ in range(3):
            Task.objects.take([in_state(State.QUEUED).pk], worker=busy, lease_seconds=60)
        in_state(State.FAILED)

    fill(1)
    before = cost()
    for number in range(2, 6):
        fill(number)
    assert cost() == before
