"""The model servers that a worker calls: what their calls' ends say of them, the question whether one is back, the
restart of one that is not. The rows are shared by all nodes (models/breaker.py), the decisions pure (circuit.py).

Used by the worker's main thread only. Questions and restarts take their time on threads without a database; their
outcomes are collected every round.
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

from queueing import circuit, pipelines, restart
from queueing.circuit import Move, Sign, Terms
from queueing.engines.base import Engine, Engines, LanguageEngine, LanguageOptions, Prompt
from queueing.exceptions import Interrupted, StageError
from queueing.jobs import Job, as_stage_error
from queueing.models import Breaker
from queueing.models.phase import note
from queueing.states import PhaseName

log = structlog.get_logger()

QUESTION: Final = Prompt("Answer in JSON.", "Are you there? Answer yes.")
ANSWER: Final = {
    "type": "object",
    "properties": {"answer": {"type": "string", "enum": ["yes"]}},
    "required": ["answer"],
    "additionalProperties": False,
}
ANSWER_TOKENS: Final = 24
LOOPBACK: Final = re.compile(r"localhost|127\.\d+\.\d+\.\d+|::1")


def address(engine: Engine, node: str) -> str:
    """What a server's breaker is called: its address without a password; empty for a process of the worker's own.

    127.0.0.1 is another server on each node.
    """
    shown = re.sub(r"//[^/@]*@", "//", engine.server)
    local = LOOPBACK.fullmatch(urlsplit(engine.server).hostname or "")
    return f"{shown} on {node}" if local else shown


@dataclass(slots=True)
class Errand:
    """A question to a server, or its restart, on a thread of its own."""

    server: str
    asks: bool
    stop: Event = field(default_factory=Event)
    outcome: Future[Any] = field(default_factory=Future)

    def do(self, work: Callable[..., Any]) -> None:
        try:
            self.outcome.set_result(work(stop=self.stop) if self.asks else work())
        except BaseException as error:
            self.outcome.set_exception(as_stage_error(error))


class Servers:
    """`actions` are what restarts the server of `extract` and of `rate`; `ask_seconds` is what an answer may take, with
    the loading of the model."""

    def __init__(
        self,
        node: str,
        worker: uuid.UUID,
        engines: Engines,
        *,
        actions: Mapping[str, restart.Action | None],
        terms: Terms,
        lease_seconds: float,
        ask_seconds: float,
        wake: Callable[[], None],
    ) -> None:
        self.node, self.worker, self.terms = node, worker, terms
        self.lease_seconds, self.ask_seconds, self.wake = lease_seconds, ask_seconds, wake
        self._engines: dict[str, list[LanguageEngine]] = {}
        self._actions: dict[str, restart.Action] = {}
        for role, engine in (("extract", engines.extract), ("rate", engines.rate)):
            if server := address(engine, node):
                self._engines.setdefault(server, []).append(engine)
                if action := actions.get(role):
                    self._actions[server] = action
        self.of_stages = _of_stages(engines, node)
        self._troubled: dict[str, Breaker] = {}
        self._open: set[str] = set()  # of them, at the last look
        self._turns: set[str] = set()  # servers that only this worker may ask now
        self._errands: dict[str, Errand] = {}

    def shut(self, stage: str) -> bool:
        """Whether no task of this stage may call its server."""
        return self._is_open(self.of_stages.get(stage, ""))

    def may_be_loaded(self, stage: str) -> bool:
        """Whether this stage's model can be of use: its server answers, or is about to be asked by this worker."""
        return not self._is_left_alone(self.of_stages.get(stage, ""))

    def leave_out(self, engine: Engine) -> bool:
        """Whether it is not even loaded: its server is not asked now, or not by this worker."""
        return self._is_left_alone(address(engine, self.node))

    def _is_left_alone(self, server: str) -> bool:
        return self._is_open(server) and server not in self._turns

    def _is_open(self, server: str) -> bool:
        row = self._troubled.get(server)
        return row is not None and row.openings > 0

    @property
    def asking(self) -> int:
        """Questions under way: as long as they are, their models stay loaded."""
        return sum(errand.asks for errand in self._errands.values())

    def note(self, jobs: Iterable[Job]) -> None:
        """Heed how calls ended. An answer of a server without trouble writes nothing."""
        for job in jobs:
            server = self.of_stages.get(job.spec.name)
            if server is None:
                continue
            sign = circuit.sign_of(job.error)
            if sign is Sign.ANSWER and server in self._troubled:
                self._close(server)
            elif sign in (Sign.FAILURE, Sign.SILENCE):
                assert job.error is not None
                self._failed(server, job.error)

    def refused(self, engine: Engine, error: StageError) -> bool:
        """It could not be loaded. Whether its server is to blame, whose breaker says when to try again."""
        server = address(engine, self.node)
        if not server or circuit.sign_of(error) not in (Sign.FAILURE, Sign.SILENCE):
            return False
        self._failed(server, error)
        return True

    def look(self, troubled: Iterable[str]) -> bool:
        """Learn how those that failed stand now; begin the restarts that are due.

        True: a server may be called again, and what it has in memory should be looked at.
        """
        troubled = {*troubled}
        rows = Breaker.objects.filter(pk__in=troubled).now() if troubled else ()
        self._troubled = {row.server: row for row in rows}
        for server in self._errands:
            Breaker.objects.keep(server, worker=self.worker, seconds=self.lease_seconds)
        for server, row in self._troubled.items():
            action = self._actions.get(server)
            if action and server not in self._errands and self._move(row) is Move.RESTART:
                self._restart(row, action)
        before, self._open = self._open, {row.server for row in self._troubled.values() if row.openings}
        return not before <= self._open

    def take_turns(self) -> None:
        """Be the one who asks the servers whose pause is over: their models may be loaded, and `ask` be called."""
        for server, row in self._troubled.items():
            due = server not in self._errands and self._move(row) is Move.ASK
            if due and Breaker.objects.ask(server, worker=self.worker, seconds=self.lease_seconds):
                self._turns.add(server)

    def ask(self, working: Collection[Engine]) -> None:
        """Ask those whose model is among the `working`: another one's would be loaded beside them, unseen."""
        options = LanguageOptions(max_tokens=ANSWER_TOKENS, deadline_seconds=self.ask_seconds)
        for server in sorted(self._turns):
            if engines := [engine for engine in self._engines[server] if engine in working]:
                self._turns.discard(server)
                self._begin(Errand(server, asks=True), partial(_ask, engines, options))
        self.give_turns_back()

    def give_turns_back(self) -> None:
        """Nothing could be asked: the phase did not come about for another reason."""
        for server in self._turns:
            Breaker.objects.let_go(server, worker=self.worker)
        self._turns.clear()

    def collect(self) -> None:
        """Write down which questions and restarts have ended."""
        for errand in [errand for errand in self._errands.values() if errand.outcome.done()]:
            if errand.asks:
                self._asked(errand.server, errand.outcome.exception())
            else:
                self._restarted(errand.server, errand.outcome.result())
            del self._errands[errand.server]

    def leave(self) -> bool:
        """The worker stops: somebody else may ask."""
        self.give_turns_back()
        for errand in self._errands.values():
            errand.stop.set()
            if errand.asks:
                Breaker.objects.let_go(errand.server, worker=self.worker)
        return True

    def restart_stuck(self, engine: Engine) -> bool:
        """Its memory does not come back. True: its server was restarted; look again whether it is free.

        Waits for the command. Its breaker stays open until the server has answered.
        """
        server = address(engine, self.node)
        action = self._actions.get(server)
        if action is None or server in self._errands:
            return False
        Breaker.objects.get_or_create(server=server)
        row = Breaker.objects.now().get(server=server)
        if not circuit.may_restart(row.standing, self.terms) or not self._count_restart(row, action):
            return False
        outcome = restart.run(action)
        self._restarted(server, outcome)
        return outcome.worked

    def _move(self, row: Breaker) -> Move:
        return circuit.next_move(row.standing, self.terms, can_restart=row.server in self._actions)

    def _failed(self, server: str, error: StageError) -> None:
        if server in self._turns:
            self._turns.discard(server)
            Breaker.objects.stay_open(server, error, worker=self.worker, terms=self.terms)
        elif Breaker.objects.fail(server, error, node=self.node, terms=self.terms):
            log.error("model server does not answer", server=server, error=str(error))
        self._troubled[server] = Breaker.objects.now().get(server=server)

    def _close(self, server: str) -> None:
        if Breaker.objects.filter(server=server).close(node=self.node):
            log.info("model server answers", server=server)
        self._troubled.pop(server, None)

    def _asked(self, server: str, error: BaseException | None) -> None:
        assert error is None or isinstance(error, StageError)
        if isinstance(error, Interrupted):
            Breaker.objects.let_go(server, worker=self.worker)
        elif error is None or circuit.sign_of(error) is Sign.ANSWER:
            self._close(server)
        else:
            log.warning("model server still does not answer", server=server, error=str(error))
            Breaker.objects.stay_open(server, error, worker=self.worker, terms=self.terms)

    def _restart(self, row: Breaker, action: restart.Action) -> None:
        if self._count_restart(row, action):
            self._begin(Errand(row.server, asks=False), partial(restart.run, action))

    def _count_restart(self, row: Breaker, action: restart.Action) -> bool:
        counted = Breaker.objects.restart(
            row, node=self.node, worker=self.worker, action=str(action), seconds=self.lease_seconds
        )
        if counted:
            log.warning("restarting a model server", server=row.server, action=str(action), restart=row.restarts + 1)
        return counted

    def _restarted(self, server: str, outcome: restart.Outcome) -> None:
        log.info("restart has ended", server=server, worked=outcome.worked, said=outcome.said)
        note(self.node, "server_restarted", server=server, worked=str(outcome.worked), said=outcome.said)
        Breaker.objects.let_go(server, worker=self.worker)

    def _begin(self, errand: Errand, work: Callable[..., Any]) -> None:
        self._errands[errand.server] = errand
        errand.outcome.add_done_callback(lambda _: self.wake())
        Thread(target=errand.do, args=(work,), name=f"ask {errand.server}", daemon=True).start()


def _ask(engines: Sequence[LanguageEngine], options: LanguageOptions, *, stop: Event) -> None:
    """Have a model answer. One that is loaded, if there is one: the server may have no room for another."""
    engine = next(filter(_is_loaded, engines), engines[0])
    engine.generate(QUESTION, ANSWER, options, stop=stop)


def _is_loaded(engine: Engine) -> bool:
    try:
        return bool(engine.resident())
    except StageError:
        return False


def _of_stages(engines: Engines, node: str) -> dict[str, str]:
    """Which server a stage calls; those without one are left out."""
    specs = pipelines.specs_of(PhaseName.EVAL)
    found = {spec.name: address(getattr(engines, spec.engine), node) for spec in specs}
    return {stage: server for stage, server in found.items() if server}
