"""The SQL of the hot path: a claim, a move, a snapshot. Everything else goes through the ORM.

Each is one statement that changes the task, closes or opens its attempt and writes its event, so that no crash can
come between them and a stage costs few round trips. Values are parameters; what is put into the text are only the
column names and expressions written in this package.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from queueing.exceptions import StageError
from queueing.models.clock import longest_delay_seconds
from queueing.states import PhaseName, State


@dataclass(frozen=True, slots=True)
class Sql:
    """An expression among plain values."""

    text: str
    params: tuple[Any, ...] = ()


Query = tuple[str, Sequence[Any] | Mapping[str, Any]]

NOW = Sql("statement_timestamp()")
EXPIRED = Sql("lease_until < statement_timestamp()")


def from_now(seconds: float) -> Sql:
    """The database's clock, `seconds` from now."""
    return Sql("statement_timestamp() + make_interval(secs => %s)", (seconds,))


def _is_due(column: str, longest_delay: str) -> str:
    """Whether a task's delay is over: its time has come, or lies beyond any delay (models/clock.py)."""
    latest = f"statement_timestamp() + make_interval(secs => {longest_delay})"
    return f"({column} <= statement_timestamp() OR {column} > {latest})"


def plus_one(column: str) -> Sql:
    return Sql(f"{column} + 1")


def pick(
    *,
    stages: Sequence[str],
    limit: int,
    batch: int | None = None,
    beside: Collection[int] = (),
    one_per_owner: bool = False,
) -> Query:
    """Lock up to `limit` due tasks in the order of service, passing over those that others have locked: (id, crashes).

    The order is that of `TaskQuerySet.in_turn`. For one stage it is the order of the index `queued_in_turn`. With tasks
    `beside` it, one that a worker died on is not taken: they could die too. With `one_per_owner` only an owner's first
    is taken, and none while one runs.
    """
    where: list[str] = ["state = 'queued'", _is_due("not_before", "%s")]
    params: list[Any] = [longest_delay_seconds()]
    if len(stages) == 1:
        where, params, rank = [*where, "stage = %s"], [*params, stages[0]], ""
    else:
        where, params = [*where, "stage = ANY(%s)"], [*params, list(stages)]
        rank = "array_position(%s::varchar[], stage), "
    if batch is not None:
        where, params = [*where, "batch_id = %s"], [*params, batch]
    if beside:
        where, params = [*where, "id <> ALL(%s)", "crashes = 0"], [*params, list(beside)]
    if one_per_owner:
        where.append("""NOT EXISTS (
            SELECT FROM queueing_task o WHERE o.owner_key = t.owner_key AND o.pipeline = t.pipeline
               AND (o.state = 'running' OR o.state = 'queued' AND (o.turn, o.id) < (t.turn, t.id)))""")
    order = [list(stages)] if rank else []
    text = f"""
        SELECT id, crashes FROM queueing_task t WHERE {" AND ".join(where)}
         ORDER BY batch_id, {rank}turn, id LIMIT %s FOR UPDATE SKIP LOCKED
    """  # noqa: S608 - see above
    return text, [*params, *order, limit]


def claim(ids: Sequence[int], *, worker: Any, lease_seconds: float) -> Query:
    """Make the locked tasks `worker`'s: a new epoch, a lease, an attempt and an event each. Returns the rows.

    By primary key: a locking subquery in its place may run twice under another plan, and claimed 200 rows for one.
    """
    return (
        """
        WITH moved AS (
            UPDATE queueing_task
               SET state = 'running', epoch = epoch + 1, sequence = sequence + 1, worker_id = %s,
                   lease_until = statement_timestamp() + make_interval(secs => %s), claimed_at = statement_timestamp(),
                   error_code = '', error_detail = ''
             WHERE id = ANY(%s) AND state = 'queued'
         RETURNING *
        ), tried AS (
            INSERT INTO queueing_attempt (task_id, stage, epoch, worker_id, outcome, error_code, detail)
            SELECT id, stage, epoch, worker_id, '', '', '' FROM moved
        ), noted AS (
            INSERT INTO queueing_event (task_id, node, sequence, kind, stage, state, detail)
            SELECT id, '', sequence, 'claim', stage, state, '{}' FROM moved
        )
        SELECT * FROM moved
        """,
        [worker, lease_seconds, list(ids)],
    )


def move(
    ids: Sequence[int],
    epochs: Sequence[int],
    *,
    verb: str,
    sources: Sequence[State],
    changes: Mapping[str, Any],
    guard: Sql | None = None,
    error: StageError | None = None,
    took: Sequence[float | None] = (),
    detail: Mapping[str, str] | None = None,
) -> Query:
    """Compare-and-set on (id, epoch, state) of each task; closes its attempt, notes its event. Returns the ids moved.

    Args:
        took: seconds computed, per task.
        guard: a further condition on the row.
    """
    values = {**changes, "sequence": plus_one("sequence")}
    pairs = {column: value if isinstance(value, Sql) else Sql("%s", (value,)) for column, value in values.items()}
    sets = ", ".join(f"{column} = {value.text}" for column, value in pairs.items())
    outcome = error.outcome if error else {"cancel": "cancelled", "requeue": "interrupted"}.get(verb, "succeeded")
    text = f"""
        WITH given AS (SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::float8[]) AS g (id, epoch, took)),
        moved AS (
            UPDATE queueing_task AS t SET {sets}
              FROM given WHERE t.id = given.id AND t.epoch = given.epoch AND t.state = ANY(%s)
               {f"AND {guard.text}" if guard else ""}
         RETURNING t.id, t.epoch, t.sequence, t.stage, t.state, given.took
        ), closed AS (
            UPDATE queueing_attempt AS a
               SET ended_at = statement_timestamp(), outcome = %s, error_code = %s, detail = %s, compute_seconds = took
              FROM moved WHERE a.task_id = moved.id AND a.epoch = moved.epoch AND a.ended_at IS NULL
        ), noted AS (
            INSERT INTO queueing_event (task_id, node, sequence, kind, stage, state, detail)
            SELECT id, '', sequence, %s, stage, state, %s FROM moved
        )
        SELECT id FROM moved
    """  # noqa: S608 - see above
    noted = {**(detail or {}), **({"error_code": error.code} if error else {})}
    return text, [
        list(ids),
        list(epochs),
        list(took) or [None] * len(ids),
        *(param for value in pairs.values() for param in value.params),
        [str(state) for state in sources],
        *(guard.params if guard else ()),
        outcome,
        error.code if error else "",
        str(error) if error else "",
        verb,
        json.dumps({key: value for key, value in noted.items() if value}),
    ]


def snapshot(
    *,
    node: str,
    worker: Any,
    stt: Sequence[str],
    evaluation: Sequence[str],
    batched: Sequence[str],
    shared: Sequence[str],
    servers: Mapping[str, str],
) -> Query:
    """All that a worker needs between two claims, in one statement: see `policy.phases.Snapshot`.

    Args:
        stt, evaluation: the stages of each phase.
        batched: those whose tasks are claimed from batches.
        shared: those of evaluation that hold no phase.
        servers: which model server a stage calls. While its breaker is open, nothing of the stage is due.
    """
    demand = """
        count(*) FILTER (WHERE {group} AND due) AS {name}_due,
        count(*) FILTER (WHERE {group} AND state = 'running' AND node = %(node)s) AS {name}_running,
        coalesce(extract(epoch FROM statement_timestamp() - min(staged_at) FILTER (WHERE {group} AND due))::float8, 0)
            AS {name}_oldest
    """
    groups = {
        "unbatched": "is_batched AND batch_id IS NULL",
        "batch": "is_stt AND (in_batch OR NOT is_batched)",
        "evaluation": "is_eval AND NOT is_shared",
        "shared": "is_eval AND is_shared",
    }
    text = f"""
        WITH shut AS (
            SELECT s.stage FROM unnest(%(served)s::varchar[], %(servers)s::varchar[]) AS s (stage, server)
              JOIN queueing_breaker b ON b.server = s.server AND b.open_until > statement_timestamp()
        ), live AS (
            SELECT t.id, t.stage, t.state, t.batch_id, t.staged_at, t.lease_until, t.worker_id, w.node,
                   t.state = 'queued' AND {_is_due("t.not_before", "%(longest_delay)s")}
                       AND t.stage NOT IN (SELECT stage FROM shut) AS due,
                   t.stage = ANY(%(stt)s) AS is_stt, t.stage = ANY(%(evaluation)s) AS is_eval,
                   t.stage = ANY(%(batched)s) AS is_batched, t.stage = ANY(%(shared)s) AS is_shared,
                   b.node = %(node)s AND b.phase = '{PhaseName.STT.value}' AS in_batch
              FROM queueing_task t
              LEFT JOIN queueing_worker w ON w.id = t.worker_id
              LEFT JOIN queueing_batch b ON b.id = t.batch_id
             WHERE t.state IN ('queued', 'running')
        )
        SELECT {", ".join(demand.format(name=name, group=group) for name, group in groups.items())},
               count(*) FILTER (WHERE state = 'running' AND lease_until < statement_timestamp()) AS expired,
               count(*) AS live,
               coalesce(array_agg(id) FILTER (WHERE state = 'running' AND worker_id = %(worker)s), '{{}}') AS owned,
               coalesce(array_agg(DISTINCT stage) FILTER (WHERE due), '{{}}') AS due,
               (SELECT coalesce(array_agg(what || ':' || drain), '{{}}') FROM queueing_pause
                 WHERE lifted_at IS NULL AND node IN ('', %(node)s)
                   AND (until IS NULL OR until > statement_timestamp())) AS pauses,
               (SELECT wanted FROM queueing_phase
                 WHERE node = %(node)s AND wanted_until > statement_timestamp()) AS wanted,
               (SELECT coalesce(array_agg(server), '{{}}') FROM queueing_breaker
                 WHERE server = ANY(%(servers)s) AND (failures > 0 OR restarts > 0)) AS troubled,
               extract(epoch FROM statement_timestamp())::float8 AS at
          FROM live
    """  # noqa: S608 - see above
    return text, {
        "node": node,
        "worker": worker,
        "longest_delay": longest_delay_seconds(),
        "stt": list(stt),
        "evaluation": list(evaluation),
        "batched": list(batched),
        "shared": list(shared),
        "served": list(servers.keys()),
        "servers": list(servers.values()),
    }
