"""The commands that change something: what they do, what they say, how they exit."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import load_command_class

from queueing.management import base
from queueing.models import Batch, Breaker, Event, Pause, Phase, Task, Worker, in_seconds
from queueing.signals import upkeep_due
from queueing.states import PhaseName, PhaseStep, State
from tests.conftest import Cast
from tests.queueing.management.conftest import Run

Make = Callable[[State], Task]
ME = f"command:{getpass.getuser()}"


@pytest.fixture
def lab(db: None) -> None:
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name=PhaseName.STT)


@pytest.fixture
def two_nodes(lab: None) -> None:
    Phase(node="lab-2").enter(PhaseStep.IDLE)


def state(task: Task) -> str:
    return Task.objects.get(pk=task.pk).state


# Tasks


def test_retry_takes_ids_and_reports_who_was_skipped(run: Run, in_state: Make) -> None:
    failed, running = in_state(State.FAILED), in_state(State.RUNNING)
    ran = run("queue_retry", str(failed.pk), str(running.pk), "--reason", "louder now")
    assert (ran.code, ran.out.strip()) == (0, "1 queued, 1 skipped: already running")
    assert failed.events.latest("sequence").detail == {"by": ME, "reason": "louder now"}


def test_retry_can_mean_all_that_failed_or_failed_for_one_reason(run: Run, in_state: Make) -> None:
    first, second, stopped = in_state(State.FAILED), in_state(State.FAILED), in_state(State.CANCELLED)
    Task.objects.filter(pk=second.pk).update(error_code="poison")
    assert run("queue_retry", "--failed", "--code", "poison", "--json").json["moved"] == [second.pk]
    assert run("queue_retry", "--failed").out.strip() == "1 queued"
    assert [state(task) for task in (first, second, stopped)] == ["queued", "queued", "cancelled"]


def test_cancel_takes_ids_or_all_that_wait(run: Run, in_state: Make) -> None:
    running, waiting, other = in_state(State.RUNNING), in_state(State.QUEUED), in_state(State.QUEUED)
    assert run("queue_cancel", "--waiting").out.strip() == "2 cancelled"
    assert [state(task) for task in (running, waiting, other)] == ["running", "cancelled", "cancelled"]
    ran = run("queue_cancel", str(running.pk), str(waiting.pk), "--json")
    assert ran.json == {"done": True, "moved": [running.pk], "skipped": {str(waiting.pk): "already cancelled"}}


def test_a_task_a_student_or_a_class_is_put_first_or_last(run: Run, in_state: Make, cast: Cast) -> None:
    tasks = [in_state(State.QUEUED) for _ in range(3)]
    why = ("--reason", "a bus")
    assert run("queue_priority", "first", str(tasks[1].pk), *why).out.strip() == "1 put first"
    assert [*Task.objects.in_turn()] == [tasks[1], tasks[0], tasks[2]]
    ran = run("queue_priority", "last", "--class", cast.classroom.name, *why, "--json")
    assert ran.json["moved"] == [tasks[1].pk, tasks[0].pk, tasks[2].pk]
    ran = run("queue_priority", "last", "--student", cast.ada.username, *why)
    assert (ran.code, ran.out.strip()) == (1, "0 put last, 3 skipped: already put last")
    assert run("queue_priority", "last", "--student", "nobody", *why).code == 2


@pytest.mark.parametrize("verb", ["queue_retry", "queue_cancel"])
def test_nothing_moved_is_exit_code_one(verb: str, run: Run, in_state: Make) -> None:
    ran = run(verb, str(in_state(State.DONE).pk))
    assert ran.code == 1
    assert "1 skipped: already done" in ran.out
    assert run("queue_retry", "--failed").code == 1


def test_an_unknown_task_stops_it_before_anything_moves(run: Run, in_state: Make) -> None:
    failed = in_state(State.FAILED)
    ran = run("queue_retry", str(failed.pk), "999999")
    assert (ran.code, ran.err) == (2, "There is no task 999999.")
    assert state(failed) == State.FAILED


@pytest.mark.parametrize(
    "words",
    [
        ("queue_retry",),
        ("queue_retry", "1", "--failed"),
        ("queue_retry", "1", "--code", "poison"),
        ("queue_retry", "one"),
        ("queue_cancel",),
        ("queue_cancel", "1", "--waiting"),
        ("queue_priority", "first", "1"),
        ("queue_priority", "first", "1", "--reason", " "),
        ("queue_priority", "first", "--reason", "x"),
        ("queue_priority", "middle", "1", "--reason", "x"),
        ("queue_pause",),
        ("queue_pause", "--reason", "x", "--for", "soon"),
        ("queue_pause", "lunch", "--reason", "x"),
        ("queue_pause", "--reason", "x", "--node", "typo"),
        ("queue_pause", "uploads", "--reason", "x", "--node", "lab-pc"),
        ("switch_phase", "stt", "--often"),
        ("queue_resume", "stt", "--all"),
        ("queue_drain", "--node", "typo"),
        ("switch_phase",),
        ("switch_phase", "both"),
        ("switch_phase", "stt", "--node", "typo"),
    ],
)
def test_what_is_not_understood_is_exit_code_two_and_changes_nothing(
    words: tuple[str, ...], run: Run, lab: None
) -> None:
    before = Event.objects.count()
    assert run(*words).code == 2
    assert Event.objects.count() == before
    assert not Pause.objects.exists()


# Pauses


def test_pause_and_resume_everything(run: Run, lab: None) -> None:
    ran = run("queue_pause", "--reason", "fire drill")
    assert (ran.code, ran.out.strip()) == (
        0,
        "Paused until queue_resume: everything on all nodes. What runs is finished.",
    )
    pause = Pause.objects.active().get()
    assert (pause.what, pause.node, pause.by, pause.reason, pause.until) == ("everything", "", ME, "fire drill", None)
    ran = run("queue_resume", "--reason", "it was only a drill")
    assert (ran.code, ran.out.strip()) == (0, "1 lifted")
    assert Event.objects.latest("pk").detail == {"what": "everything", "by": ME, "reason": "it was only a drill"}
    ran = run("queue_resume")
    assert (ran.code, ran.out.strip()) == (1, "Nothing to lift.")


def test_a_pause_can_be_of_one_kind_on_one_node_for_a_time(run: Run, two_nodes: None) -> None:
    ran = run("queue_pause", "stt", "--node", "lab-2", "--reason", "lunch", "--for", "10m", "--json")
    (pause,) = ran.json["pauses"]
    assert (pause["what"], pause["node"], pause["reason"], pause["by"]) == ("stt", "lab-2", "lunch", ME)
    pause = Pause.objects.get()
    assert pause.until is not None
    assert (pause.until - pause.since).total_seconds() == pytest.approx(600, abs=1)


def test_resume_leaves_other_kinds_and_says_so(run: Run, lab: None) -> None:
    Pause.objects.start(Pause.What.STT, by="x", reason="new cable")
    Pause.objects.start(Pause.What.EVERYTHING, node="lab-pc", drain=True, by="x", reason="repair")
    ran = run("queue_resume")
    assert ran.code == 0
    assert "Still on: pause of speech to text: new cable (x)" in ran.out
    assert run("queue_resume", "--all").code == 0
    assert not Pause.objects.active().exists()


def test_resume_of_one_node_leaves_the_others_alone(run: Run, two_nodes: None) -> None:
    for node in ("lab-pc", "lab-2"):
        Pause.objects.start(Pause.What.EVERYTHING, node=node, by="x", reason="repair")
    assert run("queue_resume", "--node", "lab-2").code == 0
    assert [pause.node for pause in Pause.objects.active()] == ["lab-pc"]


# Nodes


@pytest.mark.parametrize("words", [("queue_drain",), ("switch_phase", "eval")])
def test_with_several_nodes_one_has_to_be_named(words: tuple[str, ...], run: Run, two_nodes: None) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert "There are several nodes; name one of them with --node: lab-2 (no worker is alive), lab-pc (no" in ran.err
    assert "queue_forget" in ran.err
    assert run(*words, "--node", "lab-2").code == 0


COMMANDS_OF_A_NODE = [("queue_drain",), ("switch_phase", "eval"), ("queue_recover", "--accept-gpu-memory")]


@pytest.mark.parametrize("words", COMMANDS_OF_A_NODE)
def test_a_node_that_has_left_does_not_stand_in_the_way_of_the_only_one_that_works(
    words: tuple[str, ...], run: Run, two_nodes: None
) -> None:
    Worker.objects.create(node="lab-pc", pid=1)
    Worker.objects.create(node="lab-2", pid=2, last_heartbeat_at=in_seconds(-3600))
    ran = run(*words)
    assert (ran.code, "lab-pc" in ran.out) == (0, True)
    Worker.objects.create(node="lab-2", pid=3)
    assert run(*words).code == 2, "with two of them it has to be named again"


def test_a_node_is_forgotten_by_a_verb_with_all_that_was_said_of_it(run: Run, two_nodes: None) -> None:
    gone = Worker.objects.create(node="lab-2", pid=2, last_heartbeat_at=in_seconds(-3600))
    Pause.objects.start(Pause.What.EVERYTHING, node="lab-2", drain=True, by="x", reason="repair")
    Breaker.objects.create(server="http://127.0.0.1:11434 on lab-2")
    Breaker.objects.create(server="http://gpu:11434")
    ran = run("queue_forget", "lab-2", "--reason", "sold")
    assert (ran.code, ran.out.strip()) == (0, "lab-2 is forgotten.")
    assert [phase.node for phase in Phase.objects.all()] == ["lab-pc"]
    assert not Pause.objects.active().exists()
    assert [breaker.server for breaker in Breaker.objects.all()] == ["http://gpu:11434"]
    gone.refresh_from_db()
    assert gone.stopped_at is not None
    assert Event.objects.get(kind="node_forgotten").detail == {"by": ME, "reason": "sold"}
    assert run("queue_drain").code == 0


def test_a_node_with_a_living_worker_is_not_forgotten_and_an_unknown_one_stops_it(run: Run, two_nodes: None) -> None:
    Worker.objects.create(node="lab-pc", pid=1)
    ran = run("queue_forget", "lab-pc", "lab-2", "--json")
    assert (ran.code, ran.json["forgotten"], ran.json["kept"]) == (1, ["lab-2"], ["lab-pc"])
    assert run("queue_forget", "lab-pc", "typo").code == 2
    assert Phase.objects.filter(node="lab-pc").exists()


@pytest.mark.parametrize("words", [("queue_drain",), ("switch_phase", "eval")])
def test_before_any_worker_ran_there_is_no_node(words: tuple[str, ...], run: Run) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert "run_phase_worker" in ran.err


def test_a_node_can_be_told_to_change_over_often_and_as_usual_again(run: Run, lab: None) -> None:
    ran = run("switch_phase", "--often", "--hold", "10m")
    assert "For 10 min, lab-pc changes over after 60 s" in ran.out
    assert Task.objects.snapshot("lab-pc").often
    assert not Task.objects.snapshot("lab-pc").paused

    run("queue_resume", "long")
    assert not Task.objects.snapshot("lab-pc").often


def test_drain_pauses_everything_on_the_node_and_unloads(run: Run, lab: None) -> None:
    ran = run("queue_drain", "--reason", "new fan")
    assert ran.code == 0
    pause = Pause.objects.active().get()
    assert (pause.what, pause.node, pause.drain, pause.reason, pause.by) == (
        "everything",
        "lab-pc",
        True,
        "new fan",
        ME,
    )


def test_a_wait_that_runs_out_is_exit_code_one_and_says_what_it_waited_for(run: Run, lab: None) -> None:
    ran = run("queue_drain", "--wait", "0.1s", "--json")
    assert ran.code == 1
    assert ran.json["empty"] is False
    assert "0 running; lab-pc: speech to text, working; no worker is alive there" in ran.err
    assert Pause.objects.active().filter(drain=True).exists()


def test_a_node_counts_as_empty_only_after_its_worker_must_have_heard_of_it(
    run: Run, lab: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    Phase.objects.get().enter(PhaseStep.IDLE)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:  # the worker had decided to load just before the drain
            Phase.objects.get().enter(PhaseStep.LOADING, name=PhaseName.STT)

    monkeypatch.setattr("queueing.management.base.time.sleep", sleep)
    monkeypatch.setattr("queueing.management.base.time.monotonic", lambda: sum(slept))
    assert run("queue_drain", "--wait", "5s").code == 1


def test_switch_asks_for_a_phase_and_notes_who_and_why(run: Run, lab: None) -> None:
    ran = run("switch_phase", "eval", "--hold", "60s", "--reason", "marks are due")
    assert ran.code == 0
    phase = Phase.objects.get()
    assert phase.wanted == PhaseName.EVAL
    assert phase.wanted_until is not None
    assert Event.objects.latest("pk").detail == {"name": "eval", "by": ME, "reason": "marks are due"}


def test_switch_waits_until_the_node_works_on_it_and_says_what_is_against_it(run: Run, lab: None) -> None:
    assert run("switch_phase", "stt", "--wait", "1s").code == 0
    Pause.objects.start(Pause.What.EVERYTHING, node="lab-pc", drain=True, by="x", reason="repair")
    ran = run("switch_phase", "eval", "--wait", "0.1s")
    assert ran.code == 1
    assert "but there is a drain of everything on lab-pc: repair (x)" in ran.err


def test_a_wait_for_a_phase_ends_with_the_wish_and_says_why(
    run: Run, lab: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(seconds: float) -> None:  # meanwhile the worker found nothing to rate, and uploads that wait
        Phase.objects.all().end_wishes(by="system", reason="other work waits, and it has none")

    monkeypatch.setattr("queueing.management.base.time.sleep", sleep)
    ran = run("switch_phase", "eval", "--wait", "10m")
    assert (ran.code, ran.out.strip()) == (
        1,
        "lab-pc does not work on evaluation: other work waits, and it has none.",
    )


@pytest.mark.parametrize("words", [("queue_resume",), ("queue_resume", "--all"), ("queue_resume", "--node", "lab-pc")])
def test_resume_also_ends_what_a_person_asked_for(words: tuple[str, ...], run: Run, two_nodes: None) -> None:
    Phase.request(PhaseName.EVAL, node="lab-pc", hold_seconds=300, by="x")
    ran = run(*words, "--reason", "never mind")
    assert (ran.code, ran.out.strip()) == (0, "1 asked-for phase ended")
    phase = Phase.objects.get(node="lab-pc")
    assert (phase.wanted, phase.wanted_at, phase.wanted_until) == ("", None, None)
    assert Event.objects.latest("pk").detail == {"name": "eval", "by": ME, "reason": "never mind"}
    assert run(*words).code == 1, "there is nothing left to lift"


def test_resume_of_one_kind_or_another_node_leaves_what_was_asked_for(run: Run, two_nodes: None) -> None:
    Phase.request(PhaseName.EVAL, node="lab-pc", hold_seconds=300, by="x")
    assert run("queue_resume", "stt").code == 1
    assert run("queue_resume", "--node", "lab-2").code == 1
    assert Phase.objects.get(node="lab-pc").wanted == PhaseName.EVAL


# Recovery


def test_recover_does_every_duty_and_says_what_each_did(run: Run, in_state: Make, worker: Worker) -> None:
    task = in_state(State.RUNNING)
    Task.objects.filter(pk=task.pk).update(lease_until=in_seconds(-5))
    gone = Worker.objects.create(node="gone", pid=2, last_heartbeat_at=in_seconds(-10_000))
    Batch.objects.create(node="gone")
    ran = run("queue_recover", "--json")
    assert ran.code == 0
    assert ran.json == {
        "done": True,
        "mended": 0,
        "rescued": 1,
        "released": 1,
        "forgotten": 1,
        "left": [],
        "tidied": {"tidy": ""},
        "accepted": None,
    }
    assert state(task) == State.QUEUED
    gone.refresh_from_db()
    assert gone.stopped_at is not None
    again = run("queue_recover")
    assert again.code == 0
    assert "0 tasks brought back" in again.out


def test_recover_mends_the_times_that_a_step_of_the_clock_left_in_the_future(
    run: Run, in_state: Make, worker: Worker
) -> None:
    waiting, running = in_state(State.QUEUED), in_state(State.RUNNING)
    Worker.objects.update(last_heartbeat_at=in_seconds(10_000))
    Task.objects.filter(pk=waiting.pk).update(not_before=in_seconds(10_000), staged_at=in_seconds(10_000))
    Task.objects.filter(pk=running.pk).update(lease_until=in_seconds(10_000))
    assert run("queue_recover", "--json").json["mended"] == 4
    assert run("queue_recover", "--json").json["mended"] == 0


def test_recover_reports_a_duty_that_failed_and_does_the_others(run: Run) -> None:
    def broken(**_: object) -> None:
        raise OSError("read-only file system")

    upkeep_due.connect(broken)
    try:
        ran = run("queue_recover")
    finally:
        upkeep_due.disconnect(broken)
    assert ran.code == 1
    assert "broken: read-only file system" in ran.out
    assert "tidy: done" in ran.out


def test_recover_accepts_what_others_hold_of_the_gpu_only_by_its_option(run: Run) -> None:
    Phase.objects.create(node="n", empty_bytes=300)
    assert run("queue_recover").code == 0
    assert Phase.objects.get().empty_bytes == 300
    ran = run("queue_recover", "--accept-gpu-memory", "--json")
    assert ran.json["accepted"] == "n"
    assert Phase.objects.get().empty_bytes is None
    assert Event.objects.get(kind="gpu_memory_accepted").detail["by"].startswith("command:")


def test_recover_accepts_the_gpu_of_no_node_that_is_not_there(run: Run) -> None:
    assert run("queue_recover", "--accept-gpu-memory", "--node", "nowhere").code == 2


COMMANDS = Path(base.__file__).parent / "commands"
GUIDE = Path(__file__).parents[3] / "docs" / "operator.md"


def test_the_operators_guide_lists_every_command_and_no_other() -> None:
    documented = set(re.findall(r"^\| `(\w+)", GUIDE.read_text(), re.MULTILINE)) - {"blocked"}
    here = {file.stem for file in COMMANDS.glob("[a-z]*.py")} - {"run_phase_worker", "rehearse_lab"}
    assert documented == here | {"queue_priority"}  # which knows classes, and so is not of the queue's own


VERBS = ("status", "pause", "resume", "drain", "retry", "cancel", "recover", "forget")


@pytest.mark.parametrize("command", [*(f"queue_{verb}" for verb in VERBS), "switch_phase"])
def test_help_explains_the_command_its_options_and_its_exit_codes(command: str) -> None:
    parser = load_command_class("queueing", command).create_parser("manage.py", command)
    assert "Exit codes:" in parser.format_help()
    assert not [action.dest for action in parser._actions if not action.help]
    assert len(parser.description or "") > 40
