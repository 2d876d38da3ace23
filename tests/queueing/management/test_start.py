"""What a command loads before it does anything: operators wait for it, and the tests start a thousand of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOR_PAGES = {"ninja", "daphne", "twisted.internet", "evaluations.urls"}
FOR_MODELS = {"numpy", "torch", "av"}
START = """
import os, sys
import django
from django.core.management import load_command_class

os.environ["DJANGO_SETTINGS_MODULE"] = "introeval.settings"
django.setup()
command = load_command_class("queueing", sys.argv[1])
command.check(tags=command.requires_system_checks)
print(*sys.modules)
"""


@pytest.mark.parametrize(
    ("command", "unneeded"), [("queue_status", FOR_PAGES | FOR_MODELS), ("run_phase_worker", FOR_PAGES)]
)
def test_a_command_starts_without_what_it_has_no_use_for(command: str, unneeded: set[str]) -> None:
    run = subprocess.run([sys.executable, "-c", START, command], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "queueing.models" in loaded
    assert not loaded & unneeded
