"""What must never have happened, counted from what the database holds at the end. It trusts no report of a worker."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import connection

from introeval.rehearsal.faults import InjectedFault
from queueing.models import Attempt, Claim, Event, Task
from queueing.states import State

MISSING = """
    SELECT count(*) FROM queueing_task AS t WHERE t.state = 'done'
       AND (SELECT count(DISTINCT stage) FROM rehearsal_effect AS e WHERE e.task = t.id) < 3
"""
DUPLICATED = "SELECT count(*) FROM (SELECT 1 FROM rehearsal_effect GROUP BY task, stage HAVING count(*) > 1) AS twice"
STALE = """
    SELECT count(*) FROM rehearsal_effect AS e
     WHERE NOT EXISTS (SELECT 1 FROM queueing_attempt AS a WHERE a.task_id = e.task AND a.stage = e.stage
                          AND a.epoch = e.epoch AND a.worker_id = e.worker AND a.outcome = 'succeeded')
        OR EXISTS (SELECT 1 FROM queueing_attempt AS a WHERE a.task_id = e.task
                      AND a.epoch > e.epoch AND a.began_at < e.saved_at)
"""
# A task, its attempts and its events must agree.
TORN = {
    "events with a gap": """
        SELECT count(*) FROM queueing_task AS t
          LEFT JOIN (SELECT task_id, count(*) AS n, min(sequence) AS low, max(sequence) AS high
                       FROM queueing_event GROUP BY task_id) AS e ON e.task_id = t.id
         WHERE (e.n, e.low, e.high) IS DISTINCT FROM (t.sequence, 1::bigint, t.sequence)
    """,
    "a last event of another state or stage": """
        SELECT count(*) FROM queueing_task AS t JOIN queueing_event AS e
               ON e.task_id = t.id AND e.sequence = t.sequence
         WHERE (e.state, e.stage) <> (t.state, t.stage)
    """,
    "an epoch without its attempt": """
        SELECT count(*) FROM queueing_task AS t
         WHERE t.epoch <> (SELECT count(*) FROM queueing_attempt AS a WHERE a.task_id = t.id)
            OR t.epoch < (SELECT coalesce(max(a.epoch), 0) FROM queueing_attempt AS a WHERE a.task_id = t.id)
    """,
    "an open attempt of a task that does not run": """
        SELECT count(*) FROM queueing_attempt AS a JOIN queueing_task AS t ON t.id = a.task_id
         WHERE a.ended_at IS NULL AND (t.state, t.epoch) <> ('running', a.epoch)
    """,
    "a running task without its open attempt": """
        SELECT count(*) FROM queueing_task AS t WHERE t.state = 'running' AND NOT EXISTS (
               SELECT 1 FROM queueing_attempt AS a
                WHERE a.task_id = t.id AND a.epoch = t.epoch AND a.ended_at IS NULL)
    """,
    "a success without its effect": """
        SELECT count(*) FROM queueing_attempt AS a WHERE a.outcome = 'succeeded' AND NOT EXISTS (
               SELECT 1 FROM rehearsal_effect AS e
                WHERE e.task = a.task_id AND e.stage = a.stage AND e.epoch = a.epoch)
    """,
}


@dataclass(frozen=True, slots=True)
class Counters:
    """As Jepsen prints them. All from `lost` on must be 0."""

    attempted: int  # hand-ins
    acknowledged: int  # those that were acknowledged
    ok: int  # done
    retried: int  # by the teacher, after faults had killed a task twice
    lost: int  # acknowledged, and not there, not ended, or done without one of its results
    unexpected: int  # ended otherwise than done
    duplicated: int  # stages with two effects
    stale: int  # effects of a worker that had lost its claim
    torn: int  # tasks, attempts and events that contradict each other
    overlaps: int  # two phases on one node at once

    @property
    def correct(self) -> bool:
        return not (self.lost or self.unexpected or self.duplicated or self.stale or self.torn or self.overlaps)


def count(*, attempted: int, acknowledged: Collection[int], retried: int, loaded_together: int) -> Counters:
    states = dict(Task.objects.values_list("pk", "state"))
    ended_badly = (State.FAILED, State.CANCELLED)
    return Counters(
        attempted=attempted,
        acknowledged=len(acknowledged),
        ok=sum(state == State.DONE for state in states.values()),
        retried=retried,
        lost=_lost(acknowledged, states) + _number(MISSING),
        unexpected=sum(state in ended_badly for state in states.values()),
        duplicated=_number(DUPLICATED),
        stale=_number(STALE),
        torn=sum(torn().values()),
        overlaps=loaded_together + overlapping(_intervals()),
    )


def torn() -> dict[str, int]:
    """How many contradictions of each kind there are."""
    return {what: _number(query) for what, query in TORN.items()}


def _lost(acknowledged: Iterable[int], states: Mapping[int, str]) -> int:
    return sum(states.get(task) not in (State.DONE, State.FAILED, State.CANCELLED) for task in acknowledged)


@dataclass(frozen=True, slots=True)
class Interval:
    node: str
    speech: bool
    began: float
    ended: float


def overlapping(intervals: Iterable[Interval]) -> int:
    """How many computations began on a node while one of the other phase had not ended there."""
    found = 0
    ends: dict[tuple[str, bool], float] = defaultdict(float)
    for each in sorted(intervals, key=lambda interval: interval.began):
        found += ends[each.node, not each.speech] > each.began
        ends[each.node, each.speech] = max(ends[each.node, each.speech], each.ended)
    return found


def _intervals() -> list[Interval]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT node, stage = 'transcribe', began, ended FROM rehearsal_effect")
        return [Interval(*row) for row in cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class Story:
    """What the queue did, by the machine's clock."""

    freed: Mapping[Claim, tuple[float, str]]  # claims that did not succeed: when they ended, and how
    moves: Sequence[float]  # when any task was claimed, in order


def story() -> Story:
    spoilt = Attempt.objects.exclude(outcome__in=("", "succeeded")).select_related("task")
    freed = {}
    for attempt in spoilt:
        assert attempt.ended_at is not None
        freed[attempt.task_id, attempt.epoch] = attempt.ended_at.timestamp(), attempt.error_code
    claims = Event.objects.filter(kind="claim").order_by("at").values_list("at", flat=True)
    return Story(freed, [at.timestamp() for at in claims])


def recovery(fault: InjectedFault, story: Story, away: Iterable[tuple[float, float]]) -> float | None:
    """Seconds from the fault until what it hit was free again and the queue took the next task from the line.

    Time in which the database itself was away is left out. None: it hit nothing, or nothing was left to do.
    """
    if fault.kind in ("kill", "stop"):
        ends = [story.freed[claim] for claim in fault.hit if claim in story.freed]
        found = [at if code == "poison" else _next(story.moves, at) for at, code in ends]
    else:
        found = [_next(story.moves, fault.at)]
    known = [at for at in found if at is not None]
    if not known:
        return None
    until = max(known)
    lost = sum(max(0.0, min(until, end) - max(fault.at, begin)) for begin, end in away)
    return until - fault.at - lost


def _next(moves: Sequence[float], after: float) -> float | None:
    at = bisect_left(moves, after)
    return moves[at] if at < len(moves) else None


def _number(query: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query)
        (number,) = cursor.fetchone()
    return int(number)
