"""What a whole lab costs that has nothing to do, with no page open: `manage.py up` of this checkout, and of another
beside it.

Both run at the same time, so that what else the machine does falls upon both alike. Counted are the processor time of
every process and its children, those that have ended included, and what the database is asked. Engines are simulated:
what a model's process costs while it rests is not in it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import redis
from psycopg.conninfo import make_conninfo

from introeval import embedded
from introeval.embedded import postgres
from introeval.embedded.layout import ServiceLayout
from tests.benchmarks import report
from tests.benchmarks.database import Database, Statements
from tests.benchmarks.processes import ROOT, STOP_SECONDS
from tests.benchmarks.report import Row, Table

READY_SECONDS: Final = 120.0
PROGRAMS: Final = {"site": "daphne", "worker": "run_phase_worker"}
LONGEST_TEXT: Final = 150


@dataclass(frozen=True, slots=True)
class IdleLab:
    """A lab that runs, in a DATA_DIR of its own."""

    name: str
    folder: Path
    up: psutil.Popen
    database: Database

    def processes(self) -> Mapping[str, psutil.Process]:
        """The first process of each part; PostgreSQL and Valkey are no children of `up`."""
        server = int((self.folder / "postgres" / "postmaster.pid").read_text().split()[0])
        with redis.Redis.from_url(embedded.redis_url(self.folder)) as broker:
            valkey: int = broker.info()["process_id"]
        children = {" ".join(child.cmdline()): child for child in self.up.children()}
        ours = {
            name: next(child for line, child in children.items() if program in line)
            for name, program in PROGRAMS.items()
        }
        return {**ours, "PostgreSQL": psutil.Process(server), "Valkey": psutil.Process(valkey)}

    def used(self) -> dict[str, float]:
        """Until now: milliseconds of each part, and how many transactions and sessions there were."""
        found = {name: sum(map(_cpu_ms, [it, *it.children(recursive=True)])) for name, it in self.processes().items()}
        transactions, sessions = self.database.row(
            "SELECT xact_commit + xact_rollback, sessions FROM pg_stat_database WHERE datname = current_database()"
        )
        return {**found, "`up` itself": _cpu_ms(self.up), "transactions": transactions, "sessions": sessions}

    @contextmanager
    def logging_statements(self) -> Iterator[None]:
        """Of all sessions, those that there are already included."""
        self.database.run("ALTER SYSTEM SET log_statement = 'all'")
        self.database.run("SELECT pg_reload_conf()")
        yield
        self.database.run("ALTER SYSTEM RESET log_statement")
        self.database.run("SELECT pg_reload_conf()")


def main(given: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks idle-lab", description=__doc__)
    parser.add_argument("--beside", type=Path, metavar="CHECKOUT", help="of another version, set up")
    parser.add_argument("--seconds", type=float, default=300, help="default: %(default)s")
    parser.add_argument("--settle", type=float, default=45, help="seconds after the start (default: %(default)s)")
    parser.add_argument("--texts", action="store_true", help="each statement, and how often it was asked")
    options = parser.parse_args(given)
    checkouts = {"this": ROOT} | ({"beside": options.beside.resolve()} if options.beside else {})
    with ExitStack() as stack:
        labs = [stack.enter_context(_running(name, checkout)) for name, checkout in checkouts.items()]
        time.sleep(options.settle)
        rows, logs = _rows(labs, options.seconds)
    print(report.as_text(Table("idle_lab", f"an idle lab, a minute, over {options.seconds:.0f} s", rows)))
    if options.texts:
        for name, log in logs.items():
            print(f"\n{name}")
            for text, times in texts(log).most_common():
                print(f"{times:6}  {text}")


def _rows(labs: Sequence[IdleLab], seconds: float) -> tuple[list[Row], dict[str, str]]:
    """For processor time, undisturbed; then statements, for as long as well: writing them down costs time itself."""
    before, began = [lab.used() for lab in labs], time.monotonic()
    time.sleep(seconds)
    after, minutes = [lab.used() for lab in labs], (time.monotonic() - began) / 60
    figures = {
        lab.name: {name: (then[name] - at_first[name]) / minutes for name in then}
        for lab, at_first, then in zip(labs, before, after, strict=True)
    }
    with ExitStack() as stack:
        for lab in labs:
            stack.enter_context(lab.logging_statements())
        offsets, began = [lab.database.log_bytes() for lab in labs], time.monotonic()
        time.sleep(seconds)
        logs = {lab.name: lab.database.log_since(offset) for lab, offset in zip(labs, offsets, strict=True)}
        minutes = (time.monotonic() - began) / 60
    for name, log in logs.items():
        figures[name]["statements"] = Statements.read(log).statements / minutes
    return [_row(name, figures) for name in figures["this"]], logs


def _row(name: str, figures: Mapping[str, Mapping[str, float]]) -> Row:
    unit = "" if name in ("transactions", "sessions", "statements") else ", CPU ms"
    row: dict[str, report.Cell] = {"a minute": name + unit}
    return row | {lab: found[name] for lab, found in figures.items()}


def texts(log: str) -> Counter[str]:
    """How often each was asked, without its line breaks."""
    found = re.findall(r"LOG:  (?:statement|execute \S+): ?(.*(?:\n\t.*)*)", log)
    return Counter(" ".join(text.split())[:LONGEST_TEXT] for text in found)


@contextmanager
def _running(name: str, checkout: Path) -> Iterator[IdleLab]:
    without = {"DATABASE_URL", "REDIS_URL", "DATA_DIR", "DJANGO_SETTINGS_MODULE"}
    env = {key: value for key, value in os.environ.items() if key not in without}
    env |= {"STT_ENGINE": "simulated", "LLM_PROTOCOL": "simulated"}
    with tempfile.TemporaryDirectory(prefix="introeval-idle-") as made:
        folder = Path(made).resolve()
        said, python = folder / "said.log", checkout / ".venv" / "bin" / "python"
        with said.open("wb") as log:
            up = psutil.Popen(
                [
                    python if python.exists() else sys.executable,
                    "manage.py",
                    "up",
                    "--data-dir",
                    str(folder),
                    "--port",
                    "8100",
                ],
                cwd=checkout,
                env=env,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_ready(up, said)
            conninfo = make_conninfo(host=str(ServiceLayout(folder).sockets), user=postgres.USER, dbname=postgres.NAME)
            with Database(conninfo, folder / "services" / "postgres.log") as database:
                yield IdleLab(name, folder, up, database)
        finally:
            if up.poll() is None:
                up.terminate()
                up.wait(STOP_SECONDS)


def _wait_until_ready(up: psutil.Popen, said: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "READY" not in said.read_text():
        if up.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the lab does not come up:\n{said.read_text()}")
        time.sleep(0.2)


def _cpu_ms(process: psutil.Process) -> float:
    """Of it and of its children that have ended: those of PostgreSQL, of which there is one for each session."""
    try:
        return 1000 * float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:  # it counts at its parent by now
        return 0.0
