"""R: what a page, an API answer or the admin reads does not grow with what there ever was.

The tables are filled by statements, without triggers. What is looked at is how many rows the database goes through for
each statement, by its own count: that is the same on every machine, and the time follows from it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from queueing.admin.confirmation import MAX_ROWS
from tests.evaluations.access.test_access import MATRIX, PEOPLE, ROUTES, Cells, World, world
from tests.evaluations.views.conftest import disk

__all__ = ["disk", "world"]

TASKS: Final = int(os.environ.get("LARGE_TASKS", "6000"))
CLASSES: Final = 80
ROWS: Final = MAX_ROWS + 100  # that one statement may go through; a class of thirty has some hundred
STATEMENTS: Final = 60
HISTORY: Final = """
INSERT INTO auth_user (username, password, is_superuser, first_name, last_name, email, is_staff, is_active, date_joined)
    SELECT 'past-' || n, '', false, '', '', '', false, true, now() FROM generate_series(1, %(classes)s * 30) n;
INSERT INTO evaluations_classroom (name, prompt, rubric_id, release, max_duration_seconds, max_submissions)
    SELECT 'past-' || n, '', (SELECT min(id) FROM evaluations_rubric), 'at_once', 600, 20
    FROM generate_series(1, %(classes)s) n;
INSERT INTO evaluations_classroom_students (classroom_id, user_id)
    SELECT c.id, u.id FROM evaluations_classroom c, auth_user u
    WHERE c.name LIKE 'past-%%' AND u.username LIKE 'past-%%'
    AND (substr(u.username, 6)::int - 1) / 30 + 1 = substr(c.name, 6)::int;
INSERT INTO evaluations_evaluation (submission_id, method, rubric_id, overall, scores, flags, feedback, suggestions,
        speech, engine, model, simulated, provenance, seal, sha256, released_at, created_at)
    SELECT gen_random_uuid(), 'items', (SELECT min(id) FROM evaluations_rubric), 7, '[]', '[]', '', '[]', '{}', '',
        'llama3', false, '{}', 'a', '', at, at
    FROM (SELECT now() - n * interval '10 minutes' AS at FROM generate_series(1, %(tasks)s) n) s;
INSERT INTO evaluations_submission (id, classroom_id, student_id, original_name, path, size, sha256, created_at,
        container, ends_early, evaluation_id)
    SELECT s.submission_id, m.classroom_id, m.user_id, 'a.mp4', '', 9, md5(s.id::text), s.created_at, '', false, s.id
    FROM (SELECT *, id %% (%(classes)s * 30) AS k FROM evaluations_evaluation WHERE seal = 'a') s
    JOIN (SELECT *, row_number() OVER (ORDER BY id) - 1 AS k FROM evaluations_classroom_students
          WHERE classroom_id IN (SELECT id FROM evaluations_classroom WHERE name LIKE 'past-%%')) m USING (k);
INSERT INTO queueing_task (submission_id, pipeline, stage, state, owner_key, turn, epoch, sequence, failures, crashes,
        retried, progress_done, progress_total, error_code, error_detail, not_before, created_at, staged_at,
        finished_at)
    SELECT id, 'evaluation', 'rate', CASE WHEN s.failed THEN 'failed' ELSE 'done' END, student_id::text, 0, 3, 8,
        0, 0, false, 0, 0, CASE WHEN s.failed THEN 'no_speech' ELSE '' END, '', created_at, created_at, created_at,
        created_at
    FROM (SELECT *, sha256 < '1' AS failed FROM evaluations_submission WHERE path = '') s;
INSERT INTO queueing_task (submission_id, pipeline, stage, state, owner_key, turn, epoch, sequence, failures, crashes,
        retried, progress_done, progress_total, error_code, error_detail, not_before, created_at, staged_at,
        finished_at)
    SELECT submission_id, 'coach', 'answer', 'done', owner_key, 0, 1, 3, 0, 0, false, 0, 0, '', '', created_at,
        created_at, created_at, created_at
    FROM queueing_task WHERE epoch = 3;
INSERT INTO evaluations_coachquestion (id, submission_id, student_id, task_id, text, language, answer, "end", why,
        restarts, model, simulated, prompt_version, prompt_tokens, output_tokens, asked_at, begun_at)
    SELECT gen_random_uuid(), submission_id, owner_key::int, id, 'Why?', 'en', 'So.', 'answered', '', 0,
        'llama3', false, 0, 0, 0, created_at, created_at
    FROM queueing_task WHERE pipeline = 'coach' AND epoch = 1 AND sequence = 3;
INSERT INTO queueing_event (task_id, node, sequence, kind, stage, state, detail, at)
    SELECT t.id, '', n, 'advance', 'rate', 'done', '{}', t.created_at
    FROM queueing_task t, generate_series(1, 8) n WHERE t.epoch = 3;
INSERT INTO queueing_attempt (task_id, stage, epoch, began_at, ended_at, outcome, error_code, detail, compute_seconds)
    SELECT t.id, 'rate', n, t.created_at, t.created_at, 'succeeded', '', '', 1
    FROM queueing_task t, generate_series(1, 3) n WHERE t.epoch = 3;
"""


@pytest.fixture
def past(world: World) -> World:
    """Years of other classes."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        for filling in HISTORY.strip().split(";\n"):
            cursor.execute(filling, {"tasks": TASKS, "classes": CLASSES})
            cursor.execute(f"ANALYZE {filling.split()[2]}")  # or the next one may be planned as if it were empty
        cursor.execute("SET LOCAL session_replication_role = origin")
    return world


def rows_gone_through(statement: str) -> int:
    with connection.cursor() as cursor:
        # Before a first VACUUM the planner doesn't know that an index alone is enough.
        cursor.execute("SET LOCAL enable_seqscan = off")
        # Of a table that is still small all of it is read to join a few rows of it: once it is large their keys are.
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}")
        (plan,) = cursor.fetchone()
    return _rows((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"])


def _rows(node: dict[str, Any]) -> int:
    """The largest number of rows that a part of the plan reads, kept or not, in all its loops.

    Entries of an index that no row is fetched for are a twentieth of the work, or less.
    """
    removed = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
    own = (node["Actual Rows"] + removed) * node["Actual Loops"] if "Scan" in node["Node Type"] else 0
    if node["Node Type"] in ("Index Only Scan", "Bitmap Index Scan"):  # which counts what other tests left, too
        own /= 20
    return max([round(own), *(_rows(child) for child in node.get("Plans", ()))])


def looked_at(client: Client, path: str, seen: set[str]) -> tuple[int, str]:
    """How many rows the worst of its statements, but of those `seen` with other values, goes through, and that one."""
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(path)
    assert answer.status_code in (200, 302), path
    reads = [one["sql"] for one in captured.captured_queries if one["sql"].startswith("SELECT")]
    assert len(reads) <= STATEMENTS, path
    new = {re.sub(r"'[^']*'|\d+", "?", one): one for one in reads}
    unseen = [new[shape] for shape in new.keys() - seen]
    seen.update(new)
    return max(((rows_gone_through(one), one) for one in unseen), default=(0, ""))


ADMIN: Final = (
    "/admin/queueing/task/",
    "/admin/queueing/task/?state=failed",
    "/admin/queueing/attempt/",
    "/admin/queueing/event/",
    "/admin/evaluations/submission/",
    "/admin/queueing/worker/",
)


def test_what_a_page_reads_does_not_grow_with_the_past(past: World) -> None:
    too_many = {}
    for who in ("ada", "teacher", "root"):
        paths = [ROUTES[name].filled(past.key(name)) for name, methods in MATRIX.items() if reaches(who, methods)]
        seen: set[str] = set()
        for path in (*paths, *ADMIN * (who == "root")):
            rows, statement = looked_at(past.client(who), path, seen)
            if rows > ROWS:
                too_many[f"{path} of {who}"] = (rows, statement)
    assert not too_many, "\n".join(f"{path}: {rows} rows by {text}" for path, (rows, text) in too_many.items())


def reaches(who: str, methods: Mapping[str, Cells]) -> bool:
    return "GET" in methods and methods["GET"][PEOPLE.index(who)] in (200, 302)
