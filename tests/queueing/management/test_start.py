"""What a command loads before it does anything: operators wait for it, and the tests start a thousand of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOR_PAGES = {"ninja", "daphne", "twisted.internet", "evaluations.urls"}
FOR_MODELS = {"numpy", "torch", "av"}
FOR_RATING = {"snowballstemmer"}
FOR_A_LAB = {"cryptography", "segno"}
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
SITE = "import introeval.asgi"
COMMAND = """
import sys
sys.argv = ["manage.py", "queue_status", "--help"]
import manage
try:
    manage.main()
except SystemExit:
    pass
"""
COLLECTOR = """
import gc
print(gc.isenabled(), gc.get_stats()[2]["collections"], gc.get_freeze_count())
"""


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("queue_status", FOR_PAGES | FOR_MODELS | FOR_RATING | FOR_A_LAB),
        ("run_phase_worker", FOR_PAGES | FOR_RATING | FOR_A_LAB),
    ],
)
def test_a_command_starts_without_what_it_has_no_use_for(command: str, unneeded: set[str]) -> None:
    run = subprocess.run([sys.executable, "-c", START, command], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "queueing.models" in loaded
    assert not loaded & unneeded


@pytest.mark.parametrize("start", [SITE, COMMAND])
def test_what_a_start_imports_is_never_looked_through_for_garbage_but_what_follows_is(start: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", start + COLLECTOR], cwd=ROOT, capture_output=True, text=True, check=True
    )
    enabled, whole_collections, kept_apart = run.stdout.splitlines()[-1].split()
    assert enabled == "True"
    assert int(whole_collections) == 0
    assert int(kept_apart) > 50_000
