"""What the queue refuses to run with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from queueing import failpoints, pipelines

ROOT = Path(__file__).parents[2]


def found() -> list[str]:
    return [each.id or "" for each in run_checks() if (each.id or "").startswith("queueing.")]


def test_the_defaults_are_sound() -> None:
    assert found() == []


@pytest.mark.parametrize(("lease", "beat", "bad"), [(30, 5, False), (15, 5, False), (14.9, 5, True), (2, 0.67, True)])
def test_a_lease_is_at_least_three_heartbeats(lease: float, beat: float, bad: bool, settings: Settings) -> None:
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS, settings.POLL_SECONDS = lease, beat, 0.5
    assert found() == (["queueing.E001"] if bad else [])


@pytest.mark.parametrize(
    ("debug", "rehearsal", "bad"), [(False, "", True), (False, "0", True), (False, "1", False), (True, "", False)]
)
def test_failpoints_are_for_rehearsals_only(
    debug: bool, rehearsal: str, bad: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DEBUG = debug
    monkeypatch.setenv(failpoints.VARIABLE, "claim=kill")
    monkeypatch.setenv("INTROEVAL_REHEARSAL", rehearsal)
    assert found() == (["queueing.E002"] if bad else [])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_SIZE", 0),
        ("MAX_ATTEMPTS", 0),
        ("MAX_CRASHES", 0),
        ("LLM_SLOTS", 0),
        ("BATCH_MAX_WAIT_SECONDS", 601.0),
        ("POLL_SECONDS", 31.0),
    ],
)
def test_figures_without_sense_are_named(name: str, value: float, settings: Settings) -> None:
    setattr(settings, name, value)
    (error,) = [each for each in run_checks() if each.id == "queueing.E003"]
    assert name in error.msg


def test_a_stage_whose_engine_no_setting_describes_is_named(settings: Settings) -> None:
    settings.LLM_ROLES = ("extract",)
    said = [each.msg for each in run_checks() if each.id == "queueing.E004"]
    asking = [spec.name for spec in pipelines.specs() if spec.engine == "rate"]
    assert asking
    assert [each.partition(", ")[0] for each in said] == [
        f"Stage {name!r} asks for the engine 'rate'" for name in asking
    ]


@pytest.mark.slow
def test_a_worker_does_not_start_on_a_planned_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.VARIABLE, "claim=kill")
    monkeypatch.setenv("LEASE_SECONDS", "6")
    command = [sys.executable, "manage.py", "run_phase_worker"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 1
    assert "queueing.E002" in run.stderr
    assert "LEASE_SECONDS is 6" in run.stderr
