"""The benchmark runs, and what it makes of its raw figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from tests.benchmarks import report
from tests.benchmarks.contender import Contender
from tests.benchmarks.database import Statements
from tests.benchmarks.drain import table_rows
from tests.benchmarks.latency import percentile

ROOT = Path(__file__).parent.parent

LOG = """\
2026-01-01 00:00:00.000 UTC [10] LOG:  statement: BEGIN
2026-01-01 00:00:00.001 UTC [11] LOG:  statement:\x20
2026-01-01 00:00:00.001 UTC [10] LOG:  execute <unnamed>:\x20
\t        SELECT id FROM queueing_task
\t         LIMIT 1
2026-01-01 00:00:00.002 UTC [11] LOG:  execute _pg3_0: UPDATE queueing_task SET state = 'done'
2026-01-01 00:00:00.003 UTC [10] LOG:  statement: ROLLBACK TO SAVEPOINT s1
2026-01-01 00:00:00.003 UTC [10] LOG:  execute _pg3_1: SELECT 1
2026-01-01 00:00:00.004 UTC [10] LOG:  statement: COMMIT
2026-01-01 00:00:00.005 UTC [10] LOG:  execute _pg3_1:\x20
\tWITH live AS (SELECT 1) SELECT * FROM live
2026-01-01 00:00:00.006 UTC [12] ERROR:  canceling statement due to user request
"""


@dataclass(frozen=True)
class Named:
    family: str
    name: str


def test_statements_and_transactions_are_told_apart_by_session() -> None:
    assert Statements.read(LOG) == Statements(statements=8, transactions=3)


@pytest.mark.parametrize(("percent", "value"), [(50, 30), (95, 57), (100, 60)])
def test_a_percentile_is_one_of_the_values(percent: float, value: float) -> None:
    assert percentile(range(60, 0, -1), percent) == value


def test_each_contender_is_compared_with_the_best_peer_by_medians() -> None:
    contenders = cast("list[Contender]", [Named("introeval", "ours"), Named("a", "slow"), Named("b", "fast")])
    rates = {"ours": [90.0, 110.0, 100.0], "slow": [10.0, 10.0, 900.0], "fast": [40.0, 50.0, 60.0]}

    ratios = {row["contender"]: row["of the best peer"] for row in table_rows(rates, contenders)}

    assert ratios == {"ours": 2.0, "slow": 0.2, "fast": 1.0}


def test_a_table_is_aligned_with_the_names_to_the_left() -> None:
    rows: list[report.Row] = [{"who": "ours", "tasks/s": 1234.5}, {"who": "theirs", "tasks/s": 0.12345}]

    assert report.as_text(report.Table("rates", "rates", rows)).splitlines() == [
        "rates",
        "  who     tasks/s",
        "  ours       1234",
        "  theirs    0.123",
    ]


@pytest.mark.slow
def test_our_own_queue_can_be_measured_without_its_peers() -> None:
    small = ["--only=introeval", "--tasks=30", "--finished=50", "--rounds=1", "--concurrency=5", "--latency-tasks=2"]
    tables = _benchmark("queue", *small)

    assert [row["contender"] for row in tables["drain_0"]["rows"]] == ["introeval, 5 slots"]
    assert tables["drain_50"]["rows"][0]["tasks/s"] > 0
    assert tables["costs"]["rows"][0]["transactions"] > 0
    assert 0 < tables["latency"]["rows"][0]["p95 ms"] < 2000


@pytest.mark.slow
def test_an_idle_worker_asks_at_most_two_things_a_second() -> None:
    (idle,) = _benchmark("idle", "--only=introeval", "--idle-seconds=8")["idle"]["rows"]

    assert 0 < idle["statements/s"] <= 2


@pytest.mark.slow
def test_uploads_at_once_arrive_whole_however_often_they_are_cut() -> None:
    rows = _benchmark("uploads", "--uploads=4", "--megabytes=9")["uploads"]["rows"]
    figures = {row["what"]: row["figure"] for row in rows}

    assert figures["uploads whole, by their sha256"] == 4
    assert figures["chunks cut in the middle"] == 8
    assert figures["daphne's peak memory, MB"] < 300
    assert figures["WebSocket ping, p50, ms"] < 1000


def _benchmark(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks", *arguments, "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_POOL_SIZE"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tables: dict[str, Any] = json.loads(done.stdout)
    return tables
