"""One rehearsal: a database, workers, a class and faults; then its figures."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.db.models import Max, Min, Q
from django.db.models.functions import Coalesce, Now

from evaluations.stages.pipeline import PIPELINE
from introeval.rehearsal import bounds, nodes, oracle, stages
from introeval.rehearsal.estimate_log import EstimateAccuracy, EstimateLog
from introeval.rehearsal.faults import Injector
from introeval.rehearsal.oracle import Counters
from introeval.rehearsal.outages import Outages
from introeval.rehearsal.plan import RehearsalPlan
from introeval.rehearsal.students import Students
from queueing.models import Task, Worker
from queueing.report.lesson import Lesson
from queueing.report.lesson import read as read_lesson
from queueing.states import LIVE, State

TICK_SECONDS = 0.1
READY_SECONDS = 30.0
RECOVERY_SECONDS = 3.0  # beyond a lease: how long work may stand still after a crash
PROGRESS_SECONDS = 10.0

Report = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class RehearsalOutcome:
    """Times in the lab's seconds, except those of `recovery` and `took`."""

    plan: RehearsalPlan
    counters: Counters
    faults: Mapping[str, int]  # injected, by kind
    recovery: Mapping[str, list[float]]  # real seconds until work went on after each, by kind
    estimates: EstimateAccuracy
    waits: list[float]  # from hand-in to result, sorted
    lesson: Lesson  # as the lab itself reports it
    makespan: float  # from the first hand-in to the last result
    took: float  # real seconds

    @property
    def handed_in(self) -> int:
        """More than there are students, where they handed in again while faults were still to come."""
        return max(self.counters.attempted, self.plan.students)

    @property
    def lower_bound(self) -> float:
        """Of as much work as there was."""
        return self.plan.bound_of(self.handed_in)

    @property
    def ratio(self) -> float:
        return self.makespan / self.lower_bound

    @property
    def recovery_limit(self) -> float:
        return self.plan.lease_seconds + RECOVERY_SECONDS

    @property
    def recovered(self) -> int:
        """Faults that hit something and were over within the limit."""
        return sum(seconds <= self.recovery_limit for found in self.recovery.values() for seconds in found)

    def as_json(self) -> dict[str, Any]:
        work = self.plan.work
        return {
            "plan": self.plan.why,
            "makespan": round(self.makespan, 1),
            "lower_bound": round(self.lower_bound, 1),
            "ratio": round(self.ratio, 4),
            "floor": round(bounds.floor(self.handed_in, work), 1),
            "one_at_a_time": bounds.one_at_a_time(self.handed_in, work),
            "mean_wait": round(sum(self.waits) / max(len(self.waits), 1), 1),
            "p95_wait": round(percentile(self.waits, 0.95), 1),
            "max_wait": round(max(self.waits, default=0.0), 1),
            **asdict(self.counters),
            "estimates": self.estimates.as_json(),
            "faults": dict(self.faults),
            "recovered": self.recovered,
            "recovery_worst": {kind: round(max(found), 2) for kind, found in self.recovery.items()},
            "recovery_limit": round(self.recovery_limit, 2),
            "students": self.plan.students,
            "handed_in": self.handed_in,
            "nodes": self.plan.nodes,
            "slots": work.slots,
            "scale": self.plan.scale,
            "seed": self.plan.seed,
            "took": round(self.took, 1),
            "lesson": self.lesson.as_dict(),
        }


def percentile(values: list[float], share: float) -> float:
    """Of sorted values; 0 for none."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def rehearse(plan: RehearsalPlan, report: Report) -> RehearsalOutcome:
    """Run it to its end, or until `deadline_seconds`. In an empty database of its own only."""
    began = time.monotonic()
    stages.prepare_database()
    outages = Outages(plan.folder / nodes.OUTAGES)
    stages.register("", outages)  # those who hand in need to know the stages, too
    with nodes.NodeProcesses(plan) as workers:
        _await_workers(plan)
        injector = Injector(plan, workers, outages)
        estimates = EstimateLog()
        with Students(plan, more=lambda: not injector.finished) as students:
            _run(plan, workers, injector, students, estimates, report)
    return _outcome(plan, injector, students, estimates, time.monotonic() - began)


def _await_workers(plan: RehearsalPlan) -> None:
    """Return when every worker is alive: a class begins when the lab is ready."""
    deadline = time.monotonic() + READY_SECONDS
    while Worker.objects.alive(plan.lease_seconds).count() < plan.nodes:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the workers did not start within {READY_SECONDS:.0f} s")
        time.sleep(TICK_SECONDS)


def deadline_seconds(plan: RehearsalPlan) -> float:
    """When a run is stopped: what has not ended by then counts as lost."""
    return 120.0 + 10 * plan.lower_bound * plan.scale + 3 * plan.faults.total() * (plan.gap_seconds + 1)


def _run(
    plan: RehearsalPlan,
    workers: nodes.NodeProcesses,
    injector: Injector,
    students: Students,
    estimates: EstimateLog,
    report: Report,
) -> None:
    began = reported = time.monotonic()
    while time.monotonic() - began < deadline_seconds(plan):
        workers.restart_ended()
        try:
            injector.step()
            estimates.record()
            if injector.finished and students.finished and _all_ended():
                return
        except (DatabaseError, InterfaceError):
            connection.close()  # it crashed as planned, and comes back
        if time.monotonic() - reported > PROGRESS_SECONDS:
            reported = time.monotonic()
            report(_progress(reported - began, injector, students))
        time.sleep(TICK_SECONDS)


def _all_ended() -> bool:
    retried_soon = Q(state=State.FAILED, error_code="poison")
    return not Task.objects.filter(Q(state__in=LIVE) | retried_soon).exists()


def _progress(seconds: float, injector: Injector, students: Students) -> str:
    faults = ", ".join(f"{number} {kind}" for kind, number in sorted(injector.counts.items()))
    return f"{seconds:4.0f} s: {students.handed_in} handed in; {faults or 'no faults'}; {len(injector.pending)} to come"


def _outcome(
    plan: RehearsalPlan, injector: Injector, students: Students, log: EstimateLog, took: float
) -> RehearsalOutcome:
    counters = oracle.count(
        attempted=students.handed_in,
        acknowledged=students.acknowledged,
        retried=students.retried,
        loaded_together=nodes.overlaps_seen(plan.folder),
    )
    story = oracle.story()
    recovery: dict[str, list[float]] = defaultdict(list)
    for fault in injector.done:
        if (seconds := oracle.recovery(fault, story, injector.database_outages)) is not None:
            recovery[fault.kind].append(seconds)
    handed_in_and_ended = Task.objects.values_list("created_at", "finished_at")
    times = Task.objects.aggregate(first=Min("created_at"), last=Coalesce(Max("finished_at"), Now()))
    assert times["first"], "nobody could hand in"
    lesson = read_lesson(PIPELINE.name, times["first"], lost=counters.lost, scale=plan.scale)
    return RehearsalOutcome(
        plan=plan,
        counters=counters,
        faults=injector.counts,
        recovery=recovery,
        estimates=log.accuracy(),
        waits=sorted((end - begin).total_seconds() / plan.scale for begin, end in handed_in_and_ended if end),
        lesson=lesson,
        makespan=(times["last"] - times["first"]).total_seconds() / plan.scale,
        took=took,
    )
