"""From where on something is told, and of what severity."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueing.policy import alerts
from queueing.policy.alerts import (
    FiringAlert,
    LabFacts,
    NodeFacts,
    RunningFacts,
    Severity,
    StageFacts,
    Threshold,
    Thresholds,
)
from queueing.policy.growth import MIB, ProcessMemory

LIMITS = Thresholds()
WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL
STEADY = ProcessMemory("whisper", 300 * MIB, 9, 0.0)


def leak(per_task: float) -> ProcessMemory:
    return ProcessMemory("llama", 900 * MIB, 9, per_task * MIB)


def lab(**facts: object) -> list[FiringAlert]:
    return alerts.of_lab(LabFacts(**facts), LIMITS)  # type: ignore[arg-type]


def running(seconds: float, longest: float | None) -> list[FiringAlert]:
    return lab(running=[RunningFacts(7, "rating", seconds, longest)])


def grades(found: list[FiringAlert]) -> list[tuple[str, Severity]]:
    return [(one.kind, one.severity) for one in found]


def test_a_lab_in_which_all_is_well_has_none() -> None:
    busy = {"stages": {"rating": StageFacts(19, 899)}, "running": [RunningFacts(1, "rating", 100, 41)]}
    assert lab(**busy, attempts=20, failed_attempts=1) == []
    assert alerts.of_node(NodeFacts("pc", 0.79, 79, 0.11, "/data", -4.9), LIMITS) == []
    assert alerts.of_node(NodeFacts("pc"), LIMITS) == [], "what is not known is no alert"
    assert alerts.of_node(NodeFacts("pc", memory=(STEADY, leak(7.9), ProcessMemory("new", 1, 1))), LIMITS) == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lab(stages={"rating": StageFacts(20, 1)}), ("queue_size", WARNING)),
        (lab(stages={"rating": StageFacts(50, 1)}), ("queue_size", CRITICAL)),
        (lab(stages={"rating": StageFacts(1, 900)}), ("long_wait", WARNING)),
        (lab(stages={"rating": StageFacts(1, 1800)}), ("long_wait", CRITICAL)),
        (running(100, 40), ("task_late", WARNING)),
        (running(160, 40), ("task_late", CRITICAL)),
        (running(659.9, None), None),
        (running(660, None), ("task_late", WARNING)),
        (lab(attempts=20, failed_attempts=2), ("error_rate", WARNING)),
        (lab(attempts=20, failed_attempts=5), ("error_rate", CRITICAL)),
        (lab(attempts=4, failed_attempts=4), None),
        (lab(attempts=5, failed_attempts=5), ("error_rate", CRITICAL)),
        (lab(workers_alive=0), ("no_worker", WARNING)),
        (lab(workers_alive=0, stages={"rating": StageFacts(1, 1)}), ("no_worker", CRITICAL)),
        (lab(workers_alive=0, running=[RunningFacts(7, "rating", 1, None)]), ("no_worker", CRITICAL)),
        (lab(blocked={"pc": "no room"}), ("node_blocked", CRITICAL)),
        (lab(shut={"http://llm": ("refused", 1.0, False)}), ("server_away", WARNING)),
        (lab(shut={"http://llm": ("refused", 300.0, False)}), ("server_away", CRITICAL)),
        (lab(shut={"http://llm": ("refused", 1.0, True)}), ("server_away", CRITICAL)),
    ],
)
def test_what_the_lab_is_told(found: list[FiringAlert], expected: tuple[str, Severity] | None) -> None:
    assert grades(found) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (NodeFacts("pc", gpu_used=0.80), ("gpu_memory", WARNING)),
        (NodeFacts("pc", gpu_used=0.95), ("gpu_memory", CRITICAL)),
        (NodeFacts("pc", gpu_celsius=80), ("gpu_temperature", WARNING)),
        (NodeFacts("pc", gpu_celsius=90), ("gpu_temperature", CRITICAL)),
        (NodeFacts("pc", disk_free=0.10), ("disk_space", WARNING)),
        (NodeFacts("pc", disk_free=0.03), ("disk_space", CRITICAL)),
        (NodeFacts("pc", disk_free=0.0), ("disk_space", CRITICAL)),
        (NodeFacts("pc", clock_ahead_seconds=5), ("clock_skew", WARNING)),
        (NodeFacts("pc", clock_ahead_seconds=-60), ("clock_skew", CRITICAL)),
        (NodeFacts("pc", memory=(STEADY, leak(8))), ("memory_growth", WARNING)),
        (NodeFacts("pc", memory=(leak(8), leak(64), STEADY)), ("memory_growth", CRITICAL)),
    ],
)
def test_what_is_told_of_a_node(facts: NodeFacts, expected: tuple[str, Severity]) -> None:
    found = alerts.of_node(facts, LIMITS)
    assert grades(found) == [expected]
    assert found[0].subject == "pc"


def test_each_names_its_cure_and_is_of_a_kind_that_is_resolved_again() -> None:
    everything = LabFacts(
        stages={"rating": StageFacts(60, 2000)},
        running=[RunningFacts(7, "rating", 5000, 1)],
        attempts=20,
        failed_attempts=20,
        workers_alive=0,
        blocked={"pc": "no room"},
        shut={"http://llm": ("refused", 1.0, True)},
    )
    found = alerts.of_lab(everything, LIMITS)
    assert {one.kind for one in found} == alerts.LAB_KINDS
    on_node = alerts.of_node(NodeFacts("pc", 1.0, 100, 0.0, "/data", 100, memory=(leak(99),)), LIMITS)
    assert {one.kind for one in on_node} == alerts.NODE_KINDS
    assert all(one.text and one.cure for one in [*found, *on_node])
    keys = [(one.kind, one.subject) for one in [*found, *on_node]]
    assert len(set(keys)) == len(keys)


@given(st.floats(0, 200), st.sampled_from([field.name for field in fields(Thresholds)]))
def test_what_is_critical_would_be_a_warning_too(value: float, name: str) -> None:
    limit: Threshold = getattr(LIMITS, name)
    low_is_bad = limit.critical < limit.warning
    worse = value / 2 if low_is_bad else value * 2
    if limit.severity(value):
        assert limit.severity(worse)
    if limit.severity(value) is CRITICAL:
        assert limit.severity(worse) is CRITICAL
