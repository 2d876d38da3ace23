"""What the commands of the queue share: one way to print, to wait, to name a node, and to exit."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser

from queueing.actions import Report
from queueing.checks import RUNTIME
from queueing.models import Phase, Task, nodes
from queueing.report import durations

POLL_SECONDS: Final = 0.25
EXIT_CODES: Final = "Exit codes: 0 = done; 1 = nothing was done, or a wait ran out; 2 = not understood."


class QueueCommand(BaseCommand):
    """For a person at a terminal and for scripts: results on stdout, progress on stderr."""

    requires_system_checks = (RUNTIME,)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        return super().create_parser(prog_name, subcommand, epilog=EXIT_CODES, **kwargs)

    def execute(self, *args: Any, **options: Any) -> str | None:
        # https://no-color.org; a pipe is no terminal, and gets none anyway.
        if os.environ.get("NO_COLOR") and not options.get("force_color"):
            options["no_color"] = True
        return super().execute(*args, **options)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of words")

    def print_result(self, found: Mapping[str, Any], text: str, *, as_json: bool, done: bool = True) -> None:
        """Print what happened; not `done` means exit code 1."""
        self.stdout.write(json.dumps({"done": done, **found}, indent=2) if as_json else text)
        if not done:
            sys.exit(1)

    def print_report(self, report: Report, *, as_json: bool) -> None:
        self.print_result(report.as_dict(), str(report), as_json=as_json, done=bool(report.moved))

    def wait(self, seconds: float, check: Callable[[], tuple[bool, str]], *, steady_seconds: float = 0) -> bool:
        """Poll until `check` holds for `steady_seconds` on end; False at the timeout. Changes are printed to stderr."""
        deadline, held_since, printed = time.monotonic() + seconds, None, ""
        while True:
            holds, text = check()
            if text != printed:
                self.stderr.write(printed := text)
            now = time.monotonic()
            held_since = (held_since or now) if holds else None
            if held_since and now - held_since >= steady_seconds:
                return True
            if now > deadline:
                return False
            time.sleep(POLL_SECONDS)


def who() -> str:
    """How events name the person at the terminal."""
    try:
        return f"command:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user has no name
        return f"command:{os.getuid()}"


def usage(message: str) -> CommandError:
    return CommandError(message, returncode=2)


def length(text: str) -> float:
    """An option's length of time, in seconds."""
    try:
        return durations.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_wait(parser: CommandParser, what: str) -> None:
    parser.add_argument(
        "--wait", type=length, metavar="TIME", help=f"come back when {what}, or fail after TIME (90s, 10m)"
    )


def add_node(parser: CommandParser, otherwise: str = "the only one that works") -> None:
    parser.add_argument("--node", metavar="NAME", help=f"the machine (default: {otherwise})")


def add_reason(parser: CommandParser, *, required: bool = False, help: str = "kept in the events") -> None:
    parser.add_argument("--reason", required=required, default="", metavar="TEXT", help=help)


def known_node(name: str | None) -> str:
    """The node that is meant.

    Raises:
        CommandError: it is not known, or it must be named.
    """
    names = list(Phase.objects.order_by("node").values_list("node", flat=True))
    if not names:
        raise usage("No worker has run yet, so no node is known: manage.py run_phase_worker")
    if name in names:
        return name
    working = nodes.working()
    # One that has left for good, or goes by another name now, must not stand in the way of the only one there is.
    meant = [one for one in names if one in working] or names
    if name is None and len(meant) == 1:
        return meant[0]
    problem = "There are several nodes" if name is None else f"There is no node {name!r}"
    shown = (one if one in working else f"{one} (no worker is alive)" for one in names)
    raise usage(
        f"{problem}; name one of them with --node: {', '.join(shown)}. `queue_forget` forgets one that has left."
    )


def named_tasks(ids: Sequence[int]) -> Sequence[Task]:
    """
    Raises:
        CommandError: one of them does not exist; better nothing than half of what was meant.
    """
    found = Task.objects.in_bulk(list(ids))
    if missing := [str(pk) for pk in ids if pk not in found]:
        raise usage(f"There is no task {', '.join(missing)}.")
    return list(found.values())


def table(sides: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines with aligned columns; `sides` has `<` for each column of text and `>` for each of figures."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
        yield "  ".join(cells).rstrip()


def bar(done: float, total: float, width: int = 20) -> str:
    """`█████░░░░░`, filled as far as it is done."""
    filled = round(width * min(done / total, 1)) if total else 0
    return "█" * filled + "░" * (width - filled)
