from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from evaluations.management.results import as_json, as_text
from evaluations.uploads import local_files
from queueing.checks import RUNTIME
from queueing.models import Phase, Task, Worker
from queueing.states import PhaseStep

POLL_SECONDS = 0.5


class Command(BaseCommand):
    help = "Evaluate video or audio files of this machine and wait for the results. Exit code 0 only if all completed."
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument("--json", action="store_true", help="print a JSON list, one object per file")

    def handle(self, *args: Any, files: list[str], json: bool, **options: Any) -> None:
        handed_in = local_files.hand_in(files)
        with _own_worker() as worker:
            self._wait(handed_in, worker)
        results = [local_files.result(file) for file in handed_in]
        self.stdout.write(as_json(results) if json else as_text(results))
        if not all(file.completed for file in handed_in):
            sys.exit(1)

    def _wait(self, files: Sequence[local_files.LocalFile], worker: OwnWorker) -> None:
        shown: dict[str, str] = {}
        while not local_files.all_ended(files):
            worker.keep_running()
            for file in files:
                self._show(shown, file.name, _progress(file.task))
            for phase in Phase.objects.filter(step=PhaseStep.BLOCKED):
                self._show(shown, f"node {phase.node}", f"blocked: {phase.reason}")
            time.sleep(POLL_SECONDS)

    def _show(self, shown: dict[str, str], what: str, status: str) -> None:
        """Print a status when it changed, on stderr: stdout is for the results."""
        if shown.get(what) != status:
            shown[what] = status
            self.stderr.write(f"{what}: {status}")


class OwnWorker:
    """A worker process for as long as this command runs, if no other worker is alive."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def keep_running(self) -> None:
        ended = self.process is not None and self.process.poll() is not None
        if (self.process is None or ended) and not Worker.objects.alive().exists():
            command = [sys.executable, sys.argv[0], "run_phase_worker"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait()


@contextmanager
def _own_worker() -> Iterator[OwnWorker]:
    worker = OwnWorker()
    try:
        yield worker
    finally:
        worker.stop()


def _progress(task: Task | None) -> str:
    if task is None:
        return "refused"
    seconds = f" {task.progress_done:.0f} of {task.progress_total:.0f} s" if task.progress_total else ""
    return f"{task.status.label}{seconds}"
