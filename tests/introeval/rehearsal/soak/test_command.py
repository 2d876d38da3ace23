"""What `soak` leaves alone of the lab that runs beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from introeval import embedded
from introeval.management.commands import soak
from queueing import gpu

pytestmark = pytest.mark.django_db


@pytest.fixture
def lab(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The DATA_DIR of a lab, and as if `manage.py` had made one for the soak."""
    monkeypatch.setenv("INTROEVAL_REHEARSAL", "1")
    monkeypatch.setenv(embedded.LAB_DATA_DIR, str(tmp_path / "lab"))
    for name in (*soak.NOT_OURS, *soak.WIDE, *soak.SIMULATED, "LOG_FILE", "LOG_LEVEL", "TMPDIR"):
        monkeypatch.setenv(name, "the lab's")
    settings.DATA_DIR, settings.NODE = tmp_path / "scratch", "lab-pc"
    settings.DATA_DIR.mkdir()
    return tmp_path / "lab"


def run(monkeypatch: pytest.MonkeyPatch, lab: Path, **options: Any) -> dict[str, Any]:
    """What a soak runs with that ends as soon as it begins."""
    found: dict[str, Any] = {}

    def end_at_once(*_: object) -> None:
        found.update(os.environ)
        try:
            with gpu.node_lock(lab / "locks", "lab-pc"):
                found["the lab may work"] = True
        except gpu.NodeBusy:
            found["the lab may work"] = False

    monkeypatch.setattr(soak.Command, "_soak", end_at_once)
    with pytest.raises(SystemExit):
        call_command("soak", **options)
    return found


def test_with_real_models_it_works_instead_of_the_labs_worker(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not run(monkeypatch, lab, real=True)["the lab may work"]
    with gpu.node_lock(lab / "locks", "lab-pc"), pytest.raises(CommandError, match=r"worker is at work .* stop it"):
        run(monkeypatch, lab, real=True)


def test_with_simulated_ones_beside_it(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, lab)["the lab may work"]


def test_nobody_is_written_to_and_no_server_of_the_labs_restarted(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = run(monkeypatch, lab, real=True)
    own = {"ALERT_EMAILS", "NOTIFY_URLS", "EMAIL_HOST", "LLM_EXTRACT_RESTART", "LLM_RATE_RESTART", "NODE"}
    assert own & kept.keys() == set()


def test_a_command_with_a_data_dir_of_its_own_knows_the_labs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DATA_DIR", "DATABASE_URL", "REDIS_URL", "INTROEVAL_REHEARSAL", "LOG_LEVEL", embedded.LAB_DATA_DIR):
        monkeypatch.setenv(name, str(tmp_path))
    with embedded._scratch(["manage.py", "soak"]):
        assert os.environ["DATA_DIR"] != str(tmp_path)
        assert os.environ[embedded.LAB_DATA_DIR] == str(tmp_path)
