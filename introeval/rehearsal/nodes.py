"""The nodes of a rehearsal: true workers in processes of their own, started again when they end.

They are forked by a server process that has everything imported and nothing opened, so that a start takes tens of
milliseconds and a storm can kill several a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.connection import wait
from pathlib import Path

from django.conf import settings
from django.db import connections

from introeval.rehearsal import engines, stages
from introeval.rehearsal.outages import Outages
from introeval.rehearsal.plan import RehearsalPlan
from queueing.exceptions import QueueError
from queueing.worker.process import PhaseWorker

STOP_SECONDS = 10.0
GPUS = "gpus"  # folders in the rehearsal's DATA_DIR
OUTAGES = "outages"

_processes = multiprocessing.get_context("forkserver")


class NodeProcess:
    """One node's worker process."""

    def __init__(self, plan: RehearsalPlan, name: str) -> None:
        self.plan, self.name = plan, name
        self.stopped = False
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.process = _processes.Process(target=run_node, args=(self.plan, self.name), name=self.name, daemon=True)
        self.process.start()
        self.starts += 1

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def send(self, signum: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signum)


class NodeProcesses:
    """All nodes. Leaving its context stops them."""

    def __init__(self, plan: RehearsalPlan) -> None:
        # The server that forks is a plain `python -c`: it would not find the project from another directory.
        os.environ["PYTHONPATH"] = str(settings.BASE_DIR)
        os.environ["LEASE_SECONDS"] = str(plan.lease_seconds)  # the sessions' time-outs go by it
        os.environ["DATABASE_POOL_SIZE"] = "0"  # as `run_phase_worker` does
        _processes.set_forkserver_preload(["introeval.rehearsal.preload"])
        self.nodes = [NodeProcess(plan, f"node{number + 1}") for number in range(plan.nodes)]

    def __enter__(self) -> NodeProcesses:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop(self.nodes)

    def restart_ended(self) -> None:
        """Start every worker again that has ended."""
        for node in self.nodes:
            if not node.process.is_alive():
                node.stopped = False
                node.start()

    def _stop(self, nodes: Iterable[NodeProcess]) -> None:
        for signum in (signal.SIGCONT, signal.SIGTERM):
            for node in nodes:
                node.send(signum)
        for node in nodes:
            node.process.join(STOP_SECONDS)
            node.process.kill()
            node.process.join()


def run_node(plan: RehearsalPlan, name: str) -> None:
    """The main function of a process of a node."""
    assert threading.active_count() == 1, "a thread was inherited"
    assert not any(each.connection for each in connections.all(initialized_only=True)), "a connection was inherited"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the rehearsal, which ends its workers
    threading.Thread(target=_follow_parent, name="follow", daemon=True).start()
    outages = Outages(plan.folder / OUTAGES)
    stages.register(name, outages)
    memory = engines.Memory(plan.folder / GPUS, name)
    worker = PhaseWorker(name, engines.build(plan.work, plan.scale, memory, outages, plan.spread), plan.options())
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=worker.stop).start())
    with suppress(QueueError):  # it could not go on, and has logged why; the rehearsal starts it again
        worker.run()


def _follow_parent() -> None:
    """Exit when the rehearsal ends, also when it was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def overlaps_seen(folder: Path) -> int:
    return engines.overlaps_seen(folder / GPUS)
