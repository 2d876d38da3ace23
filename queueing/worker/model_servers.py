"""The model servers that a worker calls: their health by how calls end, the probe whether one is back, the
restart of one that is not. The rows are shared by all nodes (models/breaker.py), the decisions are those of
policy/breaker.py.

Used by the worker's main thread only. Probes and restarts run on threads without a database; their outcomes are
collected every round.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from typing import Any, Final
from urllib.parse import urlsplit

import structlog

from queueing import pipelines
from queueing.engines.base import Engine, Engines, LanguageEngine, LanguageOptions, Prompt
from queueing.exceptions import Interrupted, StageError
from queueing.models import Breaker
from queueing.models.breaker import local_address
from queueing.models.phase import note
from queueing.policy import breaker
from queueing.policy.breaker import BreakerConfig, Move, Sign
from queueing.worker import restart
from queueing.worker.jobs import Job, as_stage_error

log = structlog.get_logger()

PROBE_PROMPT: Final = Prompt("Answer in JSON.", "Are you there? Answer yes.")
PROBE_SCHEMA: Final = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
PROBE_TOKENS: Final = 24
LOOPBACK: Final = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


def address(engine: Engine, node: str) -> str:
    """What a server's breaker is called: its address without a password; empty for a process of the worker's own.

    127.0.0.1 is another server on each node.
    """
    shown = re.sub(r"//[^/@]*@", "//", engine.server)
    local = LOOPBACK.fullmatch(urlsplit(engine.server).hostname or "")
    return local_address(shown, node) if local else shown


@dataclass(slots=True)
class ServerProbe:
    """A probe of one server (a call that belongs to no task), or its restart, on a thread of its own."""

    server: str
    is_restart: bool = False
    stop: Event = field(default_factory=Event)
    outcome: Future[Any] = field(default_factory=Future)

    def run(self, work: Callable[..., Any]) -> None:
        try:
            self.outcome.set_result(work() if self.is_restart else work(stop=self.stop))
        except BaseException as error:
            self.outcome.set_exception(as_stage_error(error))


class ModelServers:
    """
    Args:
        actions: how the server of each role is restarted.
        probe_seconds: what an answer may take, with the loading of the model.
    """

    def __init__(
        self,
        node: str,
        worker: uuid.UUID,
        engines: Engines,
        *,
        actions: Mapping[str, restart.RestartAction | None],
        config: BreakerConfig,
        lease_seconds: float,
        probe_seconds: float,
        wake: Callable[[], None],
    ) -> None:
        self.node, self.worker, self.config = node, worker, config
        self.lease_seconds, self.probe_seconds, self.wake = lease_seconds, probe_seconds, wake
        self.engines: dict[str, list[LanguageEngine]] = {}
        self._actions: dict[str, restart.RestartAction] = {}
        for role, engine in engines.language.items():
            if server := address(engine, node):
                self.engines.setdefault(server, []).append(engine)
                if action := actions.get(role):
                    self._actions[server] = action
        self.of_stages = _of_stages(engines, node)
        self._troubled: dict[str, Breaker] = {}
        self._open: set[str] = set()  # of them, at the last refresh
        self._reserved: set[str] = set()  # servers that only this worker may probe now
        self._probes: dict[str, ServerProbe] = {}

    def is_shut(self, stage: str) -> bool:
        """Whether no task of this stage may call its server."""
        return self._is_open(self.of_stages.get(stage, ""))

    def may_be_loaded(self, stage: str) -> bool:
        """Whether this stage's model can be of use: its server answers, or is about to be probed by this worker."""
        return not self._is_left_alone(self.of_stages.get(stage, ""))

    def is_left_out(self, engine: Engine) -> bool:
        """Whether it is not even loaded: its server is not probed now, or not by this worker."""
        return self._is_left_alone(address(engine, self.node))

    def _is_left_alone(self, server: str) -> bool:
        return self._is_open(server) and server not in self._reserved

    def _is_open(self, server: str) -> bool:
        row = self._troubled.get(server)
        return row is not None and row.openings > 0

    @property
    def probing(self) -> int:
        """Probes under way: as long as they are, their models stay loaded."""
        return sum(not probe.is_restart for probe in self._probes.values())

    def record_ends(self, jobs: Iterable[Job]) -> None:
        """Record how calls ended. An answer of a healthy server writes nothing."""
        for job in jobs:
            server = self.of_stages.get(job.spec.name)
            if server is None:
                continue
            sign = breaker.sign_of(job.error)
            if sign is Sign.ANSWER and server in self._troubled:
                self._close(server)
            elif sign in (Sign.FAILURE, Sign.PROOF):
                assert job.error is not None
                self._failed(server, job.error)

    def on_load_error(self, engine: Engine, error: StageError) -> bool:
        """Its load failed. Whether its server is to blame: then its breaker decides when to retry."""
        server = address(engine, self.node)
        if not server or breaker.sign_of(error) not in (Sign.FAILURE, Sign.PROOF):
            return False
        self._failed(server, error)
        return True

    def refresh(self, troubled: Iterable[str]) -> bool:
        """Read the current state of those that failed; start the restarts that are due.

        True: a server may be called again, and what it has in memory should be checked.
        """
        troubled = {*troubled}
        rows = Breaker.objects.filter(pk__in=troubled).now() if troubled else ()
        self._troubled = {row.server: row for row in rows}
        for server in self._probes:
            Breaker.objects.extend(server, worker=self.worker, seconds=self.lease_seconds)
        for server, row in self._troubled.items():
            action = self._actions.get(server)
            if action and server not in self._probes and self._move(row) is Move.RESTART:
                self._restart(row, action)
        before, self._open = self._open, {row.server for row in self._troubled.values() if row.openings}
        return not before <= self._open

    def reserve_probes(self) -> None:
        """Reserve the probes of servers whose pause is over: their models may be loaded, and `probe` be called."""
        for server, row in self._troubled.items():
            due = server not in self._probes and self._move(row) is Move.PROBE
            if due and Breaker.objects.reserve(server, worker=self.worker, seconds=self.lease_seconds):
                self._reserved.add(server)

    def probe(self, working: Collection[Engine]) -> None:
        """Probe those whose model is among the `working`: another one's would be loaded beside them, unnoticed."""
        options = LanguageOptions(max_tokens=PROBE_TOKENS, deadline_seconds=self.probe_seconds)
        for server in sorted(self._reserved):
            if engines := [engine for engine in self.engines[server] if engine in working]:
                self._reserved.discard(server)
                self._begin(ServerProbe(server), partial(_probe, engines, options))
        self.release_probes()

    def release_probes(self) -> None:
        """Give up unused reservations: the phase was not reached for another reason."""
        for server in self._reserved:
            Breaker.objects.release(server, worker=self.worker)
        self._reserved.clear()

    def collect(self) -> None:
        """Record the probes and restarts that have ended."""
        for probe in [probe for probe in self._probes.values() if probe.outcome.done()]:
            if probe.is_restart:
                self._restarted(probe.server, probe.outcome.result())
            else:
                self._probed(probe.server, probe.outcome.exception())
            del self._probes[probe.server]

    def leave(self) -> bool:
        """The worker stops: let another one probe."""
        self.release_probes()
        for probe in self._probes.values():
            probe.stop.set()
            if not probe.is_restart:
                Breaker.objects.release(probe.server, worker=self.worker)
        return True

    def restart_stuck(self, engine: Engine) -> bool:
        """Its memory is not released. True: its server was restarted; check again whether it is free.

        Waits for the command. Its breaker stays open until the server has answered.
        """
        server = address(engine, self.node)
        action = self._actions.get(server)
        if action is None or server in self._probes:
            return False
        Breaker.objects.get_or_create(server=server)
        row = Breaker.objects.now().get(server=server)
        if not breaker.may_restart(row.breaker_state, self.config) or not self._count_restart(row, action):
            return False
        outcome = restart.run(action)
        self._restarted(server, outcome)
        return outcome.worked

    def _move(self, row: Breaker) -> Move:
        return breaker.next_move(row.breaker_state, self.config, can_restart=row.server in self._actions)

    def _failed(self, server: str, error: StageError) -> None:
        if server in self._reserved:
            self._reserved.discard(server)
            Breaker.objects.stay_open(server, error, worker=self.worker, config=self.config)
        elif Breaker.objects.fail(server, error, node=self.node, config=self.config):
            log.error("model server does not answer", server=server, error=str(error))
        self._troubled[server] = Breaker.objects.now().get(server=server)

    def _close(self, server: str) -> None:
        if Breaker.objects.filter(server=server).close(node=self.node):
            log.info("model server answers", server=server)
        self._troubled.pop(server, None)

    def _probed(self, server: str, error: BaseException | None) -> None:
        assert error is None or isinstance(error, StageError)
        if isinstance(error, Interrupted):
            Breaker.objects.release(server, worker=self.worker)
        elif error is None or breaker.sign_of(error) is Sign.ANSWER:
            self._close(server)
        else:
            log.warning("model server still does not answer", server=server, error=str(error))
            Breaker.objects.stay_open(server, error, worker=self.worker, config=self.config)

    def _restart(self, row: Breaker, action: restart.RestartAction) -> None:
        if self._count_restart(row, action):
            self._begin(ServerProbe(row.server, is_restart=True), partial(restart.run, action))

    def _count_restart(self, row: Breaker, action: restart.RestartAction) -> bool:
        counted = Breaker.objects.restart(
            row, node=self.node, worker=self.worker, action=str(action), seconds=self.lease_seconds
        )
        if counted:
            log.warning("restarting a model server", server=row.server, action=str(action), restart=row.restarts + 1)
        return counted

    def _restarted(self, server: str, outcome: restart.RestartOutcome) -> None:
        log.info("restart has ended", server=server, worked=outcome.worked, output=outcome.output)
        note(self.node, "server_restarted", server=server, worked=str(outcome.worked), output=outcome.output)
        Breaker.objects.release(server, worker=self.worker)

    def _begin(self, probe: ServerProbe, work: Callable[..., Any]) -> None:
        self._probes[probe.server] = probe
        probe.outcome.add_done_callback(lambda _: self.wake())
        Thread(target=probe.run, args=(work,), name=f"probe {probe.server}", daemon=True).start()


def _probe(engines: Sequence[LanguageEngine], options: LanguageOptions, *, stop: Event) -> None:
    """Have a model answer. One that is loaded, if there is one: the server may have no room for another."""
    engine = next(filter(_is_loaded, engines), engines[0])
    engine.generate(PROBE_PROMPT, PROBE_SCHEMA, options, stop=stop)


def _is_loaded(engine: Engine) -> bool:
    try:
        return bool(engine.resident())
    except StageError:
        return False


def _of_stages(engines: Engines, node: str) -> dict[str, str]:
    """Which server a stage calls; those without one are left out."""
    found = {spec.name: address(engines.of(spec.engine), node) for spec in pipelines.specs()}
    return {stage: server for stage, server in found.items() if server}
