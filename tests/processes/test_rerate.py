"""Ratings made again by a real worker, ordered by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from evaluations.actions import reratings
from evaluations.models import Evaluation, Form, Rerating, Submission
from queueing.models import Event, Task
from tests.conftest import Cast
from tests.evaluations.material import claim, hand_in, write_long_results
from tests.processes.conftest import ROOT, SIMULATED, Spawn, Submit, environment, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def rerate(*arguments: object) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, "manage.py", "rerate", *map(str, arguments), "--json"]
    run = subprocess.run(
        command, cwd=ROOT, env=environment(**SIMULATED), stdout=subprocess.PIPE, text=True, check=False, timeout=120
    )
    return run.returncode, json.loads(run.stdout) if run.stdout else {}


@pytest.fixture
def rated(submit: Submit, manage: Spawn, cast: Cast) -> list[Submission]:
    """Two submissions, rated by a worker that has gone since."""
    found = [submit("henry.wav"), submit("anna.webm", cast.bo)]
    assert manage("run_phase_worker", "--until-idle", **SIMULATED).wait(120) == 0
    assert Evaluation.objects.filter(current_of__in=found).count() == 2
    return found


def test_a_class_is_rated_again_and_the_new_ratings_are_adopted(
    rated: list[Submission], manage: Spawn, cast: Cast
) -> None:
    worker = manage("run_phase_worker", **SIMULATED)
    old = {each.submission_id: each for each in Evaluation.objects.all()}
    other = cast.classroom.rubric.new_version()
    code, said = rerate(cast.classroom.name, "--rubric", f"{other.name}:{other.version}", "--wait", "90s", "--adopt")
    assert code == 0, said
    assert (said["done"], said["adopted"], said["skipped"]) == (True, 2, {})
    assert said["rubric"] == f"{other.name}:{other.version}"
    assert {row["status"] for row in said["submissions"]} == {"completed"}
    for submission in Submission.objects.filter(pk__in=[each.pk for each in rated]):
        new = submission.evaluation
        assert new
        assert new != old[submission.pk]
        assert (new.rubric, new.rerating_id) == (other, said["order"])
        assert (
            new.seal not in ("", old[submission.pk].seal) or other.spec().digest == cast.classroom.rubric.spec().digest
        )
        assert old[submission.pk] in submission.ratings.all()
    assert len(reratings.seals_of(cast.classroom)) == 1
    worker.terminate()
    worker.wait(60)


def test_forms_are_filled_in_anew_before_and_replaced(rated: list[Submission], manage: Spawn, cast: Cast) -> None:
    Form.objects.update(name="Somebody else", engine="an old one")
    code, said = rerate(cast.classroom.pk, "--extract")
    assert (code, said["done"], len(said["submissions"])) == (0, True, 2)
    assert not Evaluation.objects.filter(rerating=said["order"]).exists()
    assert manage("run_phase_worker", "--until-idle", **SIMULATED).wait(120) == 0
    assert set(Form.objects.values_list("engine", flat=True)) == {"simulated"}
    order = Rerating.objects.get(pk=said["order"])
    assert order.ratings.count() == 2
    assert Evaluation.objects.filter(current_of__in=rated, rerating=None).count() == 2  # until they are adopted
    tasks = Task.objects.filter(owner_key=order.owner_key)
    assert sorted(tasks.values_list("pipeline", "state")) == [
        *([("reextraction", "done")] * 2),
        *([("rerating", "done")] * 2),
    ]


def test_what_students_wait_for_is_rated_before_what_is_rated_again(
    rated: list[Submission], manage: Spawn, cast: Cast
) -> None:
    reratings.order(
        classroom=cast.classroom, rubric=cast.classroom.rubric, submissions=[each.pk for each in rated], by=None
    )
    fresh = [hand_in(cast.ada, cast.classroom) for _ in range(2)]
    for each in fresh:  # heard, and the form is filled in
        write_long_results(each, scores={}).delete()
        for _ in range(2):
            claim(each).advance(took=1.0)
    assert manage("run_phase_worker", "--until-idle", **SIMULATED, LLM_SLOTS="1").wait(120) == 0
    began = Event.objects.filter(kind="claim", stage__in=("rate", "rate_again")).order_by("-pk")[:4]
    assert [event.stage for event in began] == ["rate_again", "rate_again", "rate", "rate"]  # the last one first
    assert Evaluation.objects.filter(current_of__in=fresh).count() == 2


def test_a_worker_that_is_killed_in_the_middle_costs_no_rating_and_makes_none_twice(
    rated: list[Submission], manage: Spawn, cast: Cast
) -> None:
    order = reratings.order(
        classroom=cast.classroom, rubric=cast.classroom.rubric, submissions=[each.pk for each in rated], by=None
    ).order
    assert order
    quick = {"LEASE_SECONDS": "2", "HEARTBEAT_SECONDS": "0.33", "POLL_SECONDS": "0.1"}
    slow = manage("run_phase_worker", **SIMULATED, **quick, SIMULATED_SECONDS="60")
    wait_until(lambda: Task.objects.filter(pipeline="rerating", state="running").exists())
    slow.kill()
    slow.wait()
    assert manage("run_phase_worker", "--until-idle", **SIMULATED, **quick).wait(120) == 0
    assert order.ratings.count() == 2


def test_a_wait_without_a_worker_runs_out_and_says_so(rated: list[Submission], cast: Cast) -> None:
    code, said = rerate(cast.classroom.name, "--submission", rated[0].pk, "--wait", "1s")
    assert (code, said["done"]) == (1, False)
    assert [row["submission"] for row in said["submissions"]] == [str(rated[0].pk)]
    code, said = rerate(cast.classroom.name, "--submission", rated[0].pk)
    assert (code, said["order"]) == (1, None)
    assert said["skipped"] == {str(rated[0].pk): "it is being rated again already"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("Nobody’s class",), "There is no class"),
        (("Group of Ms Teacher", "--rubric", "Nothing"), "There is no rubric"),
        (("Group of Ms Teacher", "--submission", "17"), "is no submission's id"),
        (("Group of Ms Teacher", "--try", "0"), "is no number of submissions"),
    ],
)
def test_what_makes_no_sense_is_named(cast: Cast, arguments: tuple[str, ...], words: str) -> None:
    command = [sys.executable, "manage.py", "rerate", *arguments]
    run = subprocess.run(
        command, cwd=ROOT, env=environment(**SIMULATED), capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 2
    assert words in run.stderr
    assert not Rerating.objects.exists()
