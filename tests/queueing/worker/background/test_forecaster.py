"""What is written down for pages, API and commands, from rows as a worker leaves them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from evaluations.stages.names import Stage
from queueing.exceptions import Infrastructure, Interrupted
from queueing.forecast.published import Estimate
from queueing.models import Attempt, Breaker, Forecast, Pause, Phase, Task, Worker, in_seconds
from queueing.policy.breaker import BreakerConfig
from queueing.policy.lanes import Lane
from queueing.policy.phases import Limits
from queueing.states import PhaseName, PhaseStep
from queueing.worker.background.forecaster import forecast
from queueing.worker.background.line_facts import NodeCapacity

LANES = (
    Lane("speech", ("transcribe",), 1, PhaseName.STT, batched=True),
    Lane("extract", ("extract",), 1),
    Lane("rate", ("rate",), 1),
)
CREW = NodeCapacity(Limits(10, 3, 600, 60), LANES, node="lab-pc")
TOOK = {Stage.TRANSCRIBE: 10.0, Stage.EXTRACT: 15.0, Stage.RATE: 25.0}

Enqueue = Callable[..., Task]


@pytest.fixture
def lab(enqueue: Enqueue) -> Worker:
    """A node whose worker lives and listens, and has done three videos before."""
    worker = Worker.objects.create(node="lab-pc", pid=1)
    Phase(node="lab-pc").enter(PhaseStep.ACTIVE, name=PhaseName.STT)
    for _ in range(3):
        task = enqueue()
        for stage, seconds in TOOK.items():
            task = take(task, worker)
            task.advance(took=seconds)
            task.refresh_from_db()
            done = Attempt.objects.filter(task=task, stage=stage)
            done.update(began_at=F("ended_at") - timedelta(seconds=seconds))
    return worker


def take(task: Task, worker: Worker) -> Task:
    return Task.objects.take([task.pk], worker=worker, lease_seconds=60)[0]


def estimates_of(*tasks: Task) -> list[Estimate | None]:
    forecast(CREW)
    found = Forecast.objects.current()
    return [found.of(task.pk) for task in tasks]


def test_everybody_in_line_gets_a_range_and_who_is_behind_a_later_one(lab: Worker, enqueue: Enqueue) -> None:
    first, second = enqueue(), enqueue()
    one, two = estimates_of(first, second)
    assert one
    assert two
    # Both are transcribed before either is rated. A third may still come; how long a swap takes is unknown yet.
    assert one.low_seconds < 2 * 10 + 15 + 25 < one.high_seconds < 2 * (2 * 10 + 15 + 25)
    assert two.low_seconds > one.low_seconds
    assert two.high_seconds > one.high_seconds


def test_nothing_is_published_before_each_stage_was_seen_three_times(lab: Worker, enqueue: Enqueue) -> None:
    waiting = enqueue()
    Attempt.objects.filter(stage=Stage.RATE).first().delete()  # type: ignore[union-attr]
    assert estimates_of(waiting) == [None]


def test_nothing_is_published_while_work_stands_still(lab: Worker, enqueue: Enqueue) -> None:
    waiting = enqueue()
    assert estimates_of(waiting) != [None]
    pause = Pause.objects.start("eval", by="x", reason="y")
    assert estimates_of(waiting) == [None]
    Pause.objects.filter(pk=pause.pk).end(by="x")
    assert estimates_of(waiting) != [None]
    Breaker.objects.fail(
        "http://gpu", Infrastructure(code="engine_unavailable"), node="n", config=BreakerConfig(opens_after=1)
    )
    assert estimates_of(waiting) == [None]
    Breaker.objects.all().delete()
    Phase.objects.get().enter(PhaseStep.BLOCKED, reason="stuck")
    assert estimates_of(waiting) == [None]
    Phase.objects.get().enter(PhaseStep.ACTIVE, name=PhaseName.STT)
    Worker.objects.update(last_heartbeat_at=in_seconds(-60))
    assert estimates_of(waiting) == [None]


def test_a_stale_forecast_is_shown_to_nobody(lab: Worker, enqueue: Enqueue) -> None:
    waiting = enqueue()
    assert estimates_of(waiting) != [None]
    Forecast.objects.update(made_at=in_seconds(-31))
    assert Forecast.objects.current().of(waiting.pk) is None


def test_slow_work_holds_the_countdown_and_a_failure_says_why_it_is_longer(lab: Worker, enqueue: Enqueue) -> None:
    first, second = enqueue(), enqueue()
    Task.objects.fill_batch("lab-pc", 10)
    before = estimates_of(first, second)
    runs = take(first, lab)
    Attempt.objects.filter(stage=Stage.RATE).update(began_at=F("began_at") - timedelta(seconds=1))
    assert estimates_of(first, second) == before  # what was learnt meanwhile is worse, but nothing has happened
    Task.objects.filter(pk=runs.pk).update(claimed_at=in_seconds(-9))
    held = estimates_of(first, second)
    assert all(now and was and now.high_seconds < was.high_seconds for now, was in zip(held, before, strict=True))
    runs.hand_back(Interrupted(), took=9.0)
    after = estimates_of(first, second)
    assert all(now and was and now.high_seconds > was.high_seconds for now, was in zip(after, held, strict=True))


def test_who_comes_later_does_not_make_a_batch_that_is_being_rated_later(lab: Worker, enqueue: Enqueue) -> None:
    rated = enqueue()
    take(rated, lab).advance(took=10.0)
    Phase.objects.get().enter(PhaseStep.ACTIVE, name=PhaseName.EVAL)
    (before,) = estimates_of(rated)
    for _ in range(12):
        enqueue()
    assert estimates_of(rated) == [before]


def test_only_one_worker_at_a_time_works_it_out(lab: Worker, enqueue: Enqueue) -> None:
    waiting = enqueue()
    assert estimates_of(waiting) != [None]
    made_at = Forecast.objects.get().made_at
    forecast(CREW, every_seconds=2.0)
    assert Forecast.objects.get().made_at == made_at
    Forecast.objects.update(made_at=in_seconds(-2))
    forecast(CREW, every_seconds=2.0)
    assert Forecast.objects.get().made_at > made_at


def test_it_costs_as_many_queries_for_thirty_as_for_one(lab: Worker, enqueue: Enqueue) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            forecast(CREW)
        return len(captured)

    enqueue()
    cost()
    one = cost()
    for _ in range(29):
        enqueue()
    assert cost() == one <= 13
