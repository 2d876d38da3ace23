"""`python -m tests.benchmarks [PART]`: on an embedded PostgreSQL of its own, gone afterwards; all parts by default.

`queue` sets the queue's own speed against that of its peers, `idle` what a worker costs without work, `demo` runs the
demo class with real models, `engines` sets ours beside openai-whisper's command and times the language model and the
hand-over between both, `dashboards` times how soon open pages show a change, `uploads` sends thirty videos at once
through a real daphne (with `--nginx` behind nginx), each cut twice, while a dashboard is watched, `estimates` holds
what students are told of their waits against how long they were, `coach` times answers for 1, 5 and 50 askers and how
much longer a class takes meanwhile, at a fake Ollama and, eight beside eight, with the embedded model.

`judge` (not among "all": without a GPU it can take hours) sets the ratings of the configured model beside the two
markings of tests/gold, without a database: `python -m tests.benchmarks judge --help`. `attacks` asks it twenty attacks
on the coach and some honest questions, likewise. `idle-lab` sets what `manage.py up` costs while nobody does anything
beside that of another checkout.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import report
from tests.benchmarks.report import Table

if TYPE_CHECKING:
    from tests.benchmarks.contender import Contender
    from tests.benchmarks.database import Database

# For what is measured with one setting per queue: procrastinate's fastest, and the same number of ours.
CONCURRENCY = 10
PARTS = ("queue", "idle", "demo", "engines", "dashboards", "uploads", "estimates", "coach", "all")
FAMILIES = ("introeval", "procrastinate", "django-tasks-db")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=PARTS)
    parser.add_argument("--only", choices=FAMILIES, help="one queue alone")
    parser.add_argument("--tasks", type=int, default=2000, help="in a drain (default: %(default)s)")
    parser.add_argument("--finished", type=int, default=100_000, help="rows in a full table (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of drains, engines, changes (default: %(default)s)")
    parser.add_argument("--dashboards", type=int, nargs="+", default=[30, 300], help="open pages, each number tried")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 10, 30], help="of drains, each tried")
    parser.add_argument("--latency-tasks", type=int, default=60, help="0: leave latency out (default: %(default)s)")
    parser.add_argument("--idle-seconds", type=float, default=60, help="default: %(default)s")
    parser.add_argument("--uploads", type=int, default=30, help="at once (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=60, help="of each upload (default: %(default)s)")
    parser.add_argument("--students", type=int, default=30, help="of the class beside the coach (default: %(default)s)")
    parser.add_argument("--nginx", action="store_true", help="uploads go through nginx, as deploy/nginx.conf has it")
    parser.add_argument("--json", action="store_true", help="one object on stdout; progress is on stderr always")
    return parser.parse_args()


APART = {
    "judge": "tests.benchmarks.judge.bench",
    "attacks": "tests.benchmarks.attacks",
    "idle-lab": "tests.benchmarks.idle_lab",
}


def main() -> None:
    if module := APART.get("".join(sys.argv[1:2])):
        importlib.import_module(module).main(sys.argv[2:])
        return
    options = arguments()
    with site() as database:
        tables = [_machine(database)]
        if options.part in ("demo", "all"):
            tables += _demo()
        if options.part in ("engines", "all"):
            tables += _engines(options)
        if options.part in ("uploads", "all"):
            tables.append(_uploads(options))
        if options.part in ("estimates", "all"):
            tables += _estimates(options)
        if options.part in ("coach", "all"):
            tables += _coach(options)
        if options.part in ("queue", "all"):
            tables += _queue(options, database)
        if options.part in ("idle", "all"):
            tables.append(_idle(options, database))
        if options.part in ("dashboards", "all"):
            tables += _dashboards(options)
    print(report.as_json(tables) if options.json else "\n\n".join(map(report.as_text, tables)))


@contextmanager
def site() -> Iterator[Database]:
    """The site with its services and a migrated database, in a folder that is removed afterwards."""
    for own in ("DATABASE_URL", "REDIS_URL"):
        os.environ.pop(own, None)  # a developer's servers are not for benchmarks
    with tempfile.TemporaryDirectory(prefix="introeval-bench-") as folder:
        os.environ |= {"DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "tests.benchmarks.settings", "LOG_LEVEL": "ERROR"}
        from introeval import embedded

        with embedded.services(Path(folder)):
            import django
            from django.core.management import call_command
            from django.db import connections

            django.setup()
            call_command("migrate", verbosity=0)
            with _database(Path(folder)) as database:
                yield database
            connections.close_all()


def _database(folder: Path) -> Database:
    from django.conf import settings
    from psycopg.conninfo import make_conninfo

    from tests.benchmarks.database import Database

    given = settings.DATABASES["default"]
    conninfo = make_conninfo(host=given["HOST"], user=given["USER"], dbname=given["NAME"])
    return Database(conninfo, folder / "services" / "postgres.log")


def _machine(database: Database) -> Table:
    names = ("server_version", "fsync", "synchronous_commit", "shared_buffers")
    server = {name: str(database.row(f"SHOW {name}")[0]) for name in names}
    return Table("machine", "on", [{"cores": os.cpu_count() or 0, **server}])


def _demo() -> list[Table]:
    from tests.benchmarks.demo_class import demo_class

    return demo_class()


def _engines(options: argparse.Namespace) -> list[Table]:
    try:
        from tests.benchmarks.engines import engines

        return engines(rounds=options.rounds, say=_say)
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: `make bench` installs it")


def _dashboards(options: argparse.Namespace) -> list[Table]:
    from tests.benchmarks.dashboards import dashboards

    return dashboards(options.dashboards, rounds=options.rounds, say=_say)


def _uploads(options: argparse.Namespace) -> Table:
    from tests.benchmarks.uploads.bench import uploads

    return uploads(count=options.uploads, megabytes=options.megabytes, cuts=2, nginx=options.nginx, say=_say)


def _estimates(options: argparse.Namespace) -> list[Table]:
    from tests.benchmarks.estimates import cost, estimates

    return [cost(rounds=options.rounds, say=_say), estimates(rounds=options.rounds, say=_say)]


def _coach(options: argparse.Namespace) -> list[Table]:
    from tests.benchmarks.coach import coach

    return coach(rounds=options.rounds, students=options.students, say=_say)


def _queue(options: argparse.Namespace, database: Database) -> list[Table]:
    from tests.benchmarks.drain import contest, costs
    from tests.benchmarks.latency import latency

    many = contenders(database, options.only, options.concurrency)
    one_each = contenders(database, options.only, [CONCURRENCY])
    tables = contest(many, database, tasks=options.tasks, finished=options.finished, rounds=options.rounds, say=_say)
    tables.append(costs(one_each, database, tasks=options.tasks))
    if options.latency_tasks:
        tables.append(latency(one_each, tasks=options.latency_tasks, say=_say))
    return tables


def _idle(options: argparse.Namespace, database: Database) -> Table:
    from tests.benchmarks.idle import idle

    return idle(contenders(database, options.only, [CONCURRENCY]), database, seconds=options.idle_seconds, say=_say)


def contenders(database: Database, only: str | None, concurrency: list[int]) -> list[Contender]:
    """Those that take part, ready to; one for each figure of `concurrency` where that can be chosen."""
    from tests.benchmarks.ours import Ours

    found: list[Contender] = []
    if only in (None, Ours.family):
        found += [Ours(database, slots) for slots in concurrency]
    if only != Ours.family:
        found += [peer for peer in _peers(database, concurrency) if only in (None, peer.family)]
    for contender in found:
        contender.prepare()
    return found


def _peers(database: Database, concurrency: list[int]) -> list[Contender]:
    try:
        from tests.benchmarks.peers.django_tasks_db import DjangoTasksDb
        from tests.benchmarks.peers.procrastinate import Procrastinate

        return [*(Procrastinate(database, number) for number in concurrency), DjangoTasksDb(database)]
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: `make bench` installs it, `--only introeval` does without")


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
