"""Asks each model server whether it is there, whether or not there is work: on threads that a silent one may hold up.

No model is used or loaded for it. That a model answers is shown by tasks and probes (worker/model_servers.py); what is
found here is kept in the same rows, by the watchdog.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from threading import Event, Lock, Thread
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
        self._writing = Lock()  # an engine's silence

    def __enter__(self) -> Pings:
        for server in self.servers:
            Thread(target=self._run, args=(server,), name=f"ping {server}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """From here on nobody learns whether a silent one answers again: whoever leaves may try it."""
        with self._writing:
            self._end.set()
            for engine in chain.from_iterable(self.servers.values()):
                engine.silence = ""

    def silent(self) -> dict[str, str]:
        """Each server that does not answer, and why. Safe from any thread."""
        return dict(self._silent)

    def unheard(self) -> frozenset[str]:
        """The servers that have not answered since this began. Safe from any thread."""
        return frozenset(self.servers.keys() - self._heard)

    def _run(self, server: str) -> None:
        missed, pause = 0, 0.0
        while not self._end.wait(pause):
            try:
                missed = self._ask(server, missed)
                pause = AGAIN_SECONDS if missed else PING_SECONDS
            except Exception:  # of this process, as when it has no file left: it says nothing about the server
                log.exception("model server not asked", server=server)
                pause = PING_SECONDS

    def _ask(self, server: str, missed: int) -> int:
        """Returns how many pings in a row it has missed by now, after so many before."""
        error, hangs = _ping(self.servers[server][0])
        missed = missed + 1 if error else 0
        if not error:
            self._heard.add(server)
        self._tell_engines(server, error if hangs and missed >= SILENT_AFTER else "")
        if missed == SILENT_AFTER:
            log.warning("model server is silent", server=server, error=error)
            self._silent[server] = error
            self.on_change()
        elif not missed and self._silent.pop(server, ""):
            log.info("model server is no longer silent", server=server)
            self.on_change()
        return missed

    def _tell_engines(self, server: str, silence: str) -> None:
        with self._writing:
            if not self._end.is_set():
                for engine in self.servers[server]:
                    engine.silence = silence


def _ping(engine: LanguageEngine) -> tuple[str, bool]:
    """Why its server does not answer, and whether whoever calls it is held up; ("", False) if it does."""
    try:
        engine.ping()
    except StageError as fault:
        return str(fault), not transport.refused(fault)  # one that refuses holds nobody up
    return "", False
