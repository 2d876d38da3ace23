"""Threads that run one at a time, in an order that a seed decides.

An actor is a thread with a database connection of its own. It stops at each place where somebody else could come in
between (before every statement, at every failpoint, wherever its own code calls `pass_on`) and goes on when the
scheduler says so. One that waits for a row that a stopped actor has locked is noticed, and left waiting.
"""

from __future__ import annotations

import os
import random
import re
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from queueing import failpoints
from queueing.states import TRANSITIONS

HANDS = 12
# A statement follows these at once, and that is such a place already.
DOUBLE = {"claim", "claim.locked", "run.prepared", "finish", "finish.moved", "rescue.read"}
PATIENCE_SECONDS = 0.004  # an actor that is not back after that may be waiting for a lock
STUCK_SECONDS = 20.0
DEADLOCK_SECONDS = 0.5  # less than PostgreSQL's own, which would end it

# Nobody pulls the plug here, and a schedule is 30 commits. The plans must not depend on how full the tables are, or a
# seed would not replay: unordered rows come in the order of a plan. Nor on how busy the machine is: no limits of time.
SESSION = """
    SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    SET synchronous_commit = off; SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off;
    SET enable_mergejoin = off
"""
_TABLE = re.compile(r"(queueing|chaos|evaluations)_[a-z]+")

_mine = threading.local()


class Killed(BaseException):
    """The actor's process dies here: its transaction is rolled back, its memory is lost."""


class Actor:
    """One thread of one process, as the schedule sees it."""

    def __init__(self, name: str, process: str, work: Callable[[], object]) -> None:
        self.name, self.process, self.work = name, process, work
        self.place = "begins"
        self.condition: Callable[[], bool] | None = None
        self.hand: Hand | None = None
        self.started = self.ended = self.killed = self.blocked = self.rests = False

    @property
    def ready(self) -> bool:
        return not (self.ended or self.blocked) and (self.condition is None or self.condition())


class Hand(threading.Thread):
    """A thread that runs one actor after the other, and keeps its connection."""

    def __init__(self, number: int) -> None:
        super().__init__(name=f"hand-{number}", daemon=True)
        self.go, self.back = threading.Lock(), threading.Lock()
        self.go.acquire(), self.back.acquire()
        self.actor: Actor | None = None
        self.error: BaseException | None = None
        self.pid = 0

    def run(self) -> None:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        self._connect()
        self.back.release()
        while True:
            self.go.acquire()
            if self.actor is None:
                break
            _mine.actor = self.actor
            try:
                self.actor.work()
            except Killed:
                pass
            except BaseException as error:
                self.error = error
            _mine.actor = None
            self.actor.ended = True
            self.back.release()
        connection.close()
        self.back.release()

    def _connect(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(SESSION)
        self.pid = connection.connection.info.backend_pid
        connection.execute_wrappers.append(_before_statement)


def _before_statement(
    execute: Callable[..., Any], sql: str, params: Sequence[Any], many: bool, context: dict[str, Any]
) -> Any:
    pass_on(_label(sql, params))
    return execute(sql, params, many, context)


def _label(sql: str, params: Sequence[Any] | None) -> str:
    """`select queueing_task`, `move cancel`: enough to follow a schedule."""
    words = sql.split(None, 2)
    if words[:2] == ["WITH", "given"]:
        return f"move {next((each for each in params or () if isinstance(each, str) and each in TRANSITIONS), '?')}"
    if words[:2] == ["WITH", "moved"]:
        return "claim these"
    if words[:2] == ["WITH", "live"]:
        return "snapshot"
    table = _TABLE.search(sql)
    return " ".join([words[0].lower(), *([table[0]] if table else []), *(["for update"] if "FOR " in sql else [])])


def pass_on(place: str) -> None:
    """Let others run before this thread goes on from `place`. Nothing happens outside of an actor."""
    actor: Actor | None = getattr(_mine, "actor", None)
    if actor is None:
        return
    hand = actor.hand
    assert hand is not None
    actor.place = place
    hand.back.release()
    hand.go.acquire()
    if actor.killed:
        raise Killed


def until(condition: Callable[[], bool], place: str = "waits", *, at_most: bool = False) -> None:
    """Don't let this actor run again before `condition` holds, which must not touch the database.

    `at_most`: it may also go on when nobody else can do anything, as if time had passed.
    """
    actor: Actor = _mine.actor
    actor.condition, actor.rests = condition, at_most
    pass_on(place)
    actor.condition, actor.rests = None, False


def process_of_this_actor() -> str:
    actor: Actor = _mine.actor
    return actor.process


class Pool:
    """The hands, and the connection that checks who waits for whom."""

    def __init__(self) -> None:
        self.hands = [Hand(number) for number in range(HANDS)]
        self.watch: BaseDatabaseWrapper = connections.create_connection("default")
        for hand in self.hands:
            hand.start()
        for hand in self.hands:
            assert hand.back.acquire(timeout=STUCK_SECONDS)

    def close(self) -> None:
        for hand in self.hands:
            hand.actor = None
            hand.go.release()
            hand.join(STUCK_SECONDS)
        self.watch.close()

    def waits(self, hand: Hand) -> bool:
        """Whether the hand's statement waits for a lock that another one holds."""
        with self.watch.cursor() as cursor:
            cursor.execute("SELECT cardinality(pg_blocking_pids(%s)) > 0", [hand.pid])
            (waits,) = cursor.fetchone()
        return bool(waits)


@contextmanager
def pool() -> Iterator[Pool]:
    """Threads and connections for as many schedules as you like, with every failpoint a place to pass on."""
    hands = Pool()
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cpus)})
    for name in set(failpoints.NAMES) - DOUBLE:
        failpoints.plan(name, lambda name=name: pass_on(name))  # type: ignore[misc]
    try:
        yield hands
    finally:
        for name in failpoints.NAMES:
            failpoints.plan(name, None)
        hands.close()
        os.sched_setaffinity(0, cpus)


class Scheduler:
    """One schedule. `problems` is what was found wrong, `trace` how it came about."""

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool, self.chance = pool, random.Random(seed)
        self.actors: list[Actor] = []
        self.free = list(reversed(pool.hands))
        self.trace: list[str] = []
        self.problems: list[str] = []
        self.steps = self.waits = self.kills = 0
        # Some schedules change hands at every step, in others an actor gets far while the others stand still.
        self.stay = self.chance.choice((0.0, 0.4, 0.8))
        # … and now and then one is stopped for long, as a process on a machine that swaps.
        self.stop_chance = self.chance.choice((0.0, 0.03, 0.1))
        self.stopped: dict[Actor, int] = {}  # until which step
        self.kill_chance = 0.0
        self.may_die: set[str] = set()  # processes
        self.on_death: Callable[[str], None] = lambda process: None
        self.before_step: Callable[[], None] = lambda: None  # while nobody moves

    def spawn(self, name: str, work: Callable[[], object], *, process: str = "") -> Actor:
        actor = Actor(name, process or name, work)
        self.actors.append(actor)
        return actor

    def report(self, problem: str) -> None:
        self.trace.append(f"*** {problem}")
        self.problems.append(problem)

    def run(self, most_steps: int) -> None:
        """Until every actor has ended."""
        last: Actor | None = None
        for _ in range(most_steps):
            self._hear_of_locks()
            ready = self._ready() or self._wait_for_locks()
            if not ready:
                break
            self.before_step()
            if last not in ready or self.chance.random() >= self.stay:
                last = self.chance.choice(ready)
            assert last is not None
            if len(ready) > 1 and self.chance.random() < self.stop_chance:
                self.stopped[last] = self.steps + self.chance.randint(10, 60)
                continue
            if self.chance.random() < self.kill_chance and self._kill(last.process):
                last = None
                continue
            self._resume(last)
        self.actors = [actor for actor in self.actors if not actor.ended]
        if self.actors:
            where = ", ".join(f"{actor.name} at {actor.place!r}" for actor in self.actors)
            self.report(f"it does not end: {where}")
            self.put_away()

    def _ready(self) -> list[Actor]:
        ready = [actor for actor in self.actors if actor.ready]
        awake = [actor for actor in ready if self.stopped.get(actor, 0) <= self.steps]
        return awake or ready or [actor for actor in self.actors if actor.rests and not actor.ended]

    def _wait_for_locks(self) -> list[Actor]:
        """Who has got its lock since it was last seen waiting; nobody, if they wait for each other."""
        give_up = monotonic() + DEADLOCK_SECONDS
        while any(actor.blocked for actor in self.actors) and monotonic() < give_up:
            self._hear_of_locks()
            if ready := self._ready():
                return ready
        return []

    def put_away(self) -> None:
        """End what still runs, so that the hands are free for the next schedule."""
        for _ in range(len(self.actors) + 1):
            self._hear_of_locks()
            for actor in self.actors:
                if not actor.blocked:
                    self._end(actor)
        self.actors.clear()

    def _kill(self, process: str) -> bool:
        mates = [actor for actor in self.actors if actor.process == process and not actor.ended]
        if process not in self.may_die or any(actor.blocked for actor in mates):
            return False
        self.may_die.discard(process)
        self.kills += 1
        self.trace.append(f"--- {process} is killed, at {', '.join(actor.place for actor in mates)}")
        for actor in mates:
            self._end(actor)
        self.on_death(process)
        return True

    def _end(self, actor: Actor) -> None:
        actor.killed = True
        if not actor.started:
            actor.ended = True
        while not actor.ended:
            self._let_go(actor)

    def _resume(self, actor: Actor) -> None:
        self.steps += 1
        self.trace.append(f"{actor.name}: {actor.place}")
        self._let_go(actor)

    def _let_go(self, actor: Actor) -> None:
        if not actor.started:
            actor.started = True
            actor.hand = self.free.pop()
            actor.hand.actor = actor
        assert actor.hand is not None
        actor.hand.go.release()
        self._await(actor)

    def _await(self, actor: Actor) -> None:
        """Until it has arrived at its next place, has ended, or waits for a lock."""
        hand = actor.hand
        assert hand is not None
        waited = 0.0
        while not hand.back.acquire(timeout=0.0 if actor.blocked else PATIENCE_SECONDS):
            if self.pool.waits(hand):
                if not actor.blocked:
                    self.waits += 1
                    self.trace.append(f"{actor.name}: waits for a lock")
                actor.blocked = True
                return
            actor.blocked = False
            waited += PATIENCE_SECONDS
            assert waited < STUCK_SECONDS, f"{actor.name} is stuck after {actor.place!r}"
        actor.blocked = False
        if actor.ended:
            self.free.append(hand)
            if error := hand.error:
                hand.error = None
                last = traceback.extract_tb(error.__traceback__)[-1]
                message = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
                self.report(f"{actor.name} raised {message} ({last.name})")

    def _hear_of_locks(self) -> None:
        for actor in self.actors:
            if actor.blocked:
                self._await(actor)
