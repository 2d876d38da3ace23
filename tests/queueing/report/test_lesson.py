"""A lesson's figures are those of its rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.exceptions import Permanent, Transient
from queueing.models import Attempt, Task, Worker
from queueing.report import lesson
from queueing.report.lesson import TimeSpread
from queueing.states import State
from tests.conftest import Cast
from tests.queueing.worker.working import Enqueue

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


@pytest.fixture
def worker(db: None) -> Worker:
    worker = Worker.objects.create(node="pc", pid=1)
    Worker.objects.update(started_at=at(-5), last_heartbeat_at=at(100))
    return worker


def worked_on(task: Task, worker: Worker, *, handed_in: float, ended: float, tries: int = 0, fails: str = "") -> None:
    """It goes through its stages, 30 s each, after some tries that fail; at the end it fails with that code, or not."""
    for _ in range(tries):
        (task,) = Task.objects.take([task.pk], worker=worker, lease_seconds=30)
        task.retry_later(Transient("not this time"), 0, took=1.0)
    while State(task.state) is not State.DONE:
        (task,) = Task.objects.take([task.pk], worker=worker, lease_seconds=30)
        if fails:
            task.fail(Permanent("no", code=fails), took=2.0)
            break
        task.advance(took=30.0)
        task.refresh_from_db()
    Task.objects.filter(pk=task.pk).update(created_at=at(handed_in), finished_at=at(ended))


def test_the_figures_of_a_lesson(enqueue: Enqueue, cast: Cast, worker: Worker) -> None:
    worked_on(enqueue(), worker, handed_in=0, ended=4)
    worked_on(enqueue(cast.bo), worker, handed_in=1, ended=9, tries=1)
    worked_on(enqueue(), worker, handed_in=2, ended=10, fails="no_speech")
    worked_on(enqueue(), worker, handed_in=3, ended=12, tries=1)
    began = lesson.last_began("evaluation")
    assert began == at(0)
    found = lesson.read("evaluation", began, lost=0)
    assert (found.handed_in, found.students, found.states) == (4, 2, {"done": 3, "failed": 1})
    assert (found.until, found.makespan_seconds, found.per_hour) == (at(12), 720.0, 15.0)
    assert found.waits == TimeSpread(3, 420.0, 480.0, 540.0, 540.0)
    assert {stage: (spread.count, spread.mean) for stage, spread in found.stages.items()} == {
        "transcription": (3, 30.0),
        "form": (3, 30.0),
        "rating": (3, 30.0),
    }
    assert found.errors == {"no_speech": 1}
    assert found.success == 0.75
    assert found.first_try == pytest.approx(1 / 3, abs=1e-4)
    assert found.recovery == pytest.approx(2 / 3, abs=1e-4), "the one that failed for good had a failed attempt, too"
    assert {target.name: target.reached for target in found.targets} == {
        "minutes for 30 students": None,
        "mean wait for a result, minutes": True,
        "tasks that end well": False,
        "results at the first try": False,
        "failed tries that recover": False,
        "time with a living worker": True,
        "videos lost": True,
    }


def test_thirty_in_fourteen_minutes_reach_what_the_lab_wants(enqueue: Enqueue, worker: Worker) -> None:
    for number in range(30):
        worked_on(enqueue(), worker, handed_in=number / 10, ended=3 + number / 3)
    found = lesson.read("evaluation", at(0), lost=0)
    assert found.makespan_seconds == pytest.approx(12.67 * 60, abs=1)
    assert {target.reached for target in found.targets if target.name != "failed tries that recover"} == {True}


def test_a_lesson_that_was_played_quickly_is_told_in_its_own_time(enqueue: Enqueue, worker: Worker) -> None:
    for number in range(3):
        worked_on(enqueue(), worker, handed_in=0, ended=1 + number)
    quick = lesson.read("evaluation", at(0), scale=0.1)
    assert (quick.makespan_seconds, quick.per_hour) == (1800.0, 6.0)
    assert quick.waits == TimeSpread(3, 1200.0, 1200.0, 1800.0, 1800.0)
    assert {spread.mean for spread in quick.stages.values()} == {300.0}
    assert next(target for target in quick.targets if "mean wait" in target.name).reached is False


def test_what_was_handed_in_before_a_long_pause_is_another_lesson(enqueue: Enqueue, worker: Worker) -> None:
    for minutes in (0, 10, 39, 80, 109):
        worked_on(enqueue(), worker, handed_in=minutes, ended=minutes + 1)
    assert lesson.last_began("evaluation") == at(80)
    assert lesson.read("evaluation", at(80)).handed_in == 2


def test_a_lesson_that_goes_on_lasts_until_now(enqueue: Enqueue, worker: Worker) -> None:
    worked_on(enqueue(), worker, handed_in=0, ended=2)
    waiting = enqueue()
    found = lesson.read("evaluation", at(0))
    assert found.until > waiting.created_at
    assert found.states == {"done": 1, "queued": 1}


def test_time_without_a_living_worker_counts(enqueue: Enqueue, worker: Worker) -> None:
    worked_on(enqueue(), worker, handed_in=0, ended=10)
    Worker.objects.update(last_heartbeat_at=at(2), stopped_at=at(2))
    later = Worker.objects.create(node="pc", pid=2)
    overlapping = Worker.objects.create(node="other", pid=3)
    Worker.objects.filter(pk__in=[later.pk, overlapping.pk]).update(started_at=at(4), last_heartbeat_at=at(20))
    assert lesson.read("evaluation", at(0)).available == 0.8


def test_before_anything_was_handed_in_there_is_no_lesson(db: None) -> None:
    assert lesson.last_began("evaluation") is None
    assert not Attempt.objects.exists()
    empty = lesson.read("evaluation", at(0))
    assert (empty.handed_in, empty.waits, empty.success, empty.makespan_seconds) == (0, None, None, None)


@given(st.lists(st.floats(0, 1e5), min_size=1))
def test_a_spread_lies_within_what_it_is_of(seconds: list[float]) -> None:
    spread = TimeSpread.of(seconds)
    assert spread is not None
    assert spread.p50 <= spread.p90 <= spread.longest
    assert min(seconds) - 0.1 <= spread.mean <= spread.longest + 0.1
    assert TimeSpread.of([]) is None
