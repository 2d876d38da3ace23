"""What `rehearse_lab` refuses before it breaks anything, and which lab it rehearses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from evaluations.models import EVALUATION
from introeval import doctor
from introeval.management.commands import rehearse_lab
from introeval.rehearsal import plan, report
from introeval.rehearsal.estimate_log import measure
from introeval.rehearsal.lab import RehearsalOutcome
from introeval.rehearsal.oracle import Counters
from queueing.models import Task
from queueing.policy import memory_plan
from queueing.policy.memory_plan import GIB, Card, Share
from queueing.report.lesson import read as read_lesson


@pytest.fixture
def scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `manage.py` had made a database for it."""
    monkeypatch.setenv("INTROEVAL_REHEARSAL", "1")


def test_outside_of_a_database_of_its_own_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTROEVAL_REHEARSAL", raising=False)
    with pytest.raises(CommandError, match="a database of its own"):
        call_command("rehearse_lab")


@pytest.mark.django_db
def test_a_database_with_tasks_in_it_is_refused(scratch: None, enqueue: Callable[..., Task]) -> None:
    enqueue()
    with pytest.raises(CommandError, match="would destroy them"):
        call_command("rehearse_lab")


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("faults", "flood:3", "no fault 'flood'"),
        ("faults", "kill:many", "--faults"),
        ("slots", 0, "at least 1"),
        ("scale", 0.0, "above 0"),
        ("arrive", -1.0, "above 0"),
    ],
)
def test_what_can_not_be_rehearsed_is_told_in_words(scratch: None, option: str, value: object, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("rehearse_lab", **{option: value})


CARD = Card(8 * GIB)
ALONE = [Share("mistral", 5 * GIB, 3, roles=("extract",)), Share("llama3", 6 * GIB, 3, roles=("rate",))]


def planned(**chosen: Any) -> plan.RehearsalPlan:
    parser = rehearse_lab.Command().create_parser("manage.py", "rehearse_lab")
    given = [f"--{name}={value}" for name, value in chosen.items()]
    return rehearse_lab._plan(**vars(parser.parse_args(given)))


@pytest.mark.parametrize(("card", "in_turns"), [(CARD, True), (Card(24 * GIB), False), (None, False)])
def test_what_is_rehearsed_is_the_plan_that_doctor_shows(
    monkeypatch: pytest.MonkeyPatch, card: Card | None, in_turns: bool
) -> None:
    shown = memory_plan.plan(Share("base", GIB), ALONE, card)
    monkeypatch.setattr(doctor, "labs_plan", lambda: shown)
    assert str(shown) in doctor.plan().found
    found = planned()
    assert (found.work.in_turns, found.work.slots, found.why) == (in_turns, 3, str(shown))
    assert found.options().together is not in_turns
    assert planned(plan="pipelined", slots=2).work == replace(found.work, in_turns=False, slots=2)
    assert planned(plan="sub-phases").work.in_turns


def test_a_lab_in_which_nothing_would_be_rated_is_not_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "labs_plan", lambda: memory_plan.plan(Share("base", GIB), ALONE, Card(4 * GIB)))
    with pytest.raises(CommandError, match="nothing would be rated in this lab"):
        planned()


@pytest.mark.django_db
def test_a_run_with_more_hand_ins_is_held_against_the_bound_for_all_of_them(tmp_path: Path) -> None:
    rehearsed = replace(planned(plan="sub-phases"), folder=tmp_path)
    counters = Counters(75, 75, 75, 0, 0, 0, 0, 0, 0, 0)
    lesson = read_lesson(EVALUATION, timezone.now())
    outcome = RehearsalOutcome(rehearsed, counters, {}, {}, measure({}, {}, []), [10.0, 900.0], lesson, 5000.0, 1.0)
    assert outcome.lower_bound == rehearsed.bound_of(75) > 2 * rehearsed.bound_of(30)
    said = "\n".join(report.lines(outcome))
    assert "75 videos in all" in said
    assert "beats 15 min" not in said
    assert "maximum wait         900 s" in said
    assert rehearsed.why in said
    assert {"plan": rehearsed.why, "max_wait": 900.0, "handed_in": 75}.items() <= outcome.as_json().items()


def test_faults_are_read_with_their_numbers() -> None:
    assert plan.read_faults("kill:20, stop:5,pg") == {"kill": 20, "stop": 5, "pg": 1}
    assert plan.read_faults("") == {}
