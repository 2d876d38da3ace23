"""Kills, stops and crashes upon a class at work, with the work as long against the lease as in a lab."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

# A lease of 30 s is 2 real ones; 10, 15 and 25 s of work are 0.67, 1 and 1.67. With jobs much shorter than the lease,
# a storm finds nothing even in a queue without any fencing.
SCALE = 2 / 30
LAB = ("--nodes", "8", "--slots", "3", "--students", "40", "--scale", str(SCALE))
MIN_FAULTS = {"kill": 2000, "stop": 300, "pg": 50}
PACE_SECONDS = 0.25
NONE_OF = ("lost", "unexpected", "duplicated", "stale", "torn", "overlaps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="to repeat a run")


def run(options: argparse.Namespace) -> int:
    """The whole storm, about a quarter of an hour. Returns the exit status: 0 when all was right."""
    print(f"seed {options.seed}", flush=True)
    faults = ",".join(f"{kind}:{number}" for kind, number in MIN_FAULTS.items())
    found = rehearse(*LAB, "--faults", faults, "--pace", str(PACE_SECONDS), "--seed", str(options.seed))
    print(json.dumps(found, indent=2))
    wrong = faults_found(found, MIN_FAULTS)
    print("storm:", "; ".join(wrong) or "nothing lost, duplicated, stale or torn, and work went on in time")
    return 1 if wrong else 0


def faults_found(found: dict[str, Any], least: Mapping[str, int]) -> list[str]:
    """What a storm's figures show to be wrong, as text."""
    worst, limit, injected = found["recovery_worst"], found["recovery_limit"], found["faults"]
    return [
        *(f"{found[name]} {name}" for name in NONE_OF if found[name]),
        *(f"work rested for {worst[kind]} s after a {kind}, not {limit}" for kind in worst if worst[kind] > limit),
        *(
            f"{injected.get(kind, 0)} times {kind}, not {number}"
            for kind, number in least.items()
            if injected.get(kind, 0) < number
        ),
    ]


def rehearse(*arguments: str, timeout: float | None = None) -> dict[str, Any]:
    """The figures of `manage.py rehearse_lab`; its exit status must agree with them."""
    quiet = {"LOG_LEVEL": "CRITICAL", **os.environ}  # that workers lose their database is expected here
    command = [sys.executable, "manage.py", "rehearse_lab", "--json", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=quiet, stdout=subprocess.PIPE, text=True, timeout=timeout, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == any(found[name] for name in NONE_OF)
    return found
