from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from queueing import report


class Command(BaseCommand):
    help = "Show the queue: phases, tasks per stage and state, workers, positions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        found = report.status()
        self.stdout.write(_as_json(found) if json else "\n".join(_as_lines(found)))


def _as_json(found: dict[str, Any]) -> str:
    return json.dumps(found, indent=2)


def _as_lines(found: dict[str, Any]) -> list[str]:
    lines = [
        f"node {row['node']}: {row['step']}{' ' + row['phase'] if row['phase'] else ''}"
        f"{' (' + row['reason'] + ')' if row['reason'] else ''}"
        for row in found["phases"]
    ] or ["no worker has run yet: manage.py run_phase_worker"]
    for row in found["workers"]:
        health = "alive" if row["alive"] else "LOST"
        lines.append(f"worker {row['node']}/{row['pid']}: {health}, last heartbeat {row['last_heartbeat_at']}")
    for stage, states in found["counts"].items():
        lines.append(f"{stage:<12}" + "  ".join(f"{state} {count}" for state, count in states.items()))
    waiting = sum(place > 0 for place in found["positions"].values())
    return [*lines, f"{waiting} waiting, the oldest for {found['oldest_seconds']:.0f} s"]
