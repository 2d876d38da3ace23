"""A class at work for minutes, with real processes and simulated models: nothing of the lab may grow."""

from __future__ import annotations

import argparse
import subprocess
import sys

from tests.processes.lab import ROOT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=10, help="default: %(default)s")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when nothing grew."""
    command = [sys.executable, "manage.py", "soak", "--minutes", str(options.minutes)]
    return subprocess.run(command, cwd=ROOT, check=False).returncode
