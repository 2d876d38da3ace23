"""A rehearsal's outcome for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from introeval.rehearsal import bounds
from introeval.rehearsal.lab import RehearsalOutcome
from queueing.management.lesson_report import as_text

GOAL_SECONDS = 15 * 60.0  # what the lab wants a class to take


def lines(outcome: RehearsalOutcome) -> Iterator[str]:
    yield from _times(outcome)
    yield _estimates(outcome)
    yield ""
    for name, number in asdict(outcome.counters).items():
        yield f"{name:<16}{number:>8}"
    yield ""
    yield from as_text(outcome.lesson).splitlines()
    yield ""
    yield from _recovery(outcome)
    yield "nothing lost, nothing done twice" if outcome.counters.correct else "NOT RIGHT: see the counters above"


def _times(outcome: RehearsalOutcome) -> Iterator[str]:
    plan, waits = outcome.plan, outcome.waits
    alone = bounds.one_at_a_time(outcome.handed_in, plan.work)
    lab = f"{plan.nodes} node(s) with {plan.work.slots} slot(s)"
    yield f"{plan.students} students, {lab}, {1 / plan.scale:.0f} times as quick as in a lab"
    yield f"{'plan':<16}{plan.why}"
    if outcome.handed_in > plan.students:
        again = f"{outcome.handed_in} videos in all, for they handed in again while faults were to come"
        yield f"{'handed in':<16}{again}; the bounds are those of all of them"
    yield _time("makespan", outcome.makespan, f"{outcome.ratio:.3f} of its lower bound")
    yield _time("lower bound", outcome.lower_bound, "of this queue's batches and phases, if the queue took no time")
    yield _time("floor", bounds.floor(outcome.handed_in, plan.work), "of any queue on one GPU")
    yield _time("one at a time", alone, f"beaten: {_word(outcome.makespan < alone)}")
    if outcome.handed_in == plan.students:
        yield _time("asked for", GOAL_SECONDS, f"beats 15 min: {_word(outcome.makespan < GOAL_SECONDS)}")
    yield _time("maximum wait", max(waits, default=0.0), "from handing in to the result")


def _estimates(outcome: RehearsalOutcome) -> str:
    found = outcome.estimates
    return (
        f"{'estimates':<16}{found.first_within:>8.0%}  of {found.told} students were told a range that held,"
        f" ±{found.width / 2:.0%} wide; {found.within:.0%} of {found.looks} looks;"
        f" {found.rises_without_reason} went up without a reason"
    )


def _recovery(outcome: RehearsalOutcome) -> Iterator[str]:
    for kind, number in sorted(outcome.faults.items()):
        found = outcome.recovery.get(kind)
        text = (
            f"work went on after {max(found):.2f} s at worst, {sum(found) / len(found):.2f} s on average"
            if found
            else ""
        )
        yield f"{kind:<16}{number:>8}  {text}".rstrip()
    if outcome.faults:
        yield f"{'recovered':<16}{outcome.recovered:>8}  within {outcome.recovery_limit:.1f} s (lease + 3 s)"
        yield ""


def _time(name: str, seconds: float, remark: str) -> str:
    return f"{name:<16}{seconds:>8.0f} s {seconds / 60:>6.1f} min  {remark}".rstrip()


def _word(true: bool) -> str:
    return "yes" if true else "no"
