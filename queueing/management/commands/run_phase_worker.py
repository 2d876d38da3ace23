from __future__ import annotations

import signal
from threading import Thread
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from queueing import gpu
from queueing.checks import RUNTIME
from queueing.engines import build
from queueing.exceptions import QueueError
from queueing.worker.options import Options
from queueing.worker.process import PhaseWorker


class Command(BaseCommand):
    help = "Run the worker of one node: it transcribes and evaluates what is in the queue, phase after phase."
    requires_system_checks = (RUNTIME,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--node", default=settings.NODE, help="the GPU's name; one worker each (default: %(default)s)"
        )
        parser.add_argument("--until-idle", action="store_true", help="leave when every task has ended")

    def handle(self, *args: Any, node: str, until_idle: bool, **options: Any) -> None:
        # It keeps two connections for life. A pool would only delay the reconnect after a database outage: it waits
        # longer and longer before it tries again.
        connection.settings_dict["OPTIONS"].pop("pool", None)
        device = gpu.Device() if settings.GPU_WATCH else gpu.NoGpu()
        engines = build.from_settings(settings)
        worker = PhaseWorker(node, engines, Options.from_settings(settings), device=device)
        for name in (signal.SIGTERM, signal.SIGINT):
            # From a thread: the main one may be inside the very lock that setting an event takes.
            signal.signal(name, lambda *_: Thread(target=worker.stop).start())
        try:
            worker.run(until_idle=until_idle)
        except QueueError as error:
            raise CommandError(str(error)) from error
