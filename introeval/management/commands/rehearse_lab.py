from __future__ import annotations

import json as json_
import os
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser

from introeval import doctor
from introeval.rehearsal import lab, report
from introeval.rehearsal import plan as rehearsed
from introeval.rehearsal.bounds import StageTimes
from queueing.checks import RUNTIME
from queueing.models import Task
from queueing.policy.memory_plan import MemoryPlan, Mode

MODES = {mode.replace("_", "-"): mode for mode in (Mode.PIPELINED, Mode.SUB_PHASES)}


class Command(BaseCommand):
    help = (
        "Rehearse a class: simulated students through the true queue and worker processes, with stand-ins for the"
        " models, in a database of its own. Exit status 1 if anything was lost or done twice."
    )
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        faults = "; ".join(f"{kind}: {what}" for kind, what in rehearsed.KINDS.items())
        parser.add_argument("--students", type=int, default=30)
        parser.add_argument("--stt", type=float, default=10, metavar="SECONDS", help="to transcribe one (default 10)")
        parser.add_argument("--extract", type=float, default=15, metavar="SECONDS", help="to fill a form (default 15)")
        parser.add_argument("--rate", type=float, default=25, metavar="SECONDS", help="to rate (default 25)")
        parser.add_argument("--switch", type=float, default=5, metavar="SECONDS", help="to swap models (default 5)")
        parser.add_argument("--slots", type=int, help="requests at once per language model (default: the plan's)")
        parser.add_argument(
            "--plan",
            choices=("doctor", *MODES),
            default="doctor",
            help="how the language models share the memory (default: the plan that `doctor` shows)",
        )
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
    plan: str,
    stt: float,
    extract: float,
    rate: float,
    switch: float,
    slots: int | None,
    **_: Any,
) -> rehearsed.RehearsalPlan:
    if not 0 <= spread < 1:
        raise CommandError("--spread is a share, from 0 to below 1")
    least = min(students, nodes, *([] if slots is None else [slots]))
    if least < 1 or min(stt, extract, rate, scale, lease) <= 0 or min(switch, arrive) < 0:
        raise CommandError("students, nodes and slots are at least 1, times and scale above 0")
    try:
        wanted = rehearsed.read_faults(faults)
    except ValueError as error:
        raise CommandError(f"--faults: {error}") from error
    shared = _shared_memory(plan)
    served = slots or min(shared.slots.values(), default=1)
    return rehearsed.RehearsalPlan(
        settings.DATA_DIR,
        students,
        StageTimes(stt, extract, rate, switch, served, in_turns=shared.mode == Mode.SUB_PHASES),
        nodes,
        scale,
        arrive,
        lease,
        seed,
        wanted,
        spread,
        pace,
        why=str(shared),
    )


def _shared_memory(plan: str) -> MemoryPlan:
    if plan in MODES:
        return MemoryPlan(MODES[plan], "--plan says so")
    found = doctor.labs_plan()
    if found.mode == Mode.REFUSED:
        raise CommandError(f"nothing would be rated in this lab: {found.why}. Or rehearse another --plan")
    return found
