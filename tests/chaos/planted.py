"""Fourteen faults planted into the product, one at a time: a proof that can't find them proves nothing.

python -m tests.chaos faults                     # all, each with at most 2,000 schedules
python -m tests.chaos faults --fault rescue_by_id
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.db import transaction

from evaluations import actions
from evaluations.media import store
from evaluations.models import Submission
from queueing.models import Task, Worker, in_seconds, statements
from queueing.models.queue import TaskManager, TaskQuerySet
from queueing.policy import retries
from queueing.policy.places import LineEntry
from queueing.states import PhaseName, State
from queueing.worker.coordinator import Coordinator, Turn
from queueing.worker.jobs import Job, Jobs
from queueing.worker.loop import WorkLoop
from queueing.worker.phase_controller import Readiness
from tests.chaos.explorer import ExplorerResult, explore
from tests.chaos.world import NAME

MAX_SCHEDULES = 2000
MISFIT = re.compile(r"raised (TypeError|AttributeError|NameError)")
WORKERS_VERBS = {"advance", "finish", "fail", "retry_later", "hand_back"}


@dataclass(frozen=True)
class PlantedFault:
    """What is done wrong, and the scenario that must notice."""

    plant: Callable[[], AbstractContextManager[object]]
    scenario: str
    words: str


FAULTS: dict[str, PlantedFault] = {}


def fault(scenario: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], AbstractContextManager[object]]]:
    def register(plant: Callable[[], Iterator[None]]) -> Callable[[], AbstractContextManager[object]]:
        manager = contextmanager(plant)
        FAULTS[plant.__name__] = PlantedFault(manager, scenario, (plant.__doc__ or "").strip())
        return manager

    return register


def without(query: statements.Query, *parts: str, instead: str = "") -> statements.Query:
    """The statement without these parts. Raises: the product's statement has changed; so must the fault."""
    text, params = query
    for part in parts:
        assert part in text, f"there is no {part!r} to leave out any more"
        text = text.replace(part, instead)
    return text, params


@contextmanager
def moves(
    edit: Callable[[statements.Query], statements.Query], when: Callable[[dict[str, Any]], bool]
) -> Iterator[None]:
    """`edit` applied to those moves for which `when` holds."""
    move = statements.move

    def edited(*args: Any, **kwargs: Any) -> statements.Query:
        query = move(*args, **kwargs)
        return edit(query) if when(kwargs) else query

    with patch.object(statements, "move", edited):
        yield


@fault("claims")
def no_epoch() -> Iterator[None]:
    """A worker records an outcome by the task's id alone."""
    guard = "AND t.epoch = given.epoch AND t.state = ANY(%s)"
    with moves(
        lambda query: without(query, guard, instead="AND %s <> '{}'"), lambda move: move["verb"] in WORKERS_VERBS
    ):
        yield


@fault("claims")
def state_only() -> Iterator[None]:
    """A worker records an outcome if the task is running, under whatever claim."""
    with moves(lambda query: without(query, "AND t.epoch = given.epoch"), lambda move: move["verb"] in WORKERS_VERBS):
        yield


@fault("claims")
def rescue_by_id() -> Iterator[None]:
    """What was read as expired is rescued, whoever runs it by now."""
    guards = ("AND t.epoch = given.epoch", f"AND {statements.EXPIRED.text}")
    with moves(lambda query: without(query, *guards), lambda move: move["guard"] is statements.EXPIRED):
        yield


@fault("claims")
def shared_result_name() -> Iterator[None]:
    """A result is saved before it is known whose it is."""

    def save_first(self: Jobs, jobs: list[Job]) -> None:
        with transaction.atomic():
            for job in jobs:
                job.spec.handler.save(job.task, job.outcome.result())
        Task.objects.advance([job.task for job in jobs], took=[job.took for job in jobs])

    with patch.object(Jobs, "_succeed", save_first):
        yield


@fault("claims")
def beat_prolongs_what_ran_out() -> Iterator[None]:
    """A heartbeat renews a lease that has run out already."""

    def extend(self: TaskQuerySet, worker: Worker, held: Collection[int], seconds: float) -> set[int]:
        owned = self.filter(pk__in=held, worker=worker, state=State.RUNNING)
        owned.update(lease_until=in_seconds(seconds))
        return set(owned.values_list("pk", flat=True))

    with patch.object(TaskQuerySet, "extend_leases", extend):
        yield


@fault("claims")
def clock_of_the_worker() -> Iterator[None]:
    """A lease ends by the clock of its worker, which is an hour slow."""
    claim = statements.claim

    def by_own_clock(ids: Sequence[int], *, worker: Any, lease_seconds: float) -> statements.Query:
        until = datetime.now(UTC) - timedelta(hours=1) + timedelta(seconds=lease_seconds)
        text, _ = without(
            claim(ids, worker=worker, lease_seconds=lease_seconds),
            "statement_timestamp() + make_interval(secs => %s)",
            instead="%s",
        )
        return text, [worker, until, list(ids)]

    with patch.object(statements, "claim", by_own_clock):
        yield


@fault("claims")
def retry_without_a_cap() -> Iterator[None]:
    """A failure is tried again however often it has failed."""
    after_failure = retries.after_failure

    def endless(error: Any, tries: Any, limits: retries.RetryLimits, chance: Any) -> retries.AfterFailure:
        return after_failure(error, tries, replace(limits, max_attempts=1_000_000), chance)

    with patch.object(retries, "after_failure", endless):
        yield


@fault("claims")
def look_then_update() -> Iterator[None]:
    """A claim reads who waits, and then updates by id, without a lock or a second check."""
    pick, claim = statements.pick, statements.claim
    with (
        patch.object(statements, "pick", lambda **kwargs: without(pick(**kwargs), "FOR UPDATE SKIP LOCKED")),
        patch.object(
            statements, "claim", lambda *args, **kwargs: without(claim(*args, **kwargs), "AND state = 'queued'")
        ),
    ):
        yield


@fault("phases")
def flip_before_unload() -> Iterator[None]:
    """The new phase is loaded, then the old one unloaded."""

    def flip(self: Coordinator, target: PhaseName | None, turn: Turn | None = None) -> None:
        if target is None:
            attempt(self, target)
            return
        before = self.current
        self._load(target, turn)
        for engine in self.engines[before] if before else ():
            engine.unload()
        self._settle(target)

    attempt = Coordinator._attempt
    with patch.object(Coordinator, "_attempt", flip):
        yield


@fault("phases")
def poll_then_call() -> Iterator[None]:
    """What is claimed is decided by the phase as it was when the worker last polled."""
    poll, claim_all = WorkLoop._poll, WorkLoop._claim_all
    polled: dict[WorkLoop, PhaseName | None] = {}

    def poll_and_remember(self: WorkLoop) -> Readiness:
        polled[self] = self.coordinator.current
        return poll(self)

    def claim_from_memory(self: WorkLoop, **how: bool) -> bool:
        now, self.coordinator.current = self.coordinator.current, polled.get(self)
        try:
            return claim_all(self, **how)
        finally:
            self.coordinator.current = now

    with (
        patch.object(WorkLoop, "_poll", poll_and_remember),
        patch.object(WorkLoop, "_claim_all", claim_from_memory),
    ):
        yield


@fault("coach")
def bounds_without_a_lock() -> Iterator[None]:
    """Who asks counts how many wait, and enters the line while others do the same."""
    lock = TaskManager.lock_line

    def leave(self: TaskManager, verb: str, name: str) -> None:
        if verb != "enqueue":
            lock(self, verb, name)

    with patch.object(TaskManager, "lock_line", leave):
        yield


@fault("coach")
def place_of_arrival() -> Iterator[None]:
    """The place that is told is that of arrival, whatever rank a question has."""
    with patch.object(LineEntry, "key", property(lambda entry: (0, 0, entry.task))):
        yield


@fault("files")
def row_before_file() -> Iterator[None]:
    """A submission is committed before its file is kept."""

    def submit(**given: Any) -> tuple[Submission, bool]:
        staged, key = given["staged"], given["submission_id"]
        if staged.exists() and not Submission.objects.filter(pk=key).exists():
            facts = {"path": store._relative(key), "size": staged.stat().st_size, "sha256": store.digest(staged)}
            owners = {name: given[name] for name in ("classroom", "student", "original_name")}
            with transaction.atomic():
                Submission.objects.create(pk=key, **facts, **owners)
                Task.objects.enqueue(submission_id=key, pipeline=NAME, owner_key="x")
        store.keep(staged, key)
        return Submission.objects.get(pk=key), True

    with patch.object(actions, "submit", submit):
        yield


@fault("files")
def written_in_place() -> Iterator[None]:
    """A file gets its final name first and its bytes then."""

    def write(staged: Path, target: Path) -> None:
        with staged.open("rb") as source, target.open("wb") as final:
            shutil.copyfileobj(source, final)
            os.fsync(final.fileno())
        staged.unlink()

    with patch.object(store, "_move", write):
        yield


# Where it shows soon; the others do among the first dozen.
SEEDS = {"rescue_by_id": 188, "poll_then_call": 73}


def hunt(name: str, most: int = MAX_SCHEDULES) -> ExplorerResult:
    """Plant the fault, and explore `most` schedules until it shows.

    Raises:
        AssertionError: the planted code does not fit the product any more. That it blows up proves nothing.
    """
    planted, first = FAULTS[name], SEEDS.get(name, 0)
    with planted.plant():
        result = explore(planted.scenario, range(first, first + most))
    misfits = [problem for problem in result.problems if MISFIT.search(problem)]
    assert not misfits, f"{name} does not fit the product any more: {misfits[0]}"
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fault", choices=FAULTS, help="only this one")
    parser.add_argument("--schedules", type=int, default=MAX_SCHEDULES, help="of each (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status: 0 when every fault was caught."""
    names = [options.fault] if options.fault else list(FAULTS)
    caught = 0
    for name in names:
        result = hunt(name, options.schedules)
        caught += bool(result.problems)
        found = f"schedule {result.schedules:>4}  {result.problems[0]}" if result.problems else "NOT CAUGHT"
        print(f"{name:<28}{found}")
    print(f"{caught} of {len(names)} planted faults caught")
    return 0 if caught == len(names) else 1
