from __future__ import annotations

import json as json_
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from introeval.rehearsal import lab, plan, report
from introeval.rehearsal.bounds import StageTimes
from queueing.checks import RUNTIME
from queueing.models import Task


class Command(BaseCommand):
    help = (
        "Rehearse a class: simulated students through the true queue and worker processes, with stand-ins for the"
        " models, in a database of its own. Exit status 1 if anything was lost or done twice."
    )
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        faults = "; ".join(f"{kind}: {what}" for kind, what in plan.KINDS.items())
        parser.add_argument("--students", type=int, default=30)
        parser.add_argument("--stt", type=float, default=10, metavar="SECONDS", help="to transcribe one (default 10)")
        parser.add_argument("--extract", type=float, default=15, metavar="SECONDS", help="to fill a form (default 15)")
        parser.add_argument("--rate", type=float, default=25, metavar="SECONDS", help="to rate (default 25)")
        parser.add_argument("--switch", type=float, default=5, metavar="SECONDS", help="to swap models (default 5)")
        parser.add_argument("--slots", type=int, default=1, help="requests that a language model serves at once")
        parser.add_argument("--nodes", type=int, default=1, help="machines with a GPU")
        parser.add_argument("--scale", type=float, default=0.02, help="real seconds per second of the lab")
        parser.add_argument("--arrive", type=float, default=0, metavar="SECONDS", help="over which they hand in")
        parser.add_argument("--spread", type=float, default=0, metavar="SHARE", help="by which the times of work vary")
        parser.add_argument(
            "--lease", type=float, default=30, metavar="SECONDS", help="of the lab; at least 2 real ones"
        )
        parser.add_argument("--faults", default="", metavar="KIND:COUNT,…", help=f"how many of each. {faults}")
        parser.add_argument("--pace", type=float, metavar="SECONDS", help="real ones between two faults, on average")
        parser.add_argument("--seed", type=int, default=0, help="of the faults' order and moments")
        parser.add_argument("--json", action="store_true", help="as one JSON object")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        if os.environ.get("INTROEVAL_REHEARSAL") != "1":
            raise CommandError("only as `manage.py rehearse_lab`, which gives it a database of its own")
        chosen = _plan(**options)
        call_command("migrate", verbosity=0)
        if Task.objects.exists():
            raise CommandError("this database has tasks in it: a rehearsal would destroy them")
        outcome = lab.rehearse(chosen, report=self.stderr.write)
        self.stdout.write(json_.dumps(outcome.as_json()) if json else "\n".join(report.lines(outcome)))
        if not outcome.counters.correct:
            sys.exit(1)


def _plan(
    *,
    students: int,
    nodes: int,
    scale: float,
    arrive: float,
    lease: float,
    seed: int,
    faults: str,
    spread: float,
    pace: float | None,
    stt: float,
    extract: float,
    rate: float,
    switch: float,
    slots: int,
    **_: Any,
) -> plan.RehearsalPlan:
    if not 0 <= spread < 1:
        raise CommandError("--spread is a share, from 0 to below 1")
    if min(students, nodes, slots) < 1 or min(stt, extract, rate, scale, lease) <= 0 or min(switch, arrive) < 0:
        raise CommandError("students, nodes and slots are at least 1, times and scale above 0")
    try:
        wanted = plan.read_faults(faults)
    except ValueError as error:
        raise CommandError(f"--faults: {error}") from error
    return plan.RehearsalPlan(
        settings.DATA_DIR,
        students,
        StageTimes(stt, extract, rate, switch, slots),
        nodes,
        scale,
        arrive,
        lease,
        seed,
        wanted,
        spread,
        pace,
    )
