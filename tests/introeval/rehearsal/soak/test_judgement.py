"""What is said to grow, in a quarter of an hour of a lab as it was recorded, on a machine that others kept busy."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from introeval.rehearsal.soak import judgement
from introeval.rehearsal.soak.judgement import Bar
from introeval.rehearsal.soak.measuring import BARS

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())

Leak = Callable[[float], float]
"""(seconds since the beginning) → what is added"""


def nothing(at: float) -> float:
    return 0.0


def grown(**planted: Leak) -> list[str]:
    series = {}
    for name, points in RECORDED.items():
        leak = planted.get(name.replace(" ", "_"), nothing)
        series[name] = [(at, value + leak(at)) for at, value in points]
    return [trend.name for trend in judgement.judge(series, BARS) if trend.grows]


def test_nothing_grows_in_a_lab_that_is_well() -> None:
    assert grown() == []


def each(seconds: float, amount: float = 1.0) -> Leak:
    return lambda at: amount * (at // seconds)


@pytest.mark.parametrize(
    ("name", "leak"),
    [
        ("handles of the site", each(120)),
        ("handles of the worker", each(120)),
        ("connections to PostgreSQL", each(180)),
        ("connections to Valkey", each(180)),
        ("threads of the worker", each(120)),
        ("processes", each(150)),  # one that nobody collects
        ("memory of the site", each(5, 0.05)),  # 36 MB an hour
        ("memory of the worker", each(35, 0.5)),  # of each lesson
        ("memory of PostgreSQL", each(5, 0.06)),
        ("files", each(35, 0.5)),
        ("number of files", each(35, 2)),
        ("database", each(35, 0.4)),
        ("page", each(5, 1.5)),
        ("pick-up", each(60, 0.5)),
    ],
)
def test_a_leak_is_found_and_nothing_else(name: str, leak: Leak) -> None:
    assert grown(**{name.replace(" ", "_"): leak}) == [name]


@pytest.mark.parametrize("name", ["memory of the site", "handles of the worker", "files", "page"])
def test_a_single_leap_and_a_saw_are_no_leak(name: str) -> None:
    key = name.replace(" ", "_")
    assert grown(**{key: lambda at: 40.0 if at > 740 else 0.0}) == []
    assert grown(**{key: lambda at: at % 60}) == []


def test_what_is_begun_anew_when_it_is_full_grows_only_beyond_that() -> None:
    bar = {"logs": Bar("MB", per_hour=8, rise=4, free=60)}

    def judged(start: float) -> bool:
        (trend,) = judgement.judge({"logs": [(5.0 * n, start + 0.1 * n) for n in range(200)]}, bar)
        return trend.grows

    assert [judged(0), judged(100)] == [False, True]


def test_noise_alone_is_hardly_ever_taken_for_a_leak() -> None:
    chance = random.Random(1)
    bar = {"memory": Bar("MB", per_hour=0, rise=0)}
    wrong = sum(
        judgement.judge({"memory": [(5.0 * n, chance.gauss(100, 5)) for n in range(240)]}, bar)[0].grows
        for _ in range(100)
    )
    assert wrong <= 3


def test_what_was_stopped_after_a_moment_is_judged_by_what_there_is() -> None:
    assert judgement.judge({}, BARS) == []
    assert judgement.judge({"page": [(0.0, 1.0)]}, BARS) == []
    said = "\n".join(judgement.lines(judgement.judge(RECORDED, BARS)))
    assert all(name in said for name in RECORDED)
    assert said.endswith("nothing grows")
