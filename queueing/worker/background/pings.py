"""Asks each model server whether it is there, whether or not there is work: on threads that a silent one may hold up.

No model is used or loaded for it. That a model answers is shown by tasks and probes (worker/model_servers.py); what is
found here is kept in the same rows, by the watchdog.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from threading import Event, Thread
from typing import Final

import structlog

from queueing.engines.base import LanguageEngine
from queueing.engines.llm import transport
from queueing.exceptions import StageError

log = structlog.get_logger()

PING_SECONDS: Final = 10.0  # between two of a server that answers
AGAIN_SECONDS: Final = 1.0  # between two of one that does not
SILENT_AFTER: Final = 2  # pings without an answer in a row: one may be lost


class Pings:
    """As a context it begins and ends.

    Args:
        servers: the engines of each server, by the name of its breaker.
        on_change: called when a server falls silent, or answers again.
    """

    def __init__(self, servers: Mapping[str, Sequence[LanguageEngine]], on_change: Callable[[], None]) -> None:
        self.servers, self.on_change = servers, on_change
        self._silent: dict[str, str] = {}
        self._heard: set[str] = set()
        self._end = Event()

    def __enter__(self) -> Pings:
        for server in self.servers:
            Thread(target=self._run, args=(server,), name=f"ping {server}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()

    def silent(self) -> dict[str, str]:
        """Each server that does not answer, and why. Safe from any thread."""
        return dict(self._silent)

    def unheard(self) -> frozenset[str]:
        """The servers that have not answered since this began. Safe from any thread."""
        return frozenset(self.servers.keys() - self._heard)

    def _run(self, server: str) -> None:
        missed, pause = 0, 0.0
        while not self._end.wait(pause):
            error = _ping(self.servers[server])
            missed, pause = (missed + 1, AGAIN_SECONDS) if error else (0, PING_SECONDS)
            if not error:
                self._heard.add(server)
            if missed == SILENT_AFTER:
                log.warning("model server is silent", server=server, error=error)
                self._silent[server] = error
                self.on_change()
            elif not missed and self._silent.pop(server, ""):
                log.info("model server is no longer silent", server=server)
                self.on_change()


def _ping(engines: Sequence[LanguageEngine]) -> str:
    """Why their server does not answer; empty if it does."""
    error, hangs = "", False
    try:
        engines[0].ping()
    except StageError as fault:
        error, hangs = str(fault), not transport.refused(fault)  # one that refuses holds nobody up
    for engine in engines:
        engine.silence = error if hangs else ""
    return error
