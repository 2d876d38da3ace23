"""How fast one worker process empties a queue of tasks that do nothing, in an empty table and in one full of history.

The rows are there before the worker starts; the time is that from its first claim to its last finish, so starting up
is not in it. All contenders take turns within a round, since the machine's mood changes within minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

from tests.benchmarks import processes
from tests.benchmarks.contender import Contender
from tests.benchmarks.database import Database, Statements
from tests.benchmarks.report import Row, Table

OURS = "introeval"

Rates = Mapping[str, Sequence[float]]
"""Tasks per second, by contender, a figure per round."""


def contest(
    contenders: Sequence[Contender],
    database: Database,
    *,
    tasks: int,
    finished: int,
    rounds: int,
    say: Callable[[str], None],
) -> list[Table]:
    """The rates without and with `finished` rows of history in each contender's tables."""
    tables = []
    for history in (0, finished):
        for contender in _one_per_family(contenders):
            lay_out(contender, database, history)
        rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
        for number in range(rounds):
            for contender in contenders:
                if not history:
                    contender.clear()
                rate = drain(contender, database, tasks)
                say(f"round {number + 1}, {history} finished rows, {contender.name}: {rate:.0f} tasks/s")
                rates[contender.name].append(rate)
        title = f"drain of {tasks} no-op tasks by one worker process, {history} finished rows in the table"
        tables.append(Table(f"drain_{history}", title, table_rows(rates, contenders)))
    return tables


def lay_out(contender: Contender, database: Database, history: int) -> None:
    """An empty table, or one with `history` tasks: copies of one that its worker really did."""
    contender.clear()
    if history:
        contender.enqueue(1)
        processes.run(contender.worker(until_drained=True))
        contender.multiply_finished(history - 1)


def drain(contender: Contender, database: Database, tasks: int) -> float:
    """Tasks per second.

    Raises:
        RuntimeError: not every task was done.
    """
    contender.enqueue(tasks)
    database.settle(*contender.tables)
    since = database.now()
    processes.run(contender.worker(until_drained=True))
    drained = contender.drained(since)
    if drained.tasks != tasks:
        raise RuntimeError(f"{contender.name} did {drained.tasks} of {tasks} tasks")
    return tasks / drained.seconds


def table_rows(rates: Rates, contenders: Sequence[Contender]) -> list[Row]:
    """Medians beside what they are of, and each as a multiple of the best peer's."""
    medians = {contender.name: median(rates[contender.name]) for contender in contenders}
    peers = [medians[contender.name] for contender in contenders if contender.family != OURS]
    return [
        {
            "contender": contender.name,
            "tasks/s": round(medians[contender.name], 1),
            "of the best peer": round(medians[contender.name] / max(peers), 2) if peers else "",
            "rounds": [round(rate) for rate in rates[contender.name]],
        }
        for contender in contenders
    ]


def costs(contenders: Sequence[Contender], database: Database, *, tasks: int) -> Table:
    """What a task costs whatever else the machine does, starting up taken off.

    These runs are not timed: each statement goes to the server's log, to be counted.
    """
    rows: list[Row] = []
    for contender in contenders:
        contender.clear()
        start, start_cpu = _counted(contender, database)
        contender.enqueue(tasks)
        whole, whole_cpu = _counted(contender, database)
        rows.append(
            {
                "contender": contender.name,
                "statements": round((whole.statements - start.statements) / tasks, 2),
                "transactions": round((whole.transactions - start.transactions) / tasks, 2),
                "worker's CPU ms": round(1000 * (whole_cpu - start_cpu) / tasks, 3),
            }
        )
    return Table("costs", f"per task, in a drain of {tasks}", rows)


def _counted(contender: Contender, database: Database) -> tuple[Statements, float]:
    """Drain; returns what was asked of the server and the worker's seconds of processor time."""
    with database.logging_statements():
        offset = database.log_bytes()
        cpu = processes.run(contender.worker(until_drained=True))
        return database.statements_since(offset), cpu


def _one_per_family(contenders: Sequence[Contender]) -> list[Contender]:
    return list({contender.family: contender for contender in contenders}.values())
