from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from introeval.doctor import Finding, Level, run_checks

NAME_WIDTH = 24  # no check's name is longer


class Command(BaseCommand):
    help = "Say whether this machine can run the lab, and which command fixes what is missing."
    requires_system_checks: list[str] = []  # a failing one must not keep it from reporting

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        # Read before the settings are, by introeval.embedded.
        parser.add_argument("--data-dir", help="examine this one (default: $DATA_DIR or ./var)")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        findings = []
        for found in run_checks():
            findings.append(found)
            if not json:
                # Some ask a server that may keep them waiting: what is known is read meanwhile, also through a pipe.
                self.stdout.write(as_lines(found))
                self.stdout.flush()
        if json:
            self.stdout.write(as_json(findings))
        if any(each.level is Level.FAILURE for each in findings):
            raise SystemExit(1)


def as_json(findings: list[Finding]) -> str:
    healthy = not any(each.level is Level.FAILURE for each in findings)
    return json.dumps({"ok": healthy, "findings": [each.as_dict() for each in findings]}, indent=2)


def as_lines(finding: Finding) -> str:
    line = f"{finding.level.value:<8} {finding.name:<{NAME_WIDTH}}  {finding.found}"
    return f"{line}\n{'':<8} {'':<{NAME_WIDTH}}  → {finding.fix}" if finding.fix else line
