"""A row a minute on the lab, whoever takes it; and what has ended lately."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from queueing.forecast.published import Estimate, PlaceInLine, Published
from queueing.models import Forecast, LabSample, Phase, Task, Worker
from queueing.models.history import HOURS_DAYS, MINUTES_DAYS
from queueing.policy.alerts import NodeFacts
from queueing.policy.growth import ProcessMemory
from queueing.report import lately, samples
from queueing.report.lately import EndedTasks, Window
from queueing.states import PhaseStep, State
from queueing.worker import upkeep
from queueing.worker.background.watchdog import Watchdog

pytestmark = pytest.mark.django_db

Make = Callable[[State], Task]
MEMORY = (ProcessMemory("whisper", 300, 9, 1.0),)
HERE = NodeFacts("pc", gpu_used=0.25, gpu_celsius=55.0, disk_free=0.5, models=("mistral",), memory=MEMORY)
NOTHING: dict[str, Any] = {"phase": "", "step": "", "gpu_used": None, "gpu_celsius": None, "models": [], "memory": {}}


def ended(task: Task, *, ago: float, waited: float = 60.0) -> Task:
    at = timezone.now() - timedelta(seconds=ago)
    Task.objects.filter(pk=task.pk).update(finished_at=at, created_at=at - timedelta(seconds=waited))
    return task


def test_a_minute_has_one_sample_however_many_nodes_take_it(in_state: Make, worker: Worker) -> None:
    in_state(State.RUNNING)
    Phase(node="pc").enter(PhaseStep.ACTIVE, name="stt")
    assert samples.take(HERE)
    in_state(State.QUEUED)
    assert [samples.take(HERE), samples.take(NodeFacts("other", disk_free=0.9))] == [False, False]
    (row,) = LabSample.objects.all()
    assert (row.at.second, row.at.microsecond) == (0, 0)
    assert (row.waiting, row.running, row.workers) == ({}, {"transcribe": 1}, 1)
    assert row.nodes == {
        "pc": {
            "phase": "stt",
            "step": "active",
            "gpu_used": 0.25,
            "gpu_celsius": 55.0,
            "disk_free": 0.5,
            "models": ["mistral"],
            "memory": {"whisper": 300},
        },
        "other": {**NOTHING, "disk_free": 0.9},
    }
    assert samples.nodes_now()["pc"]["models"] == ["mistral"]


def test_estimates_that_nobody_renews_are_no_longer_in_it() -> None:
    old = timezone.now() - timedelta(minutes=5)
    Forecast.objects.create(made_at=old, ranges={"7": [1, 2, 0, 0, 2, 0.1], "8": [3, 4, 1, 0, 4, 0.1]})
    assert samples.take(HERE)
    assert LabSample.objects.get().estimates == {}


def test_a_sample_has_what_ended_in_the_minute_before(in_state: Make) -> None:
    minute = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
    for state, at in ((State.DONE, -1), (State.FAILED, -59), (State.DONE, 0), (State.DONE, -61)):
        Task.objects.filter(pk=in_state(state).pk).update(finished_at=minute + timedelta(seconds=at))
    found = samples.read(minute)
    assert (found.done, found.failed) == ({"evaluation": 1}, {"evaluation": 1})


def test_the_watchdog_samples_once_a_minute_and_whatever_else_fails() -> None:
    def node() -> NodeFacts:
        asked.append(1)
        if len(asked) == 1:
            raise RuntimeError("it can't look")
        return HERE

    asked: list[int] = []
    dog = Watchdog(node, every_seconds=60)
    with pytest.raises(RuntimeError):
        dog.look_and_sample()
    assert LabSample.objects.count() == 1
    dog.look_and_sample()
    assert len(asked) <= 4, "it is asked for a sample again only when a minute began meanwhile"


def test_minutes_become_hours_and_hours_go(db: None) -> None:
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    old, ancient, young = (now - timedelta(days=days) for days in (MINUTES_DAYS + 1, HOURS_DAYS + 1, 1))
    for minute in range(3):
        shift = timedelta(minutes=10 * minute + 5)
        many = {"transcribe": minute % 2}
        for hour in (old, young):
            LabSample.objects.create(at=hour + shift, waiting=many, done={"evaluation": 1}, failed={"coach": minute})
    LabSample.objects.create(at=ancient)
    assert upkeep.prune_samples() == 3
    assert LabSample.objects.filter(at__gte=young).count() == 3
    (row,) = LabSample.objects.filter(at__lt=young)
    assert (row.at, row.minutes, row.waiting) == (old, 3, {"transcribe": 1})
    assert (row.done, row.failed) == ({"evaluation": 3}, {"coach": 3})
    assert upkeep.prune_samples() == 0


def test_what_ended_is_counted_by_window(in_state: Make) -> None:
    assert lately.ended(Window.TODAY) == {}
    ended(in_state(State.DONE), ago=60)
    ended(in_state(State.FAILED), ago=400)
    ended(in_state(State.CANCELLED), ago=400)
    in_state(State.RUNNING)
    assert lately.ended(Window.FIVE_MINUTES) == {"evaluation": EndedTasks(1, 0, 0).as_dict()}
    assert lately.ended(Window.HOUR)["evaluation"] == {"done": 1, "failed": 1, "cancelled": 1, "error_share": 0.5}


def test_waits_are_those_of_the_last_hour(in_state: Make) -> None:
    for waited in (10.0, 20.0, 90.0):
        ended(in_state(State.DONE), ago=60, waited=waited)
    ended(in_state(State.DONE), ago=4000, waited=9000.0)
    spread = lately.waits()["evaluation"]
    assert (spread.count, spread.p50, spread.p90) == (3, 20.0, 90.0)


def test_how_often_estimates_held_is_told_by_how_the_tasks_ended(in_state: Make) -> None:
    assert lately.read()["estimates_held"] is None
    soon, late = in_state(State.DONE), in_state(State.DONE)
    with Forecast.objects.renew(0) as row:
        assert row
        row.publish(
            {task.pk: Published(PlaceInLine(task.pk, 0, 0), Estimate(60.0, 120.0)) for task in (soon, late)},
            which_lab="",
        )
    at = timezone.now() - timedelta(minutes=10)
    sample = samples.read(timezone.now().replace(second=0, microsecond=0))
    assert sample.estimates.keys() == {str(soon.pk), str(late.pk)}
    sample.at, sample.estimates = at, {str(soon.pk): [60.0, 120.0], str(late.pk): [60.0, 120.0]}
    sample.save()
    Task.objects.filter(pk=soon.pk).update(finished_at=at + timedelta(seconds=90))
    Task.objects.filter(pk=late.pk).update(finished_at=at + timedelta(seconds=121))
    assert lately.read()["estimates_held"] == 0.5
