"""Nodes that have left."""

from __future__ import annotations

import pytest

from queueing.exceptions import Infrastructure
from queueing.models import Breaker, Pause, Phase, Worker, in_seconds, nodes
from queueing.policy.breaker import BreakerConfig
from queueing.worker.background import line_facts

DAY = 24 * 3600

pytestmark = pytest.mark.django_db


def known(node: str, *, since: float = 10 * DAY, heard: float | None = None) -> None:
    """A node that entered its step `since` seconds ago, whose worker was last heard `heard` seconds ago."""
    Phase.objects.create(node=node, since=in_seconds(-since))
    if heard is not None:
        Worker.objects.create(node=node, pid=1, last_heartbeat_at=in_seconds(-heard))


def names() -> list[str]:
    return sorted(Phase.objects.values_list("node", flat=True))


def test_a_node_without_a_sign_of_life_for_a_day_is_forgotten_and_no_other() -> None:
    known("gone", heard=DAY + 60)
    known("gone-without-a-worker")
    known("silent-since-lunch", heard=3600)
    known("alive", heard=1)
    known("new", since=60)
    Worker.objects.create(node="alive", pid=2, last_heartbeat_at=in_seconds(-5 * DAY))
    assert nodes.forget_left() == ["gone", "gone-without-a-worker"]
    assert names() == ["alive", "new", "silent-since-lunch"]
    assert nodes.forget_left() == []


def test_a_node_that_wakes_from_a_long_sleep_does_not_forget_itself() -> None:
    known("slept", heard=3 * DAY)
    known("gone", heard=3 * DAY)
    assert nodes.forget_left(spare="slept") == ["gone"]
    assert names() == ["slept"]


def test_what_a_person_paused_on_a_node_holds_though_it_was_away_for_long_and_what_the_system_paused_does_not() -> None:
    known("gone", heard=3 * DAY)
    Pause.objects.start(Pause.What.STT, node="gone", by="anna", reason="repair")
    Pause.objects.start(Pause.What.EVAL, node="gone", by="system", reason="disk full")
    Breaker.objects.create(server="http://localhost:1 on gone")
    nodes.forget_left()
    assert [pause.by for pause in Pause.objects.active()] == ["anna"]
    assert not Breaker.objects.exists()


def test_what_is_paused_or_broken_on_a_node_that_is_silent_stops_no_estimates() -> None:
    known("lab", heard=1)
    known("ghost", heard=3600)
    Pause.objects.start(Pause.What.EVERYTHING, node="ghost", drain=True, by="anna", reason="repair")
    silent = Infrastructure("nobody answers", code="engine_unavailable")
    Breaker.objects.fail("http://127.0.0.1:1 on ghost", silent, node="ghost", config=BreakerConfig(opens_after=1))
    assert not line_facts.standstill()
    Pause.objects.start(Pause.What.EVERYTHING, node="lab", by="anna", reason="repair")
    assert line_facts.standstill()
    Pause.objects.all().end(by="anna")
    Breaker.objects.fail("http://127.0.0.1:1 on lab", silent, node="lab", config=BreakerConfig(opens_after=1))
    assert line_facts.standstill()


def test_a_plan_is_recorded_though_others_forgot_the_node_while_it_slept() -> None:
    row = Phase.objects.create(node="slept", since=in_seconds(-3 * DAY))
    nodes.forget_left()
    row.note_plan("all fit")
    assert Phase.objects.get().plan == "all fit"
