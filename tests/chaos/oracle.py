"""What must be true of every task when a schedule is over, read from the rows, the effects and the audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from queueing.states import ENDED, State
from tests.chaos.world import STAGES, ScheduleWorld, execute

FACTS = """
    SELECT t.id, t.state, t.stage, t.epoch, t.sequence,
           ARRAY(SELECT (a.epoch || ',' || a.stage || ',' || a.outcome || ',' || a.error_code)
                   FROM queueing_attempt a WHERE a.task_id = t.id ORDER BY a.epoch),
           ARRAY(SELECT e.sequence FROM queueing_event e WHERE e.task_id = t.id ORDER BY e.sequence),
           ARRAY(SELECT c.epoch || ',' || c.stage FROM chaos_effect c WHERE c.task = t.id),
           ARRAY(SELECT u.old_epoch
                   FROM chaos_audit u JOIN queueing_event e ON e.task_id = u.task AND e.sequence = u.sequence
                  WHERE u.task = t.id AND (e.kind = 'rescue' OR e.detail ->> 'error_code' = 'poison')),
           ARRAY(SELECT u.epoch FROM chaos_audit u WHERE u.task = t.id AND u.was = 'running' AND u.became = 'running'
                    AND u.epoch = u.old_epoch AND u.lapsed AND u.leased)
      FROM queueing_task t WHERE t.id = ANY(%s) ORDER BY t.id
"""


@dataclass(frozen=True)
class ScheduleFacts:
    task: int
    state: str
    stage: str
    epoch: int
    sequence: int
    attempts: dict[int, tuple[str, str, str]]  # epoch → stage, outcome, error code
    events: list[int]
    effects: list[tuple[int, str]]  # epoch, stage
    rescued: list[int]  # epochs
    prolonged: list[int]  # epochs of leases that were longer again after they had run out


def facts(world: ScheduleWorld) -> Iterator[ScheduleFacts]:
    for task, state, stage, epoch, sequence, attempts, events, effects, rescued, prolonged in execute(
        FACTS, [world.tasks]
    ):
        tries = {int(number): (at, outcome, code) for number, at, outcome, code in (row.split(",") for row in attempts)}
        left = [(int(number), at) for number, at in (row.split(",") for row in effects)]
        yield ScheduleFacts(task, state, stage, epoch, sequence, tries, events, left, rescued, prolonged)


def check(world: ScheduleWorld) -> None:
    """Report what is wrong, and count what happened."""
    for fact in facts(world):
        label = f"task {world.tasks.index(fact.task)}"
        for problem in problems(fact, world.ran_out):
            world.scheduler.report(f"{label}: {problem}")
        world.counts["claims"] += len(fact.attempts)
        world.counts["effects"] += len(fact.effects)
        world.counts[fact.state] += 1
        world.counts["claims lost"] += sum(
            outcome in ("crashed", "interrupted", "cancelled") for _, outcome, _ in fact.attempts.values()
        )


def problems(fact: ScheduleFacts, ran_out: set[tuple[int, int]]) -> Iterator[str]:
    if fact.state not in ENDED:
        yield f"lost: {fact.state} in {fact.stage}, with nobody to go on"
    yield from _effects(fact)
    yield from history(fact)
    for epoch in fact.rescued:
        if (fact.task, epoch) not in ran_out:
            yield f"claim {epoch} was taken away while its lease was good"
    for epoch in fact.prolonged:
        yield f"the lease of claim {epoch} was prolonged after it had run out"


def _effects(fact: ScheduleFacts) -> Iterator[str]:
    for epoch, stage in fact.effects:
        tried_at, outcome, _ = fact.attempts.get(epoch, ("", "nothing", ""))
        if (tried_at, outcome) != (stage, "succeeded"):
            yield f"stale: the result of {stage} comes from claim {epoch}, which ended with {outcome or 'nothing'}"
    times = Counter(stage for _, stage in fact.effects)
    behind = STAGES if fact.state == State.DONE else STAGES[: [*STAGES].index(fact.stage)]  # type: ignore[arg-type]
    for stage in STAGES:
        wanted = int(stage in behind)
        if times[stage] > wanted:
            yield f"duplicated: {stage} has {times[stage]} results"
        if times[stage] < wanted:
            yield f"lost: {stage} has no result"


def history(fact: ScheduleFacts) -> Iterator[str]:
    if [*fact.attempts] != [*range(1, fact.epoch + 1)]:
        yield f"its attempts are {[*fact.attempts]}, its epoch is {fact.epoch}"
    if fact.events != [*range(1, fact.sequence + 1)]:
        yield f"its events are {fact.events}, its sequence is {fact.sequence}"
    for epoch, (_, outcome, code) in fact.attempts.items():
        if not outcome and fact.state != State.RUNNING:
            yield f"attempt {epoch} is open"
        if code == "unexpected" and outcome == "permanent":
            yield f"attempt {epoch} ended in an error that nobody expects"
