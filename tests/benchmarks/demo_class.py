"""The demo class through the real worker with the local default models: time per stage, the queue's own, memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.benchmarks import processes
from tests.benchmarks.contender import Command
from tests.benchmarks.report import Row, Table

SAMPLE_SECONDS = 0.1


def demo_class() -> list[Table]:
    """Transcribe and evaluate the whole class."""
    from evaluations import demo

    demo.load()
    command = Command(("manage.py", "run_phase_worker", "--until-idle"))
    with processes.running(command) as worker, _peaks(worker) as peaks:
        worker.wait()
    memory: list[Row] = [{"process": name, "MiB": round(size / 2**20)} for name, size in sorted(peaks.items())]
    return [_stages(), _overhead(), Table("memory", "peak resident memory", memory)]


def _stages() -> Table:
    from django.db.models import Count, F, Sum

    from queueing.models import Attempt

    succeeded = Attempt.objects.filter(outcome="succeeded").values("stage")
    found = succeeded.annotate(
        tasks=Count("pk"), seconds=Sum("compute_seconds"), audio=Sum(F("task__submission__duration"))
    )
    rows: list[Row] = [
        {
            "stage": row["stage"],
            "tasks": row["tasks"],
            "seconds": round(row["seconds"], 1),
            "per task": round(row["seconds"] / row["tasks"], 2),
            "per audio second": round(row["seconds"] / row["audio"], 3),
        }
        for row in found.order_by("stage")
    ]
    return Table("stages", "the demo class, seconds per stage", rows)


def _overhead() -> Table:
    """Wall time from a phase's first claim to its last finish, without the time spent computing."""
    from queueing.models import Attempt

    extra = 0.0
    for stages in (["transcribe"], ["extract", "rate"]):
        rows = list(Attempt.objects.filter(stage__in=stages).order_by("began_at"))
        ends = [row.ended_at for row in rows if row.ended_at]
        wall = (max(ends) - rows[0].began_at).total_seconds()
        extra += wall - sum(row.compute_seconds or 0 for row in rows)
    tasks = Attempt.objects.values("task").distinct().count()
    figures: Row = {"tasks": tasks, "ms per task": round(1000 * extra / tasks)}
    return Table("overhead", "the queue's own time: wall minus computing", [figures])


@contextmanager
def _peaks(worker: psutil.Popen) -> Iterator[dict[str, int]]:
    """The largest resident size of the worker and of each kind of child in each phase, in bytes."""
    from django.db import connection

    from queueing.models import Phase

    peaks: dict[str, int] = {}
    done = threading.Event()

    def sample() -> None:
        while not done.wait(SAMPLE_SECONDS):
            phase = Phase.objects.values_list("name", flat=True).first() or "idle"
            try:
                for process in [worker, *worker.children(recursive=True)]:
                    name = f"{_name(process.cmdline())} ({phase})"
                    peaks[name] = max(peaks.get(name, 0), process.memory_info().rss)
            except psutil.Error:
                continue
        connection.close()

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def _name(command: list[str]) -> str:
    """`python -m queueing.engines.child …` → `queueing.engines.child`."""
    if "-m" in command:
        return command[command.index("-m") + 1]
    return "worker" if "run_phase_worker" in command else (Path(command[0]).name if command else "?")
