"""The demo class through the real worker: time per stage, the queue's own time, memory, cost of idling."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
SAMPLE_SECONDS = 0.1
IDLE_SECONDS = 30


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="introeval-bench-") as folder:
        os.environ |= {"DATA_DIR": folder, "DJANGO_SETTINGS_MODULE": "introeval.settings", "LOG_LEVEL": "ERROR"}
        from introeval import embedded

        with embedded.services(Path(folder)):
            import django
            from django.core.management import call_command

            django.setup()
            call_command("migrate", verbosity=0)
            demo_class()
            idle_worker()


def demo_class() -> None:
    """Transcribe and evaluate the whole demo class with the local default models."""
    from evaluations import demo

    demo.load()
    worker = _worker("--until-idle")
    with _peaks(worker) as peaks:
        worker.wait()
    _print_stages()
    _print_overhead()
    print("\npeak resident memory")
    for name, size in sorted(peaks.items()):
        print(f"  {name:<36}{size / 2**20:>8.0f} MiB")


def _print_stages() -> None:
    from django.db.models import Count, F, Sum

    from queueing.models import Attempt

    succeeded = Attempt.objects.filter(outcome="succeeded").values("stage")
    rows = succeeded.annotate(
        tasks=Count("pk"), seconds=Sum("compute_seconds"), audio=Sum(F("task__submission__duration"))
    )
    print(f"{'stage':<12}{'tasks':>6}{'seconds':>10}{'per task':>10}{'per audio second':>18}")
    for row in rows.order_by("stage"):
        per_task, per_audio = row["seconds"] / row["tasks"], row["seconds"] / row["audio"]
        print(f"{row['stage']:<12}{row['tasks']:>6}{row['seconds']:>10.1f}{per_task:>10.2f}{per_audio:>18.3f}")


def _print_overhead() -> None:
    """Wall time from a phase's first claim to its last finish, without the time spent computing."""
    from queueing.models import Attempt

    extra = 0.0
    for stages in (["transcribe"], ["extract", "rate"]):
        rows = list(Attempt.objects.filter(stage__in=stages).order_by("began_at"))
        ends = [row.ended_at for row in rows if row.ended_at]
        wall = (max(ends) - rows[0].began_at).total_seconds()
        extra += wall - sum(row.compute_seconds or 0 for row in rows)
    tasks = Attempt.objects.values("task").distinct().count()
    print(f"\nqueue overhead (wall minus computing): {1000 * extra / tasks:.0f} ms per task over {tasks} tasks")


def idle_worker() -> None:
    """A worker with nothing to do: processor share and transactions."""
    worker = _worker()
    time.sleep(5)
    process = psutil.Process(worker.pid)
    cpu, transactions, began = _cpu(process), _transactions(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    elapsed = time.monotonic() - began
    share = 100 * (_cpu(process) - cpu) / elapsed
    # Ours: the two looks at the statistics themselves.
    rate = (_transactions() - transactions - 1) / elapsed
    print(f"\nidle worker over {elapsed:.0f} s: {share:.1f} % CPU, {rate:.2f} transactions/s")
    worker.terminate()
    worker.wait()


def _worker(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "manage.py", "run_phase_worker", *arguments], cwd=ROOT)


def _cpu(process: psutil.Process) -> float:
    used = process.cpu_times()
    return float(used.user + used.system)


def _transactions() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


@contextmanager
def _peaks(worker: subprocess.Popen[bytes]) -> Iterator[dict[str, int]]:
    """The largest resident size of the worker and of each kind of child in each phase, in bytes."""
    from django.db import connection

    from queueing.models import Phase

    peaks: dict[str, int] = {}
    done = threading.Event()

    def sample() -> None:
        root = psutil.Process(worker.pid)
        while not done.wait(SAMPLE_SECONDS):
            phase = Phase.objects.values_list("name", flat=True).first() or "idle"
            try:
                for process in [root, *root.children(recursive=True)]:
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


if __name__ == "__main__":
    main()
