from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from introeval.doctor import Finding, Level, run_checks


class Command(BaseCommand):
    help = "Say whether this machine can run the lab, and which command fixes what is missing."
    requires_system_checks: list[str] = []  # a failing one must not keep it from reporting

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        # Read before the settings are, by introeval.embedded.
        parser.add_argument("--data-dir", help="examine this one (default: $DATA_DIR or ./var)")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        findings = run_checks()
        self.stdout.write(as_json(findings) if json else as_table(findings))
        if any(each.level is Level.FAILURE for each in findings):
            raise SystemExit(1)


def as_json(findings: list[Finding]) -> str:
    healthy = not any(each.level is Level.FAILURE for each in findings)
    return json.dumps({"ok": healthy, "findings": [each.as_dict() for each in findings]}, indent=2)


def as_table(findings: list[Finding]) -> str:
    width = max(len(each.name) for each in findings)
    return "\n".join(line for each in findings for line in _lines(each, width))


def _lines(finding: Finding, width: int) -> list[str]:
    lines = [f"{finding.level.value:<8} {finding.name:<{width}}  {finding.found}"]
    if finding.fix:
        lines.append(f"{'':<8} {'':<{width}}  → {finding.fix}")
    return lines
